"""The door to python-tuf and securesystemslib: the classes that we use, without libraries of services that we do not.

`securesystemslib.signer` imports whatever it finds for signing in clouds and on tokens (boto3, azure, google.cloud,
hvac, keylet, pkcs11). Where such an extra is installed, each `inspect` and `verify` would wait for it (an eighth of its
time for pkcs11, more for a cloud's), and would hold clients of the network that it never needs (decision 0019).

Rules of this module:
- While python-tuf is first imported, those libraries look absent, as they are without the extra; afterwards they can be
  imported as ever. What another module has imported already is left alone.
- Keys, signatures and metadata do without them; only signers of services need them, and `open_service_signer` is the
  way to those: their module is read again, with its library in sight.
- Nobody else imports `tuf.api` or `securesystemslib.signer` (tests/test_architecture.py).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SERVICES = ("azure", "boto3", "google.cloud", "hvac", "keylet", "pkcs11")


@contextmanager
def _without_services() -> Iterator[None]:
    """None among the modules makes an import fail as that of a missing module does (Python's "The import system")."""
    hidden = [name for name in _SERVICES if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _without_services():
    from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, Key, Signer, SSlibKey
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import (
        DelegatedRole,
        Delegations,
        MetaFile,
        Role,
        Root,
        Signed,
        Snapshot,
        TargetFile,
        Targets,
        Timestamp,
    )


def open_service_signer(uri: str, public: Key) -> Signer:
    """A signer whose private key is in a service.

    Args:
        uri: securesystemslib's name of it, e.g. `awskms:alias/root`.
        public: its public half.

    Raises:
        UnsupportedLibraryError: the service's library is not installed.
        ValueError: no such scheme, or the name makes no sense.
    """
    scheme = uri.partition(":")[0]
    kind = SIGNER_FOR_URI_SCHEME.get(scheme)
    if kind is not None and kind.__module__.startswith("securesystemslib."):
        SIGNER_FOR_URI_SCHEME[scheme] = getattr(importlib.reload(sys.modules[kind.__module__]), kind.__name__)
    return Signer.from_priv_key_uri(uri, public)


__all__ = [
    "DelegatedRole", "Delegations", "Key", "MetaFile", "RepositoryError", "Role", "Root", "SSlibKey", "Signed",
    "Signer", "Snapshot", "TargetFile", "Targets", "Timestamp", "open_service_signer",
]  # fmt: skip
