"""What a short command must not import: nearly all of its time is imports, so this holds the budgets without a clock.

Figures are the matter of `make bench` (DESIGN section 7); a test that measured them would fail on a busy machine. Here
stands why they are met: what is not needed is not there, and our own modules are counted.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.make_demo_images import APP
from tests.delivered import Delivered

# Ends as the command does, and prints on stderr what it imported.
PROGRAM = """
import sys
before = set(sys.modules)
from bundler.cli.main import main
code = main(sys.argv[1:])
print("\\n".join(sorted(set(sys.modules) - before)), file=sys.stderr)
sys.exit(code)
"""
OURS = ("bundler", "trust_root")

# Never needed offline, away from a terminal and without a page to write; nor libraries of services, where installed.
NEVER = {
    "asn1crypto", "asyncio", "azure", "boto3", "bundler.export", "bundler.network", "bundler.report.html_page",
    "google.cloud", "http", "hvac", "importlib.metadata", "importlib.resources", "jinja2", "multiprocessing", "pkcs11",
    "pkg_resources", "rich", "ssl", "urllib.request", "urllib3",
}  # fmt: skip
# Not needed before a file is opened.
HEAVY = {
    "bundler.archive", "bundler.deliver", "bundler.digest", "bundler.evidence", "bundler.identity", "bundler.oci",
    "bundler.transparency", "bundler.value", "bundler.verify", "cryptography", "dataclasses", "email", "hashlib",
    "logging", "securesystemslib", "socket", "subprocess", "tempfile", "tomllib", "tuf", "zstandard",
}  # fmt: skip
# Not needed unless evidence is judged; X.509 brings `email` and `socket` along.
JUDGING = {"bundler.verify.policy", "bundler.verify.signatures", "cryptography.x509", "email", "socket"}


def imported(*words: str | Path) -> set[str]:
    """What a command imports in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] in OURS}


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("trust", "--help")])
def test_help_imports_hardly_anything(words: tuple[str, ...]) -> None:
    names = imported(*words)
    assert names & (NEVER | HEAVY) == set()
    assert len(ours(names)) <= 10, sorted(ours(names))


@pytest.mark.parametrize("command", ["inspect", "verify", "diff", "export", "verify-blob"])
def test_help_of_a_command_opens_no_room(command: str) -> None:
    names = imported(command, "--help")
    assert names & (NEVER | {"cryptography", "tuf", "zstandard", "bundler.archive", "bundler.verify"}) == set()


def test_a_bundle_is_shown_without_what_judges_evidence(delivered: Delivered) -> None:
    names = imported("inspect", delivered.bundle, "--state", delivered.state)
    assert names & (NEVER | JUDGING) == set()
    assert len(ours(names)) <= 80, sorted(ours(names))


@pytest.mark.parametrize("view", ["--sbom", "--provenance", "--signatures", "--tree"])
def test_an_image_is_shown_without_what_connects_or_draws(delivered: Delivered, view: str) -> None:
    names = imported("inspect", delivered.bundle, APP, view, "--state", delivered.state)
    assert names & NEVER == set()
    assert len(ours(names)) <= 150, sorted(ours(names))


def test_x509_is_for_certificates() -> None:
    """It takes an eighth of the time of `inspect --sbom`, and images without certificates do not wait for it."""
    text = "import sys, bundler.deliver.image_inspection, bundler.verify.pipeline; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert "bundler.identity.certificate" in done.stdout.split()
    assert "cryptography.x509" not in done.stdout.split()


def verify_words(delivered: Delivered) -> tuple[str | Path, ...]:
    policy = ("--policy", delivered.policy, "--state", delivered.state)
    return ("verify", delivered.bundle, *policy, "--read-only", "--quiet")


def test_verify_neither_connects_nor_draws(delivered: Delivered) -> None:
    names = imported(*verify_words(delivered))
    assert names & NEVER == set()
    assert len(ours(names)) <= 160, sorted(ours(names))


def test_verify_reads_bytes_without_what_judges_evidence(delivered: Delivered) -> None:
    """What does that is half of our modules; a bundle without trust is refused, and blobs are hashed, without it."""
    before_the_first_blob = f"""
from bundler.archive.reader import ArchiveReader
def stop(*_, **__): raise SystemExit(0)
ArchiveReader.read_members = stop
import sys
try:
    exec({PROGRAM!r})
except SystemExit:
    print("\\n".join(sys.modules), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", before_the_first_blob, *verify_words(delivered)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    names = set(done.stderr.split())
    assert "bundler.verify.pipeline" in names
    assert names & (NEVER | JUDGING - {"bundler.verify.policy"} | {"bundler.verify.claims"}) == set()
    assert len(ours(names)) <= 95, sorted(ours(names))
