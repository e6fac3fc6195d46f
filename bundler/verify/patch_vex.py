"""What Copa says that it mended, beside the findings of the original's SBOM (vulnerability/PATCH.md).

Rules of this module:
- A document counts for the platform that the derivation statement names it for: that statement is signed and proved,
  and says which manifest it is about. The document's own digest has to be the same.
- A patched image has no SBOM of its own; findings are those of the original's. Copa's `fixed` is about the package by
  its name and kind, whatever version the SBOM lists: it says that this version is gone.
- It settles a finding only where the rule takes the author's word; otherwise it is shown.
- A document that cannot be read is told, and settles nothing. That no SBOM lists what the patch brought is told too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from bundler.digest import Digest
from bundler.errors import MalformedError, RejectedError, UnsupportedError
from bundler.evidence.derivation import Derivation, PatchedPlatform
from bundler.value import replace
from bundler.verify.derivation import ReadBlob
from bundler.vulnerability.copa_vex import CopaVex, parse_copa_vex
from bundler.vulnerability.findings import Finding, Note, VexVerdict
from bundler.vulnerability.purls import read_purl

_CLOCKS_DIFFER = timedelta(days=1)
_UNLISTED = "what the patch put on top is in no SBOM, and is not judged"


class PatchVex:
    """The documents of one proved derivation.

    Attributes:
        derivation: what was proved.
        notes: what of them could not be read, or says nothing here.
    """

    def __init__(
        self, derivation: Derivation, stream: str, read_blob: ReadBlob, authors: Iterable[str], at: datetime
    ) -> None:
        """Reads every document; `authors` are those whose word the rule takes, `at` the time of the verdict.

        Raises:
            DamagedError, EnvError: a document's bytes.
        """
        self.derivation = derivation
        self._stream = stream
        self.notes: list[Note] = []
        self._authors = frozenset(authors)
        self._until = at + _CLOCKS_DIFFER
        self._by_original: dict[Digest, CopaVex] = {}
        for platform in derivation.platforms:
            if platform.patched != platform.original:
                self.notes.append(Note("vulnerability-patch-unlisted", platform.platform, _UNLISTED))
            if platform.vex is not None:
                self._read(platform, platform.vex, read_blob)

    @property
    def platforms(self) -> tuple[tuple[str, Digest], ...]:
        """Platforms of the patched image, each with the original's manifest that it was made from."""
        return tuple((each.platform, each.original) for each in self.derivation.platforms)

    def digests(self, original: Digest) -> frozenset[Digest]:
        """Everything that the image and one of its platforms are known by, before and after."""
        claim = self.derivation
        patched = {each.patched for each in claim.platforms if each.original == original}
        return frozenset({original, claim.original.digest, claim.image, *patched})

    def apply(self, original: Digest, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Findings in the SBOM of one manifest of the original, with what Copa says of each beside it."""
        document = self._by_original.get(original)
        if document is None:
            return tuple(findings)
        mended: dict[tuple[str, str], set[str]] = defaultdict(set)
        for each in document.mended:
            mended[each.kind, each.package].add(each.vulnerability)
        return tuple(self._beside(finding, document, mended) for finding in findings)

    def _beside(self, finding: Finding, document: CopaVex, mended: dict[tuple[str, str], set[str]]) -> Finding:
        try:
            purl = read_purl(finding.package.purl)
        except MalformedError:
            return finding
        if not finding.is_named_whole(mended.get((purl.kind, purl.name), set())):
            return finding
        verdict = VexVerdict(
            status="fixed",
            justification="",
            author=document.author,
            document=document.identity,
            stated_at=document.stated_at,
            strength=f"named in the statement of stream {self._stream}",
            accepted=document.author in self._authors,
            detail="patched by Copa",
        )
        return replace(finding, vex=(*finding.vex, verdict))

    def _read(self, platform: PatchedPlatform, vex: Digest, read_blob: ReadBlob) -> None:
        try:
            document = parse_copa_vex(read_blob(vex), platform.patched)
        except (RejectedError, UnsupportedError) as error:
            self.notes.append(Note("vex-unread", platform.platform, f"[{error.code}] {error}"))
            return
        if document.stated_at > self._until:
            self.notes.append(Note("vex-later", platform.platform, f"{document.identity} is of a later time"))
            return
        self._by_original[platform.original] = document
        if document.unread:
            detail = f"{document.unread} statements of {document.identity} say nothing that is read here"
            self.notes.append(Note("vex-unread", platform.platform, detail))
        if document.author not in self._authors:
            detail = f"{document.author!r} says that {len(document.mended)} are mended; the rule does not take its word"
            self.notes.append(Note("vex-author", platform.platform, detail))
