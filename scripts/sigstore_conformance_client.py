"""Client for the public suite sigstore-conformance: a thin wrapper around `sealift verify-blob`.

    sigstore_conformance_client.py verify-bundle [--staging] --bundle FILE
        (--certificate-identity I --certificate-oidc-issuer U | --key K) [--trusted-root FILE] FILE_OR_DIGEST

A non-zero exit code means rejected. A path wins only if the argument is not `sha256:` and 64 hex digits. Sealift signs
nothing here and asks nobody: without --trusted-root, the trusted root is that of the site's accepted targets.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bundler.cli.main import main

UNKNOWN = 2


def run(arguments: list[str]) -> int:
    """Translate one call of the suite."""
    if arguments[:1] != ["verify-bundle"]:
        print(f"sealift does not know {arguments[:1]}: only verify-bundle", file=sys.stderr)
        return UNKNOWN
    rest = [word for word in arguments[1:] if word != "--staging"]
    if len(rest) + 1 < len(arguments) and "--trusted-root" not in rest:
        print("hint: --staging names no trusted root here; give it with --trusted-root FILE", file=sys.stderr)
        return UNKNOWN
    return main(["verify-blob", *rest])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
