"""VEX of accepted images as a site remembers it: whose word is taken is decided anew, by the policy of today.

Rules of this module:
- A signed document is verified again, now, with the trusted material that the site has accepted by now: the manifest
  that holds its signature is kept beside it. What was signed then and does not hold any more settles nothing.
- Proofs that the exporter had fetched from a log are not kept: a signature is as well logged as it says itself.
- Where the signature was not kept, as by older versions, a document is shown, and that it cannot be judged is told.
- An unsigned one counts by the name in it, where the policy names it (verify/vex_word.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bundler.archive.inventory import Evidence
from bundler.digest import Digest
from bundler.errors import RejectedError, SealiftError, TrustError, UnsupportedError
from bundler.evidence.cosign import read_items
from bundler.evidence.kind import COSIGN_ATTESTATION
from bundler.evidence.referrer import Item, read_referrer
from bundler.oci.manifest import MANIFEST_TYPES, OCI_MANIFEST, ImageManifest, parse_manifest
from bundler.value import dataclass, replace
from bundler.verify.appraisal import ITEM_FAILURES, Appraisal
from bundler.verify.keyring import Keyring
from bundler.verify.vex_word import VexWord
from bundler.vulnerability.findings import Note
from bundler.vulnerability.recollection import recall_document, recall_vex
from bundler.vulnerability.remembered import VEX, Paper, RememberedImage
from bundler.vulnerability.vex import VexSource
from trust_root.newest import accepted_targets
from trust_root.site import Site

_UNKEPT = "its signature was not kept when its delivery was accepted; verify the bundle again, and it can be judged"


def is_signature_of(paper: Paper) -> bool:
    """Whether a paper among VEX is a manifest that holds another one's signature."""
    return paper.kind == VEX and paper.declared in MANIFEST_TYPES


@dataclass(slots=True)
class Recaller:
    """What remembered documents are judged with. One does for all deliveries below a pin.

    Attributes:
        pin: below which they came.
    """

    site: Site
    pin: Digest
    at: datetime
    _keyring: Keyring | TrustError | None = None

    def keyring(self) -> Keyring | TrustError:
        """What the site trusts by now, for whoever signed below this pin; or why that is nothing any more.

        Raises:
            TrustError: the site has no such pin (``no-pin``).
        """
        if self._keyring is None:
            judge = self.site.judge_of(self.site.held(self.pin))
            try:
                self._keyring = Keyring(accepted_targets(judge, self.at, self.site.rules.grace))
            except TrustError as error:  # expired, or signed by who was retired
                self._keyring = error
        return self._keyring

    def attached(self, image: RememberedImage, papers: tuple[Paper, ...], word: VexWord) -> Iterator[VexSource | Note]:
        """VEX of a remembered image; what cannot be read or judged is a note.

        Args:
            image: the image.
            papers: its VEX documents.
            word: whose word is taken.
        """
        for paper in papers:
            about = f"VEX about {paper.platform or 'the whole image'} of {image.name}"
            try:
                document = recall_vex(self.site, paper)
            except (RejectedError, UnsupportedError) as error:
                yield Note("vex-unread", about, str(error))
                continue
            source = VexSource(document, f"of {image.name}", paper.strength, accepted=False, signer=paper.signer)
            if not paper.signer:
                yield replace(source, accepted=word.takes(document.author, word.owner))
                continue
            if not word.signers:
                yield source
                continue
            yield from self._signed(image, paper, source, word)

    def _signed(
        self, image: RememberedImage, paper: Paper, source: VexSource, word: VexWord
    ) -> Iterator[VexSource | Note]:
        about = f"VEX about {paper.platform or 'the whole image'} of {image.name}"
        keyring = self.keyring()
        try:
            if isinstance(keyring, TrustError):
                yield _held_no_more(about, keyring)
            elif (item := self._item(image, paper)) is None:
                yield Note("vex-unjudged", about, _UNKEPT)
            else:
                verified, accepted = word.judge(Appraisal(_evidence(item, paper), item, keyring, self.at))
                source = replace(source, accepted=accepted, signer=str(verified.signer))
        except ITEM_FAILURES as error:
            yield _held_no_more(about, error)
        yield source

    def _item(self, image: RememberedImage, paper: Paper) -> Item | None:
        """The signed document with its signature, as the manifest has it; None where that was not kept."""
        holder = next((one for one in image.papers if is_signature_of(one) and one.content == paper.manifest), None)
        if holder is None:
            return None
        manifest = parse_manifest(recall_document(self.site, holder.content), holder.declared)
        if not isinstance(manifest, ImageManifest):
            return None
        layers = tuple(layer for layer in manifest.layers if layer.digest == paper.content)
        alone = replace(manifest, layers=layers[:1])  # of its other layers nothing is kept

        def read(digest: Digest) -> bytes:
            return recall_document(self.site, digest)

        if manifest.subject is None:
            return next(iter(read_items(alone, COSIGN_ATTESTATION, read)), None)
        return next(iter(read_referrer(alone, read).items), None)


def _held_no_more(about: str, error: SealiftError) -> Note:
    return Note("vex-unjudged", about, f"it does not hold by what this site knows by now: [{error.code}] {error}")


def _evidence(item: Item, paper: Paper) -> Evidence:
    """What the inventory said of it, as far as judging needs it."""
    return Evidence(item.kind, paper.subject, paper.manifest, OCI_MANIFEST, 0, "kept")
