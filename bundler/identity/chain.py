"""The way from a signing certificate up to an authority of the trusted root, at given times.

Rules of this module:
- Certificates above the leaf come from the trusted root only. What a bundle or an annotation brings is never used.
- At each verified time: every certificate on the way is valid, the last one and expired intermediates included
  (CVE-2026-24122), and the authority's own window holds. Windows are how a compromise is told, so both ends count.
- Signatures, names, BasicConstraints, path length, KeyUsage and ExtendedKeyUsage are checked for each certificate
  (RFC 5280 section 6.1), in the order the trusted root gives: issuer of the leaf first, anchor last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise

from bundler import limits
from bundler.errors import RejectedError
from bundler.identity.certificate import ANY_EXTENDED_KEY_USAGE, CODE_SIGNING, Certificate
from bundler.moment import Window
from bundler.value import dataclass


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """An authority of the trusted root: its certificates, issuer of leaves first, anchor last, and its window."""

    uri: str
    chain: tuple[Certificate, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class CertificatePath:
    """A leaf that was found good at all the times asked for."""

    leaf: Certificate
    authority: CertificateAuthority

    @property
    def issuer(self) -> Certificate:
        """The certificate that signed the leaf."""
        return self.authority.chain[0]


def verify_chain(
    leaf: Certificate, authorities: Sequence[CertificateAuthority], times: Sequence[datetime]
) -> CertificatePath:
    """Find the authority that issued `leaf` and check the whole path at every one of `times`.

    Args:
        leaf: the signing certificate.
        authorities: those of the trusted root.
        times: verified times, at least one.

    Raises:
        RejectedError: ``no-signed-time`` without a time, ``cert-chain`` (no path), ``cert-usage`` (not for signing
            code), ``cert-expired`` (a certificate of the path), ``ca-window`` (the authority's window).
    """
    if not times:
        raise RejectedError("no-signed-time", "certificate", got="no verified time", want="at least one")
    _check_leaf(leaf)
    first: RejectedError | None = None
    for authority in authorities:
        if leaf.issuer != authority.chain[0].subject:
            continue
        try:
            return _verify_path(leaf, authority, times)
        except RejectedError as error:
            # The same authority may stand in the trusted root twice, with two keys or two windows.
            first = _plainer(first, error)
    raise first or _chain_error("an issuer that the trusted root does not hold", "one of its authorities")


def _plainer(first: RejectedError | None, error: RejectedError) -> RejectedError:
    """Of two refusals, the one by the authority whose key signed: it tells more than a namesake's."""
    return error if first is None or first.code == "cert-chain" else first


def _verify_path(leaf: Certificate, authority: CertificateAuthority, times: Sequence[datetime]) -> CertificatePath:
    path = (leaf, *authority.chain)
    check_links(path, CODE_SIGNING)
    for at in times:
        check_valid(path, at)
        if at not in authority.window:
            raise RejectedError(
                "ca-window",
                "authority",
                authority.uri,
                got=f"not trusted at {at.isoformat()}",
                want=str(authority.window),
            )
    return CertificatePath(leaf, authority)


def check_links(path: Sequence[Certificate], purpose: str) -> None:
    """Check that each certificate of `path` (leaf first) was issued by the next, an authority for `purpose` (an OID).

    Raises:
        RejectedError: code ``cert-chain``.
    """
    for below, (child, issuer) in enumerate(pairwise(path)):
        _check_authority(issuer, below, purpose)
        _check_issued(child, issuer)


@lru_cache(maxsize=limits.CACHED_CERTIFICATES)
def _check_issued(child: Certificate, issuer: Certificate) -> None:
    """Signatures do not change: each pair that held is remembered. Refusals are not."""
    child.check_issued_by(issuer)


def check_valid(path: Sequence[Certificate], at: datetime) -> None:
    """Check that every certificate of `path` is valid at a time.

    Raises:
        RejectedError: code ``cert-expired``.
    """
    for certificate in path:
        if at not in certificate.validity:
            raise RejectedError(
                "cert-expired", "certificate", str(certificate.fingerprint), got=f"not valid at {at.isoformat()}",
                want=str(certificate.validity),
            )  # fmt: skip


def _check_leaf(leaf: Certificate) -> None:
    if leaf.ca:
        raise _chain_error("an authority's certificate", "that of a signer")
    if not leaf.can_sign_content:
        raise _usage_error("no KeyUsage digitalSignature")
    if leaf.purposes is None or CODE_SIGNING not in leaf.purposes:
        raise _usage_error("no ExtendedKeyUsage codeSigning")


def _check_authority(issuer: Certificate, below: int, purpose: str) -> None:
    """Args: below: how many authorities stand between `issuer` and the leaf."""
    if not issuer.ca:
        raise _chain_error("an issuer that is no authority", "BasicConstraints CA")
    if issuer.path_length is not None and issuer.path_length < below:
        raise _chain_error(f"{below} authorities below", f"at most {issuer.path_length}")
    if issuer.can_sign_certificates is False:
        raise _chain_error("an issuer without KeyUsage keyCertSign", "one with it")
    if issuer.purposes is not None and not issuer.purposes & {purpose, ANY_EXTENDED_KEY_USAGE}:
        raise _chain_error("an issuer for other purposes", f"one for {purpose}")


def _chain_error(got: str, want: str) -> RejectedError:
    return RejectedError("cert-chain", "certificate", got=got, want=want)


def _usage_error(got: str) -> RejectedError:
    return RejectedError("cert-usage", "certificate", got=got, want="a certificate for signing code")
