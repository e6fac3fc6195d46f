"""Names of the extensions of Fulcio certificates (Fulcio `docs/oid-info.md`, arc 1.3.6.1.4.1.57264.1).

They stand apart from what reads certificates, because a policy names them too, long before one is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ARC = "1.3.6.1.4.1.57264.1"

# Raw text up to .6, DER UTF8String from .9 on.
EXTENSION_NAMES: Mapping[str, str] = MappingProxyType(
    {
        f"{ARC}.2": "github-workflow-trigger",
        f"{ARC}.3": "github-workflow-sha",
        f"{ARC}.4": "github-workflow-name",
        f"{ARC}.5": "github-workflow-repository",
        f"{ARC}.6": "github-workflow-ref",
        f"{ARC}.9": "build-signer-uri",
        f"{ARC}.10": "build-signer-digest",
        f"{ARC}.11": "runner-environment",
        f"{ARC}.12": "source-repository-uri",
        f"{ARC}.13": "source-repository-digest",
        f"{ARC}.14": "source-repository-ref",
        f"{ARC}.15": "source-repository-identifier",
        f"{ARC}.16": "source-repository-owner-uri",
        f"{ARC}.17": "source-repository-owner-identifier",
        f"{ARC}.18": "build-config-uri",
        f"{ARC}.19": "build-config-digest",
        f"{ARC}.20": "build-trigger",
        f"{ARC}.21": "run-invocation-uri",
        f"{ARC}.22": "source-repository-visibility-at-signing",
        f"{ARC}.23": "deployment-environment",
    }
)
