"""A registry with one image, and our client in front of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bundler.network.access import Access
from bundler.network.registry import Registries, Repository
from bundler.oci.descriptor import Descriptor
from bundler.oci.reference import parse_reference
from tests.simulators.images import Layout, layer, to_json
from tests.simulators.registry import Registry, Store

# Patient enough for a busy machine.
QUICK = Access(
    tls_verify=False, connect_seconds=10, stall_seconds=20, document_seconds=30, retries=2, backoff_seconds=0.01
)
# Only for registries that let us wait: with it, a machine that stops for a moment is a registry that stalls.
FOR_LIES = replace(QUICK, stall_seconds=0.5, document_seconds=1.5, retries=1)
NAME = "team/app"


@dataclass(frozen=True)
class Scene:
    """What a test needs."""

    registry: Registry
    store: Store
    image: Descriptor
    blob: Descriptor
    repository: Repository


def small_image() -> tuple[Layout, Descriptor, Descriptor]:
    """A layout, its image, and the image's layer of some 5 kB."""
    layout = Layout()
    image = layout.name(layout.image("linux/amd64", [layer(b"hello", size_bytes=3000)]))
    blob = next(
        Descriptor("application/vnd.oci.image.layer.v1.tar", digest, len(layout.read(digest)))
        for digest in layout.blobs
        if len(layout.read(digest)) > 3000
    )
    return layout, image, blob


@contextlib.contextmanager
def scene(access: Access = QUICK, environ: Mapping[str, str] | None = None, **options: Any) -> Iterator[Scene]:
    """A registry with an image tagged `1`, and the client's view of its repository."""
    layout, image, blob = small_image()
    with Registry(**options) as registry, Registries(access, environ or {}) as registries:
        store = registry.repository(NAME)
        store.load(layout, "1")
        yield Scene(registry, store, image, blob, registries.repository(parse_reference(f"{registry.host}/{NAME}:1")))


def referrer(store: Store, subject: Descriptor, number: int = 0) -> Descriptor:
    """Add an artifact about `subject`."""
    config = store.put_blob(b"{}", "application/vnd.oci.empty.v1+json")
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example+json",
        "config": {"mediaType": config.media_type, "digest": str(config.digest), "size": config.size_bytes},
        "layers": [],
        "subject": {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size_bytes},
        "annotations": {"number": str(number)},
    }
    return store.put_manifest(to_json(document), str(document["mediaType"]))
