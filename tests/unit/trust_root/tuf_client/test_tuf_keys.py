"""Keys, thresholds and rotations: who counts, who does not, and who has to sign what after whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey

from bundler.digest import sha256_of
from bundler.errors import MalformedError
from bundler.fields import Fields
from tests.simulators.tuf_general import NOW, Client, GeneralRepository, alias, new_signer, private_of
from trust_root.keys import InvalidKeySignatureError
from trust_root.tuf_client.keys import VerifyingKey, parse_key
from trust_root.tuf_client.walk import refresh


def key_of(keytype: Any, scheme: Any, public: Any) -> VerifyingKey | None:
    value = {"keytype": keytype, "scheme": scheme, "keyval": {"public": public}, "x-unknown": 1}
    return parse_key(Fields(value, "key"))


def pem(public: Any) -> str:
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


# -- one key ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_every_kind_of_key_signs_every_role(kind: str) -> None:
    repository = GeneralRepository(kind=kind)
    assert Client(repository).refresh() == "ok"


def test_ecdsa_in_all_its_spellings() -> None:
    signer = CryptoSigner.generate_ecdsa()
    private: Any = private_of(signer)
    public = private.public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
    signature = signer.sign(b"payload").signature
    materials = set()
    for keytype, text in [
        ("ecdsa", pem(public)),
        ("ecdsa-sha2-nistp256", pem(public)),
        ("ecdsa-sha2-nistp256", point),
        ("ecdsa", point.upper()),
    ]:
        key = key_of(keytype, "ecdsa-sha2-nistp256", text)
        assert key is not None
        key.verify(signature, b"payload")
        key.verify(signature.upper(), b"payload")
        with pytest.raises(InvalidKeySignatureError):
            key.verify(signature, b"other")
        materials.add(key.material)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert materials == {sha256_of(der)}


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_larger_curves(curve: ec.EllipticCurve) -> None:
    private = ec.generate_private_key(curve)
    signer = CryptoSigner(private)
    key = key_of("ecdsa", f"ecdsa-sha2-nistp{curve.key_size}", pem(private.public_key()))
    assert key is not None
    key.verify(signer.sign(b"payload").signature, b"payload")
    assert key_of("ecdsa", "ecdsa-sha2-nistp256", pem(private.public_key())) is None


@pytest.mark.parametrize("padding", ["rsassa-pss", "rsa-pkcs1v15"])
@pytest.mark.parametrize("bits", ["256", "384", "512"])
def test_rsa_schemes(padding: str, bits: str) -> None:
    private: Any = private_of(new_signer("rsa"))
    scheme = f"{padding}-sha{bits}"
    signer = CryptoSigner(private, _rsa_key(private, scheme))
    key = key_of("rsa", scheme, pem(private.public_key()))
    assert key is not None
    signature = signer.sign(b"payload").signature
    key.verify(signature, b"payload")
    other = key_of("rsa", f"{padding}-sha{'512' if bits != '512' else '256'}", pem(private.public_key()))
    assert other is not None
    with pytest.raises(InvalidKeySignatureError):
        other.verify(signature, b"payload")


def _rsa_key(private: rsa.RSAPrivateKey, scheme: str) -> Any:
    return SSlibKey.from_crypto(private.public_key(), scheme=scheme)


@pytest.mark.parametrize(
    ("keytype", "scheme", "public"),
    [
        ("ed25519", "ed25519", "00" * 31),
        ("ed25519", "ed25519", "zz" * 32),
        ("ed25519", "ed25519ph", "00" * 32),
        ("ed25519", "ed25519", None),
        ("ed25519", "ed25519", "a" * 100_000),
        ("ecdsa", "ecdsa-sha2-nistp256", "04" + "00" * 64),
        ("ecdsa", "ecdsa-sha2-nistp256", "not pem"),
        ("ecdsa", "ecdsa-sha2-nistp256", ""),
        ("ecdsa", "ecdsa-sha2-nistp521", "04"),
        ("rsa", "rsassa-pss-sha1", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"),
        ("rsa", "rsassa-pss-sha256", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
        ("sigstore-oidc", "Fulcio", {"identity": "x"}),
        ("ml-dsa", "ml-dsa-65/1", "x"),
        ("ecdsa", "ed25519", "00" * 32),
    ],
)
def test_keys_that_cannot_be_used_sign_nothing(keytype: str, scheme: str, public: Any) -> None:
    assert key_of(keytype, scheme, public) is None


def test_keys_of_another_kind_than_named() -> None:
    private: Any = private_of(new_signer("rsa"))
    assert key_of("ecdsa", "ecdsa-sha2-nistp256", pem(private.public_key())) is None
    curve = ec.generate_private_key(ec.SECP256R1())
    assert key_of("rsa", "rsassa-pss-sha256", pem(curve.public_key())) is None
    small = rsa.generate_private_key(65537, 1024)
    assert key_of("rsa", "rsassa-pss-sha256", pem(small.public_key())) is None


@pytest.mark.parametrize("value", [{}, {"keytype": 1, "scheme": "a", "keyval": {}}, {"keytype": "a", "scheme": "a"}])
def test_what_is_no_key_is_malformed(value: Any) -> None:
    with pytest.raises(MalformedError):
        parse_key(Fields(value, "key"))


@pytest.mark.parametrize("signature", ["", "0", "zz", "00" * 5000, " " + "00" * 64, "00" * 63, "00" * 64])
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_what_is_no_signature_holds_for_no_key(kind: str, signature: str) -> None:
    public = new_signer(kind).public_key
    key = key_of(public.keytype, public.scheme, public.keyval["public"])
    assert key is not None
    with pytest.raises(InvalidKeySignatureError):
        key.verify(signature, b"payload")


# -- thresholds ------------------------------------------------------------------


def three_snapshot_keys() -> tuple[GeneralRepository, Client]:
    repository = GeneralRepository()
    client = Client(repository)
    repository.rotate("snapshot", *(new_signer() for _ in range(3)), threshold=3)
    repository.next_root()
    repository.publish(bump=True)
    assert client.refresh() == "ok"
    return repository, client


def test_a_threshold_above_the_number_of_keys_is_never_met() -> None:
    repository, client = three_snapshot_keys()
    repository.root.roles["snapshot"].threshold = 4
    repository.next_root()
    repository.publish(bump=True)
    assert client.refresh() == "threshold"
    assert client.versions == (3, 3, 2, 1)


def test_one_signature_too_few() -> None:
    repository, client = three_snapshot_keys()
    repository.signers["snapshot"].pop()
    repository.publish(bump=True)
    assert client.refresh() == "threshold"


def test_a_key_without_its_role_does_not_count() -> None:
    """The root lists the key, but not for the snapshot."""
    repository, client = three_snapshot_keys()
    gone = repository.signers["snapshot"].pop()
    repository.signers["snapshot"].append(repository.signers["root"][0])
    repository.publish(bump=True)
    assert client.refresh() == "threshold"
    repository.signers["snapshot"].append(gone)
    repository.publish(bump=True)
    assert client.refresh() == "ok"


def test_a_key_id_twice_in_a_role_is_malformed() -> None:
    repository, client = three_snapshot_keys()
    repository.root.roles["snapshot"].keyids.append(repository.root.roles["snapshot"].keyids[0])
    repository.next_root()
    assert client.refresh() == "metadata-form"
    assert client.version("root") == 2


def test_one_key_under_many_ids_counts_once() -> None:
    repository = GeneralRepository()
    signer = new_signer()
    repository.rotate("timestamp", *(alias(signer, f"name {n}") for n in range(3)), threshold=2)
    repository.next_root()
    repository.publish(bump=True)
    assert Client(repository).refresh() == "threshold"
    repository.add_key("timestamp", new_signer(key_id="another"))
    repository.next_root()
    repository.publish(bump=True)
    assert Client(repository).refresh() == "ok"


def test_key_ids_are_names() -> None:
    repository = GeneralRepository()
    for role in ("root", "timestamp", "snapshot", "targets"):
        before = list(repository.signers[role])
        repository.rotate(role, new_signer(key_id=f"the {role}'s é key"))
        if role == "root":
            repository.next_root(*before)
    repository.next_root()
    repository.publish(bump=True)
    assert Client(repository).refresh() == "ok"


def test_a_signature_twice_under_one_id_is_malformed() -> None:
    repository = GeneralRepository()
    document = json.loads(repository.files["timestamp.json"])
    document["signatures"] *= 2
    repository.files["timestamp.json"] = json.dumps(document).encode()
    assert Client(repository).refresh() == "metadata-form"


@pytest.mark.parametrize("stray", [{"keyid": "stranger", "sig": "00" * 64}, {"keyid": "", "sig": ""}])
def test_signatures_of_no_use_do_not_hurt(stray: dict[str, str]) -> None:
    repository = GeneralRepository()
    document = json.loads(repository.files["timestamp.json"])
    document["signatures"].insert(0, stray)
    repository.files["timestamp.json"] = json.dumps(document).encode()
    assert Client(repository).refresh() == "ok"


def test_keys_of_the_future_do_not_hurt_those_of_today() -> None:
    repository = GeneralRepository()
    document = json.loads(repository.pin)
    document["signed"]["keys"]["future"] = {"keytype": "x", "scheme": "y", "keyval": {"public": 7}}
    document["signed"]["roles"]["timestamp"]["keyids"] += ["future", "unlisted"]
    repository.files["1.root.json"] = _signed_by_hand(repository, document["signed"])
    assert Client(repository).refresh() == "ok"
    document["signed"]["roles"]["timestamp"]["threshold"] = 2
    repository.files["1.root.json"] = _signed_by_hand(repository, document["signed"])
    assert Client(repository).refresh() == "threshold"


def _signed_by_hand(repository: GeneralRepository, signed: Any) -> bytes:
    payload = (encode_canonical(signed) or "").encode()
    signatures = [signer.sign(payload).to_dict() for signer in repository.signers["root"]]
    return json.dumps({"signatures": signatures, "signed": signed}).encode()


@pytest.mark.parametrize("threshold", [0, -1, True, "1", 1.0])
def test_a_threshold_of_none_is_malformed(threshold: Any) -> None:
    repository = GeneralRepository()
    signed = json.loads(repository.pin)["signed"]
    signed["roles"]["targets"]["threshold"] = threshold
    document = {"signatures": [], "signed": signed}
    repository.files["1.root.json"] = json.dumps(document).encode()
    assert Client(repository).refresh() == "metadata-form"


# -- rotations ------------------------------------------------------------------

Step = tuple[str, int, str, str]
"""Keys of the new version by letter, its threshold, who signs it, what the client says."""

ROOT_ROTATIONS: dict[str, list[Step]] = {
    "1 of 1": [("a", 1, "a", "ok"), ("a", 1, "a", "ok")],
    "1 of 1, unsigned": [("a", 1, "a", "ok"), ("a", 1, "", "threshold")],
    "1 of 1, stranger": [("a", 1, "a", "ok"), ("a", 1, "b", "threshold")],
    "1 of 2": [("ab", 1, "a", "ok"), ("ab", 1, "b", "ok"), ("ab", 1, "c", "threshold")],
    "2 of 2": [("ab", 2, "ab", "ok"), ("ab", 2, "a", "threshold")],
    "rotated with both": [("a", 1, "a", "ok"), ("b", 1, "ab", "ok"), ("c", 1, "bc", "ok")],
    "rotated by the old one only": [("a", 1, "a", "ok"), ("b", 1, "a", "threshold")],
    "rotated by the new one only": [("a", 1, "a", "ok"), ("b", 1, "b", "threshold")],
    "rotated by neither": [("a", 1, "a", "ok"), ("b", 1, "", "threshold")],
    "3 of 5, one goes": [("abcde", 3, "acd", "ok"), ("abcdf", 3, "abc", "ok")],
    "3 of 5, all but two go": [("abcde", 3, "abc", "ok"), ("bcfgh", 3, "abcfgh", "ok")],
    "3 of 5, old ones too few": [("abcde", 3, "abc", "ok"), ("bcfgh", 3, "bcfgh", "threshold")],
    "3 of 5, new ones too few": [
        ("abcde", 3, "abc", "ok"),
        ("bcfgh", 3, "abcf", "ok"),
        ("fghij", 3, "fg", "threshold"),
    ],
    "threshold goes up": [("ab", 1, "a", "ok"), ("ab", 2, "a", "threshold")],
    "threshold goes up, signed": [("ab", 1, "a", "ok"), ("ab", 2, "ab", "ok")],
    "threshold goes down": [("ab", 2, "ab", "ok"), ("ab", 1, "a", "threshold")],
    "threshold goes down, signed by all": [("ab", 2, "ab", "ok"), ("ab", 1, "ab", "ok"), ("ab", 1, "a", "ok")],
    "back to the first key": [("a", 1, "a", "ok"), ("b", 1, "ab", "ok"), ("a", 1, "ab", "ok")],
}


@pytest.mark.parametrize("steps", ROOT_ROTATIONS.values(), ids=ROOT_ROTATIONS)
def test_root_rotations(steps: list[Step]) -> None:
    keys = {letter: new_signer() for letter in "abcdefghij"}
    repository = GeneralRepository()
    repository.root.version = 0
    good = 0
    client: Client | None = None
    for number, (members, threshold, signers, expected) in enumerate(steps, 1):
        repository.rotate("root", *(keys[letter] for letter in members), threshold=threshold)
        repository.publish_root(signers=[keys[letter] for letter in signers], bump=True)
        if client is None:
            client = Client(repository)
        assert client.refresh() == expected
        good = number if expected == "ok" else good
        assert client.version("root") == good


ROLE_ROTATIONS: dict[str, list[Step]] = {
    "1 of 1": [("a", 1, "a", "ok")],
    "1 of 1, unsigned": [("a", 1, "", "threshold")],
    "1 of 1, stranger": [("a", 1, "b", "threshold")],
    "1 of 2": [("ab", 1, "b", "ok")],
    "2 of 2": [("ab", 2, "ab", "ok")],
    "2 of 2, one missing": [("ab", 2, "b", "threshold")],
    "3 of 5": [("abcde", 3, "ace", "ok"), ("abcde", 3, "bcd", "ok"), ("abcde", 3, "bc", "threshold")],
    "rotated": [("a", 1, "a", "ok"), ("b", 1, "b", "ok")],
    "rotated, signed by the old one": [("a", 1, "a", "ok"), ("b", 1, "a", "threshold")],
    "rotated, signed by both": [("a", 1, "a", "ok"), ("b", 1, "ab", "ok")],
    "threshold goes up": [("ab", 1, "a", "ok"), ("ab", 2, "a", "threshold")],
    "threshold goes down": [("ab", 2, "ab", "ok"), ("ab", 1, "b", "ok")],
}


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("steps", ROLE_ROTATIONS.values(), ids=ROLE_ROTATIONS)
def test_rotations_of_other_roles(role: str, steps: list[Step]) -> None:
    keys = {letter: new_signer() for letter in "abcde"}
    repository = GeneralRepository()
    client = Client(repository)
    for members, threshold, signers, expected in steps:
        repository.rotate(role, *(keys[letter] for letter in members), threshold=threshold)
        repository.next_root()
        repository.signers[role] = [keys[letter] for letter in signers]
        repository.targets.version += 1
        repository.publish(bump=True)
        assert client.refresh() == expected


def test_a_cached_file_is_judged_by_the_newest_root() -> None:
    """Its key went: it neither counts nor holds back."""
    repository = GeneralRepository()
    client = Client(repository)
    assert client.refresh() == "ok"
    repository.rotate("targets")
    repository.next_root()
    assert client.refresh() == "threshold"
    repository.publish()  # the same versions, signed by the new key
    assert client.refresh() == "ok"
    assert client.store.load("targets") == repository.files["1.targets.json"]


def test_the_walk_tells_all_roots_and_who_they_name() -> None:
    repository = GeneralRepository()
    repository.next_root()
    walk = refresh(repository.pin, repository, NOW)
    assert walk.roots == (repository.files["1.root.json"], repository.files["2.root.json"])
    assert walk.root.body.version == 2
    assert len(walk.root.body.roles["root"].members) == 1


Edit = Callable[[Any], object]


@pytest.mark.parametrize(
    "edit",
    [
        lambda signed: signed["roles"].pop("snapshot"),
        lambda signed: signed.pop("roles"),
        lambda signed: signed.pop("keys"),
        lambda signed: signed.update(keys=[]),
        lambda signed: signed.update(consistent_snapshot="yes"),
        lambda signed: signed.update(consistent_snapshot=None),
        lambda signed: signed["roles"]["root"].update(keyids="ab"),
        lambda signed: signed["roles"]["root"].update(keyids=[1]),
        lambda signed: signed["roles"].update(root=None),
    ],
)
def test_roots_that_lack_what_they_need(edit: Edit) -> None:
    repository = GeneralRepository()
    signed = json.loads(repository.pin)["signed"]
    edit(signed)
    repository.files["1.root.json"] = _signed_by_hand(repository, signed)
    assert Client(repository).refresh() == "metadata-form"


def test_too_many_keys() -> None:
    repository = GeneralRepository()
    signed = json.loads(repository.pin)["signed"]
    signed["keys"] |= {str(n): {"keytype": "x", "scheme": "y", "keyval": {}} for n in range(1100)}
    repository.files["1.root.json"] = _signed_by_hand(repository, signed)
    assert Client(repository).refresh() == "metadata-form"


def test_a_root_need_not_say_that_snapshots_are_consistent() -> None:
    repository = GeneralRepository(consistent=False)
    signed = json.loads(repository.pin)["signed"]
    del signed["consistent_snapshot"]
    repository.files["1.root.json"] = _signed_by_hand(repository, signed)
    assert Client(repository).refresh() == "ok"
