"""What is wrong with a bundle's bytes, collected instead of raised, so that one bad sector does not hide the rest.

Codes of a `Damage`:
    header          a member's header is not the derived one
    padding         a byte after a content is not zero
    end             a byte after the last member is not zero
    truncated       the file ends too early
    trailing-data   bytes follow where the file should end
    read-error      the medium did not give the bytes (EIO and the like)
    file-changed    the file's size or time of change moved while it was read
    derived-content oci-layout or index.json is not what the inventory derives
    blob-digest     the stored bytes do not have the signed hash
    content-digest  the frame is as signed, but its content has another hash than the inventory says
    frame-...       the frame is as signed, but is not one that the format allows (zstd_frame.py)
"""

from __future__ import annotations

from bundler.digest import Digest
from bundler.errors import DamagedError
from bundler.value import dataclass

END = "(end of file)"


@dataclass(frozen=True, slots=True)
class Damage:
    """One fault.

    Attributes:
        member: name of the member, or `END`.
        digest: the blob whose content cannot be used; None when no content is lost (a header, padding, the end).
        code: see the module.
        detail: one line for people.
    """

    member: str
    digest: Digest | None
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Integrity:
    """Every fault after the head, in the order of the file, and how many bytes were read, head included."""

    damages: tuple[Damage, ...]
    bytes_read: int

    @property
    def damaged(self) -> frozenset[Digest]:
        """The blobs whose content cannot be used."""
        return frozenset(damage.digest for damage in self.damages if damage.digest is not None)

    def require_whole(self) -> None:
        """Raise the first fault, if there is one.

        Raises:
            DamagedError: with the fault's code.
        """
        for damage in self.damages:
            raise DamagedError(damage.code, "bundle member", damage.member, got=damage.detail)


def damage_of(error: DamagedError, member: str, digest: Digest | None) -> Damage:
    """The fault that an error tells."""
    facts = ", ".join(part for part in (error.got, error.want and f"expected {error.want}") if part)
    return Damage(member, digest, error.code, facts)
