"""PKCS#11 tokens in software (SoftHSM2), in a temporary folder: made by its own tools, filled by the PKCS#11 library.

The driver reads SOFTHSM2_CONF once, when it is loaded, so all tests of a process share one set of tokens:

    alice   root, on P-256                bob    root, on P-384             exporter   online, on P-256
    odd     twin (two keys of that name), k1 (on P-521), half (no private half)
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pkcs11
import pytest
from pkcs11.util.ec import encode_named_curve_parameters

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
PIN = "4711-plant"


def driver() -> str | None:
    """Where the driver is, if SoftHSM2 is installed."""
    found = [path for path in MODULES if Path(path).exists()]
    return found[0] if found and shutil.which("softhsm2-util") else None


class Tokens:
    """Tokens below one folder.

    Args:
        folder: where they live.
        labels: their names; each gets the same PIN.
    """

    def __init__(self, folder: Path, *labels: str) -> None:
        self.module = str(driver())
        store = folder / "tokens"
        store.mkdir(parents=True)
        config = folder / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {store}\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(config)
        for label in labels:
            subprocess.run(
                ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "12345678"],
                check=True,
                capture_output=True,
            )

    def make(self, token: str, label: str, curve: str = "secp256r1", *, private_too: bool = True) -> None:
        """Make a key pair on a token."""
        with pkcs11.lib(self.module).get_token(token_label=token).open(rw=True, user_pin=PIN) as session:
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True
            )
            _, private = parameters.generate_keypair(label=label, store=True, id=label.encode())
            if not private_too:
                private.destroy()

    def uri(self, token: str, label: str) -> str:
        """The URI of a key."""
        return f"pkcs11:token={token};object={label}?module-path={self.module}"


@cache
def _made() -> Tokens:
    folder = Path(tempfile.mkdtemp(prefix="sealift-softhsm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tokens = Tokens(folder, "alice", "bob", "exporter", "odd")
    tokens.make("alice", "root")
    tokens.make("bob", "root", "secp384r1")
    tokens.make("exporter", "online")
    tokens.make("odd", "twin")
    tokens.make("odd", "twin")
    tokens.make("odd", "k1", "secp521r1")
    tokens.make("odd", "half", private_too=False)
    return tokens


def shared_tokens() -> Tokens:
    """The tokens of this process; skips the test where SoftHSM2 is not installed."""
    if driver() is None:
        pytest.skip("softhsm2 is not installed (apt-get install softhsm2)")
    return _made()
