"""Which platforms an image has: its manifests that run somewhere, without the attestation manifests beside them.

Rules: an index names the platform of each child (image-index.md "platform"); where it does not, and for an image
without an index, the config does (config.md "os", "architecture", "variant"). What names none is `unknown`.
Exporter and verifier both derive platforms by this function, so that the inventory cannot say anything else.
"""

from __future__ import annotations

from collections.abc import Callable

from bundler import limits
from bundler.digest import Digest
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.oci.annotations import attested_digest
from bundler.oci.descriptor import Descriptor
from bundler.oci.graph import ImageGraph
from bundler.oci.manifest import OCI_CONFIG, ImageIndex, ImageManifest
from bundler.strict_json import parse_foreign

UNKNOWN = "unknown"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_CONFIG_TYPES = frozenset({OCI_CONFIG, _DOCKER_CONFIG})


def platform_manifests(graph: ImageGraph, read: Callable[[Descriptor], bytes]) -> tuple[tuple[str, Digest], ...]:
    """Platform and digest of each image manifest in the graph, in walking order.

    Args:
        graph: a walked image.
        read: gives the (hashed) bytes of a config.

    Raises:
        MalformedError: a config that has no one meaning, or an attestation manifest that names no digest.
    """
    listed: dict[Digest, Descriptor] = {}
    for index in graph.documents.values():
        if isinstance(index, ImageIndex):
            for child in index.manifests:
                listed.setdefault(child.digest, child)
    found = []
    for node in graph.nodes:
        document = graph.documents.get(node.digest)
        entry = listed.get(node.digest, node)
        if isinstance(document, ImageManifest) and attested_digest(entry) is None:
            found.append((str(entry.platform) if entry.platform else _platform_of(document, read), node.digest))
    return tuple(found)


def _platform_of(manifest: ImageManifest, read: Callable[[Descriptor], bytes]) -> str:
    config = manifest.config
    if config.media_type not in _CONFIG_TYPES or config.size_bytes > limits.MANIFEST_BYTES:
        return UNKNOWN
    document = parse_foreign(read(config), "image config", max_bytes=limits.MANIFEST_BYTES)
    if not isinstance(document, dict):
        raise MalformedError("field-type", "image config", str(config.digest), got="not an object", want="an object")
    fields = Fields(document, "image config")
    parts = [fields.optional_text(key) for key in ("os", "architecture", "variant")]
    return "/".join(part for part in parts if part) if parts[0] and parts[1] else UNKNOWN
