"""README in a bundle is a promise: its lines, run as they stand, check the bundle with stock tools alone.

The test does what the text says, letter by letter: it takes the script out of the bundle with the two commands that the
text names, and runs it with bash. What is tampered with must make it fail.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from securesystemslib.signer import Key

from bundler.archive.head import readme_text
from bundler.archive.inventory import format_inventory
from bundler.archive.layout import layout_index
from bundler.strict_json import MAX_SAFE_INTEGER, format_canonical
from tests.simulators.bundles import build_bundle, sample_inventory, walk_members
from tests.simulators.tuf_repository import TufRepository
from trust_root.keys import tuf_key

TOOLS = ("bash", "tar", "jq", "openssl", "zstd", "sha256sum", "xargs", "mktemp", "paste")


@pytest.fixture(scope="module", autouse=True)
def stock_tools() -> None:
    for tool in TOOLS:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if "GNU tar" not in subprocess.run(["tar", "--version"], capture_output=True, text=True, check=False).stdout:
        pytest.skip("tar is not GNU tar")


@dataclass(frozen=True)
class EcdsaKey:
    """A holder with a P-256 or P-384 key, as a hardware token has; stands in for `SigningKey`."""

    private: ec.EllipticCurvePrivateKey

    @property
    def public(self) -> Key:
        return tuf_key(self.private.public_key())

    def sign(self, payload: bytes) -> str:
        algorithm, order = (hashes.SHA256(), P256) if self.private.key_size == 256 else (hashes.SHA384(), P384)
        r, s = decode_dss_signature(self.private.sign(payload, ec.ECDSA(algorithm)))
        return encode_dss_signature(r, min(s, order - s)).hex()


P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P384 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973


@dataclass(frozen=True)
class Delivery:
    """A bundle under a real trust root, in a folder of its own."""

    folder: Path
    raw: bytes
    pin: str

    def check(self, raw: bytes | None = None, *, pin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Follow README: take its script out, run it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "FILE").write_bytes(self.raw if raw is None else raw)
        commands = [line[2:] for line in readme_text().decode().splitlines() if line.startswith("$ ")]
        assert len(commands) == 2
        take_out, run = commands
        subprocess.run(["bash", "-c", take_out], cwd=self.folder, check=True, capture_output=True)
        run = run.replace("PIN", pin or self.pin)
        return subprocess.run(["bash", "-c", run], cwd=self.folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    repository = TufRepository("main", targets={"keys/publisher.pub": b"a key", "policies/a.toml": b"a policy"})
    repository.add_root(
        holders=[EcdsaKey(ec.generate_private_key(curve)) for curve in (ec.SECP256R1(), ec.SECP384R1())]
    )  # type: ignore[misc]
    repository.publish()
    inventory, contents = sample_inventory()
    repository.export("main", format_inventory(inventory))
    built = build_bundle(inventory, contents, repository.files("main"))
    return Delivery(tmp_path_factory.mktemp("delivery") / "here", built.raw, hashlib.sha256(repository.pin).hexdigest())


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    """The same images under one root with one key: less to run, for what is tampered with."""
    repository = TufRepository("main", holders=1, threshold=1, targets={"keys/publisher.pub": b"a key"})
    inventory, contents = sample_inventory()
    repository.export("main", format_inventory(inventory))
    built = build_bundle(inventory, contents, repository.files("main"))
    return Delivery(tmp_path_factory.mktemp("lean") / "here", built.raw, hashlib.sha256(repository.pin).hexdigest())


@pytest.fixture(scope="module")
def unpacked(delivery: Delivery) -> subprocess.CompletedProcess[str]:
    """README followed once."""
    return delivery.check()


def test_a_good_bundle_passes_and_unpacks(delivery: Delivery, unpacked: subprocess.CompletedProcess[str]) -> None:
    assert unpacked.returncode == 0, unpacked.stderr
    assert unpacked.stdout.startswith(
        "the files are those that stream main signed:\ninventory 1 of 2026-11-23T12:00:00Z"
    )
    assert "image registry.example/app:1 sha256:" in unpacked.stdout
    assert "left out linux/arm64 sha256:" in unpacked.stdout
    layout = delivery.folder / "FOLDER"
    inventory, contents = sample_inventory()
    for digest, content in contents.items():
        assert (layout / "blobs" / "sha256" / digest.hex).read_bytes() == content
    assert (layout / "index.json").read_bytes() == layout_index(inventory)
    platforms = json.loads((layout / "platforms" / "index.json").read_bytes())
    (entry,) = platforms["manifests"]
    assert entry["digest"] == str(inventory.images[0].platforms[0].digest)
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "registry.example/app:1-linux-amd64"


def test_skopeo_reads_what_was_unpacked(delivery: Delivery, unpacked: subprocess.CompletedProcess[str]) -> None:
    """A platform from the second layout; the attestation from the first; its index is partial, and that fails."""
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    assert unpacked.returncode == 0
    subject = sample_inventory()[0].images[0].evidence[0].subject.hex
    for source, passes in (
        ("FOLDER/platforms:registry.example/app:1-linux-amd64", True),
        (f"FOLDER:registry.example/app:sha256-{subject}.att", True),
        ("FOLDER:registry.example/app:1", False),
    ):
        command = ["skopeo", "copy", "--insecure-policy", "--all", f"oci:{source}", "dir:out"]
        done = subprocess.run(command, cwd=delivery.folder, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is passes, (source, done.stderr)


def tamper(member: str, change: Callable[[bytes], bytes], part: str = "content") -> Callable[[bytes], bytes]:
    """Change the header, content or padding of the first member whose name matches."""

    def apply(raw: bytes) -> bytes:
        offset = next(offset for name, offset in walk_members(raw) if re.fullmatch(member, name))
        size_bytes = int(raw[offset + 124 : offset + 135], 8)
        padded = size_bytes + -size_bytes % 512
        starts = {"header": 0, "content": 512, "padding": 512 + size_bytes, "end": 512 + padded}
        start = offset + starts[part]
        end = offset + {"header": 512, "content": 512 + size_bytes, "padding": 512 + padded}[part]
        return raw[:start] + change(raw[start:end]).ljust(end - start, b"\0") + raw[end:]

    return apply


def flipped(raw: bytes) -> bytes:
    return raw[:50] + bytes([raw[50] ^ 1]) + raw[51:]


def with_owner(header: bytes) -> bytes:
    changed = header[:108] + b"0001750\0" + header[116:148] + b" " * 8 + header[156:]
    return changed[:148] + b"%06o\0 " % sum(changed) + changed[156:]


def last_padding(raw: bytes) -> bytes:
    return raw[:-1] + b"!"


TAMPERINGS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a-blob": (tamper("blobs/sha256/[a-f0-9]{64}", flipped), "a blob has another hash"),
    "a-frame": (tamper(r".*\.zst", flipped), "a blob has another hash"),
    "the-inventory": (tamper("inventory.json", flipped), "inventory.json is not what"),
    "index.json": (tamper("index.json", flipped), "index.json"),
    "oci-layout": (tamper("oci-layout", lambda raw: raw[:-2] + b"!}"), "oci-layout"),
    "a-target": (tamper("trust/targets/.*", lambda raw: b"!" + raw[1:]), "trust/targets/"),
    "a-root": (tamper("trust/metadata/1.root.json", lambda raw: raw.replace(b'"version":1', b'"version":2')), "1.root"),
    "timestamp-respelled": (tamper(".*timestamp.json", lambda raw: raw.replace(b'":', b'" :', 1)[:-1]), "canonical"),
    "an-owner": (tamper("oci-layout", with_owner, "header"), "not only plain files"),
    "padding": (tamper("oci-layout", last_padding, "padding"), "the archive holds more than its members"),
    "more": (lambda raw: raw + bytes(4096), "the archive holds more than its members"),
    "truncated": (lambda raw: raw[:-8192], ""),
}


@pytest.mark.parametrize("title", sorted(TAMPERINGS))
def test_tampering_fails(lean: Delivery, title: str) -> None:
    change, says = TAMPERINGS[title]
    changed = change(lean.raw)
    assert changed != lean.raw
    done = lean.check(changed)
    assert done.returncode != 0
    assert says in done.stderr + done.stdout


def test_the_untouched_bundle_passes(lean: Delivery) -> None:
    assert lean.check().returncode == 0


def test_another_pin_fails(lean: Delivery) -> None:
    done = lean.check(pin="a" * 64)
    assert done.returncode != 0
    assert "the root that you pinned is not in this bundle" in done.stderr


def test_too_few_signatures_fail(tmp_path: Path) -> None:
    """The second root is signed by one of two old holders only."""
    repository = TufRepository("main")
    repository.add_root(signers=repository.holders[:1])
    inventory, contents = sample_inventory()
    repository.export("main", format_inventory(inventory))
    built = build_bundle(inventory, contents, repository.files("main"))
    done = Delivery(tmp_path / "here", built.raw, hashlib.sha256(repository.pin).hexdigest()).check()
    assert done.returncode != 0
    assert "is signed by too few keys" in done.stderr


def test_jq_writes_our_canonical_form() -> None:
    """README leans on it: sorted keys and no spaces give the signed bytes, whatever metadata can contain."""
    allowed = [point for point in range(0x20, 0x11000) if not (0x7F <= point <= 0x9F or 0xD800 <= point <= 0xDFFF)]
    text = "".join(map(chr, allowed)) + "\U0001f600\U000e0001\U0001fffe\U0010ffff"
    integers = [
        *(10**power for power in range(16)),
        *(2**power for power in range(53)),
        MAX_SAFE_INTEGER,
        123456789012345,
    ]
    raw = format_canonical(
        {"a": text, "integers": integers, "Z": None, "_": [True, False, {}, []], "": "", "a.b": {"x": '"\\/'}, "a-b": 1}
    )
    done = subprocess.run(["jq", "-cSj", "."], input=raw, capture_output=True, check=True)
    assert done.stdout == raw


def test_the_text_itself() -> None:
    text = readme_text().decode("ascii")
    lines = text.splitlines()
    assert lines[0] == "Sealift bundle, format 1"
    assert text.endswith("\n")
    assert max(map(len, lines)) <= 80
    assert not re.search(r"[^\n -~]", text)
    script = "\n".join(line[1:].removeprefix(" ") for line in lines if line.startswith("|"))
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_text_is_constant(root: Path) -> None:
    """README is part of the format number: its hash stands in FORMAT.md, and changes only before release 1.0."""
    digest = hashlib.sha256(readme_text()).hexdigest()
    document = (root / "bundler" / "archive" / "FORMAT.md").read_text(encoding="utf-8")
    assert digest in document


def test_stock_tar_lists_the_members(delivery: Delivery, tmp_path: Path) -> None:
    path = tmp_path / "FILE"
    path.write_bytes(delivery.raw)
    done = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [name for name, _ in walk_members(delivery.raw)]
    assert done.stderr == ""


def test_stock_zstd_opens_every_frame(delivery: Delivery) -> None:
    built = build_bundle()
    frames = [blob for blob in built.inventory.blobs if blob.stored == "zstd"]
    assert frames
    for blob in frames:
        start = built.offset_of(blob.member_name) + 512
        stored = built.raw[start : start + blob.stored_size_bytes]
        done = subprocess.run(["zstd", "-dcq", "--memory=8MB"], input=stored, capture_output=True, check=True)
        assert io.BytesIO(done.stdout).read() == built.contents[blob.digest]
