"""Writing to a registry: blobs, manifests, tags (OCI distribution-spec 1.1, "Push"; THREATS S5 to S7, F19).

    with Registries(access) as registries:
        target = Targets(registries).repository(reference)
        target.push_blob(descriptor, content)
        target.push_manifest(raw, media_type, digest)

Rules of this module:
- The registry itself is written to and asked, never a mirror: what a mirror holds says nothing about the registry.
- Nothing but checked names, tags and digests becomes part of a URL.
- What is there is not sent. What another repository of the registry holds is mounted, where the registry does that.
- A manifest goes out as the bytes that it has, and the answer has to name their digest. Sending it twice is sound, but
  under a tag that others write too it is made anew each time (`push_tag`).
- NAME_UNKNOWN is an absence like any other here: a repository comes to be when something is pushed. So is Harbor's 404
  NOT_FOUND: what is taken for absent is sent, and read back.
- Nothing is ever deleted but our own unfinished uploads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal

from bundler import limits
from bundler.digest import Digest, sha256_of
from bundler.errors import EnvError, MalformedError
from bundler.network.answers import NAME_UNKNOWN, NOT_FOUND, read_faults, says_absent
from bundler.network.endpoint import Endpoint
from bundler.network.http import Answer, Request, answer_error
from bundler.network.listings import read_referrers
from bundler.network.push_answers import check_said_digest, read_subject, refusal
from bundler.network.push_outflow import Content
from bundler.network.push_upload import Session, Upload, cancel_session, read_session
from bundler.network.registry import Registries, Repository, check_target
from bundler.network.urls import Url
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_INDEX, parse_manifest
from bundler.oci.reference import Reference, parse_reference
from bundler.value import dataclass

__all__ = ["Abilities", "Content", "Pushed", "Stored", "Target", "Targets"]

Stored = Literal["present", "mounted", "pushed"]

_ASKED_FOR = sha256_of(b"sealift asks whether there is a referrers API")
_NO_API = frozenset({400, 404, 405})
_NO_MOUNT = frozenset(
    {"registry-auth", "registry-denied", "registry-answer", "push-blob-unknown", "push-name", "push-refused"}
)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a registry can do.

    Attributes:
        referrers_api: whether it lists referrers by itself.
        is_certain: false while the repository is not there: the registry then answers to its name only, in a way that
            registries with the API do. Ask again after the first push.
    """

    referrers_api: bool
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class Pushed:
    """A manifest that the registry took.

    Attributes:
        digest: its digest.
        has_listed_subject: whether the registry says that it lists the manifest as a referrer (`OCI-Subject`).
    """

    digest: Digest
    has_listed_subject: bool


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A manifest on its way out, and whose referrer it is."""

    raw: bytes
    digest: Digest
    subject: Digest | None


class Targets:
    """The repositories of one run that are written to; the same object for the same name. Thread-safe."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries
        self._targets: dict[str, Target] = {}
        self._lock = threading.Lock()

    def repository(self, reference: Reference) -> Target:
        """The repository of a reference, for reading and writing."""
        with self._lock:
            if reference.name not in self._targets:
                self._targets[reference.name] = Target(self._registries, reference)
            return self._targets[reference.name]


class Target(Repository):
    """One repository that is written to. Made by `Targets.repository`; thread-safe."""

    def __init__(self, registries: Registries, reference: Reference) -> None:
        self._endpoint = registries.writing_endpoint(reference)
        super().__init__(reference, [self._endpoint])
        self._serving = self._endpoint
        self._has_pushed = False
        self._registries = registries
        self._reference = reference
        self._mounters: dict[str, Endpoint] = {}
        self._mounters_lock = threading.Lock()

    def abilities(self) -> Abilities:
        """What the registry can do, asked without leaving anything there.

        Raises:
            EnvError: neither a list of referrers nor a clear no.
        """

        def use(answer: Answer) -> Abilities:
            if answer.status == 200:
                read_referrers(answer)
                return Abilities(referrers_api=True)
            if answer.status not in _NO_API:
                raise self._endpoint.failure(answer)
            faults = read_faults(answer)
            if says_absent(answer.status, faults, {NAME_UNKNOWN}) and not self._has_pushed:
                return Abilities(referrers_api=True, is_certain=False)
            return Abilities(referrers_api=False)

        url = self._endpoint.url(f"referrers/{_ASKED_FOR}")
        return self._endpoint.ask("GET", url, f"{self.name} referrers", use, headers={"Accept": OCI_INDEX})

    def push_blob(
        self,
        descriptor: Descriptor,
        content: Content,
        *,
        mount_from: Sequence[str] = (),
        part_bytes: int | None = None,
        watch: Callable[[int], None] = lambda _: None,
    ) -> Stored:
        """Bring a blob, unless the repository holds it.

        Args:
            descriptor: the blob.
            content: gives its bytes from an offset on, in pieces; called again after a drop.
            mount_from: repositories (`registry/name`) that hold it; those of other registries are passed over.
            part_bytes: send it in parts of this size; None for one part, which every registry takes.
            watch: told how many more bytes were sent, in this thread; fewer than none after a step back.

        Returns:
            How it came there, says the registry. Whoever needs to be sure asks `has_blob` afterwards.

        Raises:
            DamagedError: the content is not what the descriptor says (``blob-digest``, ``blob-size``); the registry was
                not told that it is whole.
            EnvError: the registry refuses (``push-name``, ``push-refused``), says that it has other bytes
                (``push-changed``), or fails.
        """
        if self.has_blob(descriptor):
            return "present"
        which = f"{self.name} blob {descriptor.digest}"
        session = self._mount(descriptor, mount_from, which)
        if session is True:
            self._has_pushed = True
            return "mounted"
        upload = Upload(
            self._endpoint,
            descriptor,
            content,
            lambda: self.has_blob(descriptor),
            which=which,
            part_bytes=part_bytes,
            watch=watch,
        )
        upload.run(session)
        self._has_pushed = True
        return "pushed"

    def push_manifest(self, raw: bytes, media_type: str, tag_or_digest: str | Digest) -> Pushed:
        """Store a manifest or index under its digest or a tag.

        Args:
            raw: its bytes.
            media_type: its type.
            tag_or_digest: checked here.

        Raises:
            MalformedError: neither tag nor digest, or a digest of other bytes (code ``blob-digest``).
            EnvError: the registry lacks a part (``push-blob-unknown``: of an index, it takes no sparse ones), refuses
                the name (``push-name``) or the manifest (``push-refused``), or says that it stored something else
                (``push-changed``).
        """
        wanted, part = check_target(str(tag_or_digest))
        manifest = _read_outgoing(raw, media_type)
        if wanted is not None and wanted != manifest.digest:
            got = f"bytes with {manifest.digest}"
            raise MalformedError("blob-digest", "manifest", str(wanted), got=got, want="its bytes")
        return self._put_manifest(part, media_type, lambda: manifest)

    def push_tag(self, tag: str, media_type: str, make: Callable[[], bytes]) -> Pushed:
        """As `push_manifest`, under a tag that others write too.

        Args:
            tag: checked here.
            media_type: of what is made.
            make: gives the bytes, from what stands there now. Asked each time that they are sent: what a busy registry
                is sent after a wait would else undo what others wrote meanwhile.

        Raises:
            MalformedError: no tag, or no manifest.
            EnvError: as `push_manifest`; or what `make` raises.
        """
        digest, part = check_target(tag)
        if digest is not None:
            raise MalformedError("tag", "tag", tag, got="a digest", want="a tag")
        return self._put_manifest(part, media_type, lambda: _read_outgoing(make(), media_type))

    def wait(self, attempt: int) -> None:
        """Wait before something is tried again; longer with each attempt, from 0 on.

        Raises:
            EnvError: the run was ended meanwhile.
        """
        self._endpoint.patience.pause(attempt)

    def _put_manifest(self, part: str, media_type: str, make: Callable[[], _Outgoing]) -> Pushed:
        sent: list[_Outgoing] = []

        def body() -> bytes:
            sent.append(make())
            return sent[-1].raw

        def use(answer: Answer) -> Pushed:
            if answer.status != 201:
                raise refusal(self._endpoint, answer)
            digest, subject = sent[-1].digest, sent[-1].subject
            check_said_digest(answer, digest)
            said = read_subject(answer)
            if said is not None and said != subject:
                raise answer_error(which, f"OCI-Subject {said}", str(subject or "none"))
            answer.discard()
            return Pushed(digest, said is not None)

        which = f"{self.name} manifest {part}"
        url = self._endpoint.url(f"manifests/{part}")
        pushed = self._endpoint.write(Request("PUT", url, which, {"Content-Type": media_type}, body), use)
        self._has_pushed = True
        return pushed

    def _mount(self, descriptor: Descriptor, sources: Sequence[str], which: str) -> Session | Literal[True] | None:
        """Try to take a blob from other repositories: true when done, a session where the registry opened one."""
        session: Session | None = None
        for name in self._names_here(sources)[: limits.MOUNT_SOURCES]:
            if session is not None:
                cancel_session(self._endpoint, session, which)
            session = None
            try:
                outcome = self._mount_from(name, descriptor, which)
            except EnvError as error:
                if error.code not in _NO_MOUNT:
                    raise
                continue
            if outcome is True and self.has_blob(descriptor):
                return True
            session = outcome if isinstance(outcome, Session) else None
        return session

    def _mount_from(self, name: str, descriptor: Descriptor, which: str) -> Session | Literal[True]:
        with self._mounters_lock:
            if name not in self._mounters:
                self._mounters[name] = self._registries.writing_endpoint(self._reference, name)
            endpoint = self._mounters[name]

        def use(answer: Answer) -> Session | Literal[True]:
            if answer.status != 201:
                return read_session(endpoint, answer)
            check_said_digest(answer, descriptor.digest)
            answer.discard()
            return True

        plain = endpoint.url("blobs/uploads/")
        url = Url(plain.origin, plain.path, f"mount={descriptor.digest}&from={name}")
        return endpoint.write(Request("POST", url, which), use)

    def _names_here(self, sources: Sequence[str]) -> list[str]:
        """Names of other repositories at this registry, of the grammar of names."""
        parsed = (parse_reference(source) for source in sources)
        same = (item.repository for item in parsed if item.registry == self._reference.registry)
        return [name for name in dict.fromkeys(same) if name != self._reference.repository]

    def _check_absence(self, answer: Answer, codes: set[str], endpoint: Endpoint) -> None:
        faults = read_faults(answer)
        if not says_absent(answer.status, faults, codes | {NAME_UNKNOWN, NOT_FOUND}):
            raise endpoint.judge(answer, faults)


def _read_outgoing(raw: bytes, media_type: str) -> _Outgoing:
    subject = parse_manifest(raw, media_type).subject
    return _Outgoing(raw, sha256_of(raw), subject.digest if subject else None)
