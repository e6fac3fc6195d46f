"""The main job, shown: export, carry, verify; then tamper, and see it refused. Run by `make demo`.

Every command that a person would type is printed and run as typed, with the installed `sealift`. Everything lies in
demo-out/, which is made anew each time.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.make_demo_images import APP, LAYER_FILE, TOOL, make

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "demo-out"
SEALIFT = Path(sys.executable).parent / "sealift"


def say(text: str) -> None:
    print(f"\n── {text}", flush=True)


def sealift(*arguments: str, expect: int = 0) -> str:
    """Print and run one command; end the demo if its exit code is not the expected one."""
    print("$ sealift " + " ".join(arguments), flush=True)
    done = subprocess.run([SEALIFT, *arguments], cwd=OUT, capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr, end="", flush=True)
    if done.returncode != expect:
        sys.exit(f"demo: exit code {done.returncode}, expected {expect}")
    print(f"(exit code {done.returncode})", flush=True)
    return done.stdout


def flip(source: Path, target: Path, offset: int) -> None:
    """A copy of `source` with one bit of one byte changed."""
    raw = bytearray(source.read_bytes())
    raw[offset] ^= 1
    target.write_bytes(raw)


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    os.environ["SEALIFT_KEY_PASSPHRASE"] = secrets.token_hex(16)
    os.environ["SEALIFT_STATE"] = str(OUT / "site" / "state")

    say("two images to carry, with signatures, SBOMs and provenance")
    make(OUT / "images", datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1))
    print(f"{APP}\n{TOOL}")

    say("once: a trust root (2 of 3 keys), and what images may be signed with")
    sealift("trust", "init", "repository", "--keys", "keys", "--stream", "demo")
    sealift(
        "trust", "publish", "repository", "--keys", "keys",
        "--trusted-root", "demo=images/trusted_root.json", "--publisher-key", "team=images/team.pub",
    )  # fmt: skip

    say("connected side: export")
    sealift(
        "export", f"oci:images/app:{APP}", "oci:images/tool", "--name", TOOL,
        "--proofs", "none",  # the log of these images exists only in memory
        "-o", "delivery.bundle.tar", "--repository", "repository", "--keys", "keys", "--stream", "demo",
    )  # fmt: skip

    say("carry: the bundle by medium, the root and its fingerprint on another way")
    (OUT / "site").mkdir()
    shutil.copy(OUT / "delivery.bundle.tar", OUT / "site" / "delivery.bundle.tar")
    root = OUT / "repository" / "metadata" / "1.root.json"
    shutil.copy(root, OUT / "site" / "1.root.json")
    fingerprint = hashlib.sha256(root.read_bytes()).hexdigest()

    say("disconnected side: pin the root once, then verify with the site's own policy")
    sealift("trust", "pin", "site/1.root.json", "--sha256", fingerprint, "--site", "plant-7")
    sealift("verify", "site/delivery.bundle.tar", "--policy", "images/policy.toml")
    sealift("inspect", "site/delivery.bundle.tar")

    say("tamper: one bit of a layer")
    bundle = OUT / "site" / "delivery.bundle.tar"
    flip(bundle, OUT / "site" / "layer.bundle.tar", bundle.read_bytes().index(LAYER_FILE) + 600)
    sealift("verify", "site/layer.bundle.tar", "--policy", "images/policy.toml", expect=3)

    say("tamper: one bit of the trust metadata")
    flip(bundle, OUT / "site" / "trust.bundle.tar", bundle.read_bytes().index(b'"_type":"timestamp"') + 60)
    sealift("verify", "site/trust.bundle.tar", "--policy", "images/policy.toml", expect=4)

    say("a policy that names somebody else")
    other = (OUT / "images" / "policy.toml").read_text().replace("token.ci.example.org", "token.other.example.org")
    (OUT / "site" / "other.toml").write_text(other)
    sealift("verify", "site/delivery.bundle.tar", "--policy", "site/other.toml", expect=1)

    say("done: what was signed came through, what was changed did not")


if __name__ == "__main__":
    main()
