"""Evidence about one image: where it was looked for, what answered, what was found (DESIGN section 1; THREATS E6, E7).

Rules of this module:
- Every document that is carried is a subject: the index, nested indexes, platform manifests, attestation manifests. So
  is every manifest of evidence that was found: an SBOM may be signed, a referrer may have referrers.
- Each place is asked about each subject, and each answer is recorded. A place that cannot answer ends the export, with
  the subject and the place; unless the settings allow to lack all that it could have held, and then that is recorded.
  A fault of this machine (disk, credentials, certificates) is no answer of any place, and always ends it.
- A place cannot keep us busy for ever: evidence and searches are counted as they come.
- cosign's tags hold one manifest each: two different ones for one kind and one subject are refused.
- An attestation manifest inside the index that also answers as a referrer is listed once, as what it is.
- The order of findings is that of subjects and places, whoever answered first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from bundler import limits
from bundler.archive.inventory import Evidence, Search
from bundler.archive.layout import BLOB_TYPES
from bundler.digest import Digest
from bundler.errors import EnvError, MalformedError, RejectedError, SealiftError, UnsupportedError
from bundler.escaping import escape
from bundler.evidence.kind import BUILDKIT_ATTESTATION
from bundler.network.referrers import REFERRER
from bundler.network.source import ABSENT, FOUND, Answer, Place
from bundler.network.threads import in_threads
from bundler.oci.annotations import attested_digest
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import ImageGraph, Read, walk
from bundler.oci.manifest import ImageIndex, ImageManifest
from bundler.value import replace

IN_INDEX = "index"
_FAILURE_CHARACTERS = 200  # of an answer that was no answer
_NO_ANSWERS = frozenset({"network", "stalled", "connection-lost"})  # and all of a registry's own

_Asked = tuple[Digest, Place, Answer]


class Findings:
    """Evidence found so far, and where it was looked for."""

    def __init__(self, graph: ImageGraph, children: Sequence[Digest]) -> None:
        self._graph = graph
        self._children = children
        self._nodes: dict[Digest, Descriptor] = {node.digest: node for node in graph.nodes}
        self._tagged: dict[tuple[Digest, str], Descriptor] = {}
        self.evidence: dict[tuple[str, Digest, Digest], Evidence] = {}
        self.searches: list[Search] = []
        self.manifests: dict[Digest, ImageManifest] = {}

    def search_indexes(self) -> None:
        """Attestation manifests that stand in the image's indexes."""
        documents = self._graph.documents
        indexes = [document for document in documents.values() if isinstance(document, ImageIndex)]
        for child in (child for index in indexes for child in index.manifests):
            subject = attested_digest(child)
            if subject is not None and child.digest in documents:
                manifest = documents[child.digest]
                if isinstance(manifest, ImageIndex):
                    raise _not_a_manifest(child.digest)
                self.manifests[child.digest] = manifest
                self._add(BUILDKIT_ATTESTATION, subject, child, IN_INDEX)
        attested = {subject for _, subject, _ in self.evidence}
        if indexes:
            for digest in self._children:
                self.searches.append(Search(digest, IN_INDEX, FOUND if digest in attested else ABSENT))

    def search_places(
        self, places: Callable[[Digest], Sequence[Place]], read: Read, may_lack: frozenset[str] = frozenset()
    ) -> None:
        """Ask every place about every document, then about the evidence found, until nothing new is found.

        Args:
            places: gives the places for a subject.
            read: gives a document's bytes.
            may_lack: words of evidence for which a place need not answer.

        Raises:
            EnvError: a place could not answer.
            RejectedError: an answer with no one meaning, or ambiguous evidence (``evidence-ambiguous``).
        """
        subjects = list(self._graph.documents)
        asked = set(subjects)
        for _ in range(limits.EVIDENCE_DEPTH):
            pairs = [(subject, place) for subject in subjects for place in places(subject)]
            answers = in_threads(lambda pair: _ask(pair[0], pair[1], may_lack), pairs, limits.LOOKUP_THREADS)
            subjects = []
            for subject, place, answer in answers:
                self.searches.append(Search(subject, place.name, answer.said))
                _check_count(len(self.searches), limits.IMAGE_SEARCHES, subject, place)
                for descriptor in answer.found:
                    with _naming(subject, place):
                        is_subject = self._take(subject, place, descriptor, read)
                    _check_count(len(self.evidence), limits.IMAGE_EVIDENCE, subject, place)
                    if is_subject and descriptor.digest not in asked:
                        asked.add(descriptor.digest)
                        subjects.append(descriptor.digest)
            if not subjects:
                return
        raise MalformedError(
            "limits", "evidence", str(subjects[0]), got="evidence about evidence, and so on",
            want=f"at most {limits.EVIDENCE_DEPTH} steps from the image",
        )  # fmt: skip

    def nodes(self) -> tuple[Descriptor, ...]:
        """Everything that travels, each digest once: the image's own first."""
        return tuple(self._nodes.values())

    def _take(self, subject: Digest, place: Place, descriptor: Descriptor, read: Read) -> bool:
        """Take in one thing that a place gave; whether it is a manifest that evidence can be about."""
        plain = replace(descriptor, platform=None, annotations={}, artifact_type=None)
        if place.kind in BLOB_TYPES:
            self._nodes.setdefault(plain.digest, plain)
            self._add(place.kind, subject, plain, place.name)
            return False
        if place.kind == REFERRER and (BUILDKIT_ATTESTATION, subject, plain.digest) in self.evidence:
            return True
        if place.kind != REFERRER:
            self._check_beside(plain)
            self._check_only_one(subject, place, plain)
        graph = walk(plain, read)
        document = graph.documents[plain.digest]
        if isinstance(document, ImageManifest):
            self.manifests[plain.digest] = document
        elif place.kind != REFERRER:
            raise _not_a_manifest(plain.digest)
        if place.kind != REFERRER:
            _check_sizes(document)
        for node in graph.nodes:
            self._nodes.setdefault(node.digest, node)
        self._add(place.kind, subject, plain, place.name)
        return True

    def _check_beside(self, descriptor: Descriptor) -> None:
        """A tag that gives a document of the image itself gives no evidence; the far side would refuse it."""
        if descriptor.digest in self._graph.documents:
            raise MalformedError(
                "digest-role", "evidence", str(descriptor.digest), got="a manifest of the image itself",
                want="evidence beside it",
            )  # fmt: skip

    def _check_only_one(self, subject: Digest, place: Place, descriptor: Descriptor) -> None:
        known = self._tagged.setdefault((subject, place.kind), descriptor)
        if known.digest != descriptor.digest:
            raise RejectedError(
                "evidence-ambiguous",
                place.kind,
                f"of {subject}",
                got=f"{known.digest} and {descriptor.digest}",
                want="one manifest",
            )

    def _add(self, kind: str, subject: Digest, entry: Descriptor, place: str) -> None:
        found_by = place.partition(" ")[0]
        self.evidence.setdefault(
            (kind, subject, entry.digest),
            Evidence(kind, subject, entry.digest, entry.media_type, entry.size_bytes, found_by),
        )


def _ask(subject: Digest, place: Place, may_lack: frozenset[str]) -> _Asked:
    try:
        with _naming(subject, place):
            return subject, place, place.ask()
    except (EnvError, RejectedError, UnsupportedError) as error:
        if place.words <= may_lack and _is_of_the_place(error):
            said = escape(f"no answer: {error.got or error.code}")
            return subject, place, Answer((), said[:_FAILURE_CHARACTERS])
        raise


def _is_of_the_place(error: SealiftError) -> bool:
    """Whether it is the place that did not answer, or answered nonsense; not a fault of this machine."""
    return not isinstance(error, EnvError) or error.code in _NO_ANSWERS or error.code.startswith("registry-")


def _check_count(count: int, maximum: int, subject: Digest, place: Place) -> None:
    if count > maximum:
        with _naming(subject, place):
            raise MalformedError("limits", "evidence", got=f"over {maximum} findings or searches", want="fewer")


@contextlib.contextmanager
def _naming(subject: Digest, place: Place) -> Iterator[None]:
    """Add to an error what was looked for, and where."""
    try:
        yield
    except SealiftError as error:
        error.hints = (*error.hints, f"looking for evidence about {subject}, place {place.name}")
        raise


def _check_sizes(document: ImageIndex | ImageManifest) -> None:
    """cosign's evidence is read whole by whoever verifies it."""
    for layer in document.layers if isinstance(document, ImageManifest) else ():
        if layer.size_bytes > limits.EVIDENCE_BLOB_BYTES:
            raise MalformedError(
                "limits",
                "evidence",
                str(layer.digest),
                got=f"{layer.size_bytes} bytes",
                want=f"at most {limits.EVIDENCE_BLOB_BYTES}",
            )


def _not_a_manifest(digest: Digest) -> MalformedError:
    return MalformedError("evidence-type", "evidence", str(digest), got="an index", want="a manifest")
