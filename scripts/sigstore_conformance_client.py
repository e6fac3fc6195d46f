"""Client for the public suite sigstore-conformance: a thin wrapper around `sealift verify-blob`.

    sigstore_conformance_client.py verify-bundle [--staging] --bundle FILE
        (--certificate-identity I --certificate-oidc-issuer U | --key K) [--trusted-root FILE] FILE_OR_DIGEST

A non-zero exit code means rejected. A path wins only if the argument is not `sha256:` and 64 hex digits. Sealift signs
nothing here and asks nobody: without --trusted-root, the trusted root is one of the site's accepted targets, published
as `staging` for --staging (no other will do); otherwise the only one, or `public-good` where there are several.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bundler.cli.main import main
from bundler.cli.verify_blob import accepted_roots
from bundler.errors import SealiftError

UNKNOWN = 2
STAGING, PUBLIC_GOOD = "staging", "public-good"


def run(arguments: list[str]) -> int:
    """Translate one call of the suite."""
    if arguments[:1] != ["verify-bundle"]:
        print(f"sealift does not know {arguments[:1]}: only verify-bundle", file=sys.stderr)
        return UNKNOWN
    rest = [word for word in arguments[1:] if word != "--staging"]
    if "--trusted-root" not in rest:
        name = STAGING if len(rest) + 1 < len(arguments) else _usual_name()
        rest = [*(("--trusted-root-name", name) if name else ()), *rest]
    return main(["verify-blob", *rest])


def _usual_name() -> str | None:
    """`public-good` where there is a choice; a state that cannot be used is told by the command itself."""
    try:
        accepted = accepted_roots(None)
    except SealiftError:
        return None
    several = accepted is not None and len(accepted.keyring.root_names) > 1
    return PUBLIC_GOOD if several else None


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
