"""`sealift verify-blob`: one Sigstore bundle for one file or digest, offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.options import clock, read_settings_file, state_folder
from bundler.errors import RejectedError, TrustError, UsageError
from bundler.escaping import escape
from bundler.value import dataclass

if TYPE_CHECKING:
    from bundler.digest import Content
    from bundler.identity.keys import PublicKey
    from bundler.verify.blob import VerifiedBlob
    from bundler.verify.keyring import Keyring
    from bundler.verify.material import TrustedMaterial
    from bundler.verify.policy import KeylessSigner

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_NEED_A_ROOT = frozenset({"log-unknown", "timestamp-untrusted"})  # what a key's signature may bring
_HOW_TO_NAME_A_ROOT: tuple[str, ...] = (
    "name one: --trusted-root trusted_root.json",
    "or verify a bundle of a stream that publishes one, first",
)
_EPILOG = """\b
Examples:
  sealift verify-blob app.tar.gz --bundle app.sigstore.json --key release.pub
  sealift verify-blob sha256:HEX --bundle app.sigstore.json --trusted-root trusted_root.json \\
    --certificate-identity https://github.com/team/app/.github/workflows/release.yml@refs/tags/v1 \\
    --certificate-oidc-issuer https://token.actions.githubusercontent.com

Exit codes: 0 verified, 1 rejected, 2 usage, 4 trust (what the site accepted, time).
"""


@dataclass(frozen=True, slots=True)
class _Options:
    """What was typed, beside ARTIFACT and --bundle."""

    certificate_identity: str | None
    certificate_identity_regexp: str | None
    certificate_oidc_issuer: str | None
    key: str | None
    trusted_root: str | None
    trusted_root_name: str | None
    state: str | None


@dataclass(frozen=True, slots=True)
class AcceptedRoots:
    """The trusted roots among a site's accepted targets; `disputed` names stand for two of different trust roots."""

    keyring: Keyring
    disputed: frozenset[str]


@click.command(name="verify-blob", epilog=_EPILOG)
@click.argument("artifact", metavar="ARTIFACT|sha256:HEX")
@click.option("--bundle", "bundle_file", metavar="FILE", required=True, help="The Sigstore bundle.")
@click.option("--certificate-identity", metavar="IDENTITY", help="Who must have signed, exactly.")
@click.option("--certificate-identity-regexp", metavar="REGEXP", help="Likewise, as a pattern `^…$` for all of it.")
@click.option("--certificate-oidc-issuer", metavar="URL", help="Who must have vouched for the identity.")
@click.option("--key", metavar="FILE", help="Instead: the public key that must have signed.")
@click.option("--trusted-root", metavar="FILE", help="trusted_root.json [the one among this site's accepted targets].")
@click.option("--trusted-root-name", metavar="NAME", help="Which of these to take, where there are several.")
@click.option("--state", metavar="DIR", help="State folder [SEALIFT_STATE, or the XDG state folder].")
@click.option(
    "--allow-root-certificate", is_flag=True, help="Weaker: take a Sigstore bundle with a root certificate inside."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify_blob(artifact: str, bundle_file: str, as_json: bool, allow_root_certificate: bool, **typed: Any) -> int:
    """Verify that a Sigstore bundle signs ARTIFACT: a file, or the digest of one. Offline."""
    from bundler.verify import blob

    options = _Options(**typed)
    signer = _signer(options)
    material = _material(options)
    raw = _read(bundle_file)
    try:
        verified = blob.verify_blob(
            raw, _artifact(artifact), signer=signer, material=material, at=clock(),
            allow_root_certificate=allow_root_certificate,
        )  # fmt: skip
    except RejectedError as error:
        if material is not None or error.code not in _NEED_A_ROOT:
            raise
        raise RejectedError(
            error.code, error.what, error.which, got=error.got, want=error.want, hints=_HOW_TO_NAME_A_ROOT
        ) from error
    click.echo(_as_json(verified) if as_json else _as_text(verified))
    return 0


def _signer(options: _Options) -> KeylessSigner | PublicKey:
    from bundler.fields import Fields
    from bundler.identity.keys import parse_public_key
    from bundler.verify.policy import KeylessSigner
    from bundler.verify.policy_text import parse_text_rule

    named = {
        name: value
        for name in ("certificate_identity", "certificate_identity_regexp", "certificate_oidc_issuer")
        if (value := getattr(options, name)) is not None
    }
    if (options.key is None) == (not named):
        raise UsageError(
            "usage", "signer", got="none, or two kinds",
            want="--certificate-identity with --certificate-oidc-issuer, or --key",
        )  # fmt: skip
    if options.key is not None:
        return parse_public_key(read_settings_file(Path(options.key), "public key"))
    fields = Fields(named, "signer")
    rules = []
    for name in ("certificate_identity", "certificate_oidc_issuer"):
        try:
            rules.append(parse_text_rule(fields, name))
        except UsageError as error:
            option = f"--{name.replace('_', '-')}"
            hints = [hint for hint in error.hints if "policy" not in hint]
            raise UsageError("usage", "option", option, got=error.got, want="a value for it", hints=hints) from error
    return KeylessSigner(rules[0], rules[1], None)


def _material(options: _Options) -> TrustedMaterial | None:
    """The trusted root named, or that of the site. A key needs none, unless there are log entries or timestamps."""
    from bundler.verify.material import parse_trusted_root

    name = options.trusted_root_name
    if options.trusted_root is not None:
        if name is not None:
            raise UsageError("usage", "trusted root", got="a file and a name", want="one of the two")
        return parse_trusted_root(read_settings_file(Path(options.trusted_root), "trusted root"))
    accepted = accepted_roots(options.state)
    if options.key is not None and name is None and (accepted is None or not accepted.keyring.root_names):
        return None
    hints = _HOW_TO_NAME_A_ROOT
    if accepted is None:
        raise RejectedError("trusted-root-missing", "trusted root", got="no site here", want="one", hints=hints)
    try:
        material = accepted.keyring.trusted_root(name)
    except RejectedError as error:
        if error.code == "trusted-root-ambiguous":
            hints = tuple(f"--trusted-root-name {choice}" for choice in accepted.keyring.root_names)
        raise RejectedError(error.code, error.what, error.which, got=error.got, want="one", hints=hints) from error
    chosen = name or accepted.keyring.root_names[0]
    if chosen in accepted.disputed:
        raise RejectedError(
            "trusted-root-ambiguous", "trusted root", chosen, got="published by two trust roots, and not the same",
            want="one", hints=hints[:1],
        )  # fmt: skip
    return material


def accepted_roots(state: str | None) -> AcceptedRoots | None:
    """What all trust roots of a site publish; None where there is no site.

    Raises:
        TrustError: the site's state cannot be used, what it accepted has expired by its clock and by what it knows of
            time, or the clock is a day behind that (``clock-behind``).
    """
    from bundler.verify.keyring import Keyring
    from trust_root.delivery import time_basis
    from trust_root.newest import accepted_targets
    from trust_root.site import load_site

    try:
        site = load_site(state_folder(state), read_only=True)
    except TrustError as error:
        if error.code != "no-pin":
            raise
        return None
    at = time_basis(clock(), site.floor).at
    found: dict[str, set[bytes]] = {}
    for pin in (pin for pin in site.loaded.pins if pin.record.retired is None):
        for path, raw in accepted_targets(pin, at, site.rules.grace).items():
            found.setdefault(path, set()).add(raw)
    disputed = Keyring({path: b"" for path, contents in found.items() if len(contents) > 1}).root_names
    return AcceptedRoots(Keyring({path: min(contents) for path, contents in found.items()}), frozenset(disputed))


def _artifact(text: str) -> Content:
    """A digest if it has the form of one, whatever files there are; a file otherwise."""
    from bundler.digest import parse_digest
    from bundler.verify.blob import hash_artifact, known_digest

    if _DIGEST.fullmatch(text):
        return known_digest(parse_digest(text))
    try:
        with Path(text).open("rb") as stream:
            return hash_artifact(stream)
    except (OSError, ValueError) as error:
        raise UsageError("file", "artifact", text, got=str(error), want="a readable file, or sha256:HEX") from error


def _read(path: str) -> bytes:
    from bundler import limits
    from bundler.errors import EnvError
    from bundler.safe_file import read_bounded

    try:
        return read_bounded(Path(path), limits.EVIDENCE_BLOB_BYTES, "Sigstore bundle")
    except EnvError as error:
        raise UsageError("file", "Sigstore bundle", path, got=error.got, want="a readable file") from error


def _facts(verified: VerifiedBlob) -> dict[str, Any]:
    from bundler.identity.keys import KeyIdentity
    from bundler.verify.strength import strength_of_logs

    who = verified.signer
    if isinstance(who, KeyIdentity):
        signer: dict[str, Any] = {"signer": str(who), "issuer": "", "certificate": {}}
    else:
        signer = {"signer": who.san, "issuer": who.issuer, "certificate": dict(who.extensions)}
    return {
        "verdict": "verified",
        "digest": str(verified.digest),
        **signer,
        "strength": strength_of_logs(verified.logs, stamped=bool(verified.times)),
        "times": [{"at": time.at.isoformat(), "source": time.source} for time in verified.times],
        "logs": [{"log": fact.log_url, "log_index": fact.log_index, "kind": fact.entry_kind} for fact in verified.logs],
        "predicate_type": verified.statement.predicate_type if verified.statement else "",
        "weakened": list(verified.weakened),
    }


def _as_json(verified: VerifiedBlob) -> str:
    import json

    return json.dumps(_facts(verified), indent=2, sort_keys=True)


def _as_text(verified: VerifiedBlob) -> str:
    facts = _facts(verified)
    lines = [f"verified  {facts['digest']}", f"  {facts['strength']}", f"  by {escape(facts['signer'])}"]
    if facts["issuer"]:
        lines.append(f"  issuer {escape(facts['issuer'])}")
    if facts["predicate_type"]:
        lines.append(f"  statement {escape(facts['predicate_type'])}")
    lines += [f"  at {time['at']} by {escape(time['source'])}" for time in facts["times"]]
    lines += [f"  weaker: {phrase}" for phrase in facts["weakened"]]
    return "\n".join(lines)
