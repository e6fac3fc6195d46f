"""The same Sigstore bundles, judged by us and by the PyPI package `sigstore`, both offline.

They agree on all that both support. Every difference stands in a table with its reason, and the tables are exact: an
entry that no longer differs fails here, as does a difference that is not in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bundler.digest import Content, Digest
from bundler.evidence.envelope import Envelope
from bundler.evidence.sigstore_bundle import parse_bundle
from bundler.evidence.statement import parse_statement
from bundler.identity.fulcio import read_identity
from bundler.verify.blob import known_digest, verify_blob
from bundler.verify.material import parse_trusted_root
from bundler.verify.policy import KeylessSigner, TextRule
from tests.simulators.good_bundles import FORMS, Case
from tests.simulators.judging import HELD, code_of
from tests.simulators.near_misses import cases, unusual
from tests.simulators.second_opinion import second_opinion, sha256

BEACON = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/"
    "extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
GITHUB = "https://token.actions.githubusercontent.com"
REKOR_1 = tuple(form for form in FORMS if form.endswith("1"))
REKOR_2 = tuple(form for form in FORMS if form.endswith("2"))
FILES = tuple(form for form in FORMS if form.startswith("file"))
STATEMENTS = tuple(form for form in FORMS if form.startswith("statement"))

NO_WINDOW = "it does not look at this window; windows are how the compromise of a key is told"
SKIPPED = "it skips a timestamp that it cannot verify when another time is at hand; taking one apart stays unseen"
LENIENT = "it reads several spellings of one thing; we read one, so that nothing signed has two"


class Difference(NamedTuple):
    """One line of the table: what we say, in which forms, and why it says the opposite."""

    ours: str
    forms: tuple[str, ...]
    why: str


DIFFERENCES = {
    # It accepts what we refuse.
    "log window starts a second later": Difference("log-window", REKOR_1, NO_WINDOW),
    "log window ended a second before": Difference("log-window", REKOR_1, NO_WINDOW),
    "Rekor 2 window starts a second later": Difference("log-window", REKOR_2, NO_WINDOW),
    "Rekor 2 window ended a second before": Difference("log-window", REKOR_2, NO_WINDOW),
    "certificate log window starts a second later": Difference("sct", FORMS, NO_WINDOW),
    "certificate log window ended a second before": Difference("sct", FORMS, NO_WINDOW),
    "authority window starts a second later": Difference("ca-window", FORMS, NO_WINDOW),
    "authority window ended a second before": Difference("ca-window", FORMS, NO_WINDOW),
    "trusted root with another id for the log's key": Difference(
        "trust-root-malformed", FORMS, "it computes the id from the key and never looks at the one that stands there"
    ),
    "index + 1": Difference("inclusion-proof", REKOR_2, "it does not compare the entry's index with its proof's"),
    "checkpoint of another size": Difference("inclusion-proof", FORMS, "it compares the root hash only"),
    "checkpoint of another origin": Difference(
        "checkpoint-origin", REKOR_1, "it reads the origin and does not compare it with anything"
    ),
    "checkpoint of another origin, by the log": Difference("checkpoint-origin", FORMS, "likewise"),
    "checkpoint with junk lines before its signature": Difference(
        "checkpoint",
        FORMS,
        "it passes over lines that are no signatures (C2SP signed-note: malformed)",
    ),
    "timestamp over something else": Difference("timestamp-imprint", REKOR_1, SKIPPED),
    "timestamp by a stranger": Difference("timestamp-untrusted", REKOR_1, SKIPPED),
    "timestamp with status rejection": Difference("timestamp-status", REKOR_1, SKIPPED),
    "timestamp of a flipped signature": Difference("timestamp-signature", REKOR_1, SKIPPED),
    "timestamp over a SHA-1": Difference("timestamp", REKOR_1, SKIPPED),
    "timestamp authority window starts a second later": Difference("tsa-window", REKOR_1, SKIPPED),
    "timestamp authority window ended a second before": Difference("tsa-window", REKOR_1, SKIPPED),
    "a good and a stranger's timestamp": Difference("timestamp-untrusted", FORMS, SKIPPED),
    "timestamp naming another certificate": Difference(
        "timestamp-signer", FORMS, "it does not look at ESSCertID (RFC 5816), which binds the signer's certificate"
    ),
    "another algorithm for messageDigest": Difference(
        "digest-mismatch", FILES, "it compares the digest and not what algorithm made it"
    ),
    "number with a leading zero": Difference("field-value", FORMS, LENIENT),
    "body with spaces in its base64": Difference("base64", FORMS, LENIENT),
    "names in snake_case": Difference("field-missing", FORMS, LENIENT),
    "media type twice": Difference("json-duplicate-key", FORMS, "of two equal keys it takes the last"),
    # It refuses what we accept.
    "timestamp authority window ends just then": Difference(
        HELD, REKOR_2, "it leaves out the last moment of the window; the specification says that both ends belong to it"
    ),
    "newer issuer extension only": Difference(
        HELD, FORMS, "it asks for the old issuer extension, which Fulcio calls deprecated"
    ),
    "two equal SCTs": Difference(HELD, FORMS, "it wants one SCT; certificates may hold several (RFC 6962 section 3.3)"),
    "numbers instead of strings": Difference(
        HELD, FORMS, "protobuf JSON lets 64-bit numbers be numbers; each has one value either way"
    ),
    "version 0.1, no checkpoint": Difference(
        HELD, REKOR_1, "version 0.1 needs a promise only; it demands a proof with a checkpoint"
    ),
    "version 0.1, no proof": Difference(HELD, REKOR_1, "likewise"),
    "subject without a name": Difference(
        HELD, STATEMENTS, "in-toto's ResourceDescriptor needs no name, and cosign 3 writes none; it demands one"
    ),
}
UNSUPPORTED = {
    "entry of kind intoto 0.0.1": "it knows hashedrekord and dsse only",
    "entry of kind intoto 0.0.2": "it knows hashedrekord and dsse only",
    "entry of kind dsse 0.0.2": "it knows no dsse entries of Rekor 2",
    "entries in two logs": "it wants exactly one entry",
    "an identity that is neither URI nor e-mail": "its X.509 library takes no OtherName, in which Fulcio writes these",
    "a timestamp only, by an instance without logs": "it wants a log in every trusted root",
}
REAL = {
    "intoto-with-custom-trust-root": UNSUPPORTED["entry of kind intoto 0.0.2"],
    "trust-root-tsa-validity-end-inclusive": DIFFERENCES["timestamp authority window ends just then"].why,
    "cosign-v3-image-signature": DIFFERENCES["subject without a name"].why,
}


def ours(case: Case) -> str:
    signer = KeylessSigner(TextRule(case.identity), TextRule(case.issuer), None)
    artifact = known_digest(Digest("sha256", case.artifact_sha256.hex()))
    return code_of(
        lambda: verify_blob(case.bundle, artifact, signer=signer, material=parse_trusted_root(case.trusted_root))
    )


def theirs(case: Case) -> str:
    return second_opinion(case.bundle, case.artifact_sha256, case.trusted_root, case.identity, case.issuer)


def test_near_misses() -> None:
    expected = {f"{form}: {name}": line.ours for name, line in DIFFERENCES.items() for form in line.forms}
    found, held = {}, 0
    for case in cases():
        mine, other = ours(case), theirs(case)
        if (mine == HELD) != (other == HELD):
            found[case.name] = mine
        held += mine == other == HELD
    assert found == expected
    assert len(cases()) - len(found) >= 400
    assert held >= 100


def test_names_are_unique() -> None:
    assert len({case.name for case in cases()}) == len(cases())


def test_further_forms() -> None:
    verdicts = {case.name: (ours(case), theirs(case) == HELD) for case in unusual()}
    assert {name: told for name, told in verdicts.items() if not told[1]} == dict.fromkeys(UNSUPPORTED, (HELD, False))
    assert {told[0] for told in verdicts.values()} == {HELD}


def real_cases(shared: Path) -> Iterator[Case]:
    """Those that a certificate signed: the API of `sigstore` knows no others."""
    folder = shared / "real" / "sigstore-bundles"
    public_good = (shared / "real" / "trust" / "trusted_root.public-good.json").read_bytes()
    for each in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("managed-key")):
        own = {path.name: path for path in each.iterdir()}
        artifact = own.get("artifact", folder / "a.txt").read_bytes()
        identity = own["identity"].read_text().strip() if "identity" in own else BEACON
        issuer = own["issuer"].read_text().strip() if "issuer" in own else GITHUB
        root = own["trusted_root.json"].read_bytes() if "trusted_root.json" in own else public_good
        yield Case(each.name, own["bundle.sigstore.json"].read_bytes(), root, sha256(artifact), identity, issuer)
    yield _image_signature((folder / "cosign-v3-image-signature.sigstore.json").read_bytes(), public_good)


def _image_signature(raw: bytes, root: bytes) -> Case:
    bundle = parse_bundle(raw)
    assert bundle.certificate is not None
    assert isinstance(bundle.content, Envelope)
    signer = read_identity(bundle.certificate)
    digest = parse_statement(bundle.content.payload).subjects[0].digests["sha256"]
    return Case("cosign-v3-image-signature", raw, root, bytes.fromhex(digest), signer.san, signer.issuer)


def test_real_ones(shared: Path) -> None:
    found = {}
    for case in real_cases(shared):
        mine, other = ours(case), theirs(case)
        assert (mine == HELD) != case.name.endswith("_fail"), (case.name, mine)
        if (mine == HELD) != (other == HELD):
            found[case.name] = mine
    assert found == dict.fromkeys(REAL, HELD)


def test_a_file_in_hand(shared: Path) -> None:
    """By path as by digest."""
    folder = shared / "real" / "sigstore-bundles"
    artifact = Content((folder / "a.txt").read_bytes())
    material = parse_trusted_root((shared / "real" / "trust" / "trusted_root.public-good.json").read_bytes())
    signer = KeylessSigner(TextRule(BEACON), TextRule(GITHUB), None)
    for case in real_cases(shared):
        if case.issuer == GITHUB and case.artifact_sha256 == artifact.hash("sha256"):
            material = parse_trusted_root(case.trusted_root)
            by_path = code_of(
                lambda case=case, root=material: verify_blob(case.bundle, artifact, signer=signer, material=root)
            )
            assert by_path == ours(case)


@pytest.mark.parametrize("name", ["DIFFERENCES", "UNSUPPORTED", "REAL"])
def test_each_difference_has_a_reason(name: str) -> None:
    for reason in globals()[name].values():
        assert len(reason.why if isinstance(reason, Difference) else reason) > 10 or reason.why == "likewise"
