"""What other clients ask a registry when they pull, request by request: replayed, since few of them are at hand.

Written from their public sources and specifications, named with each. Placeholders: `{name}` the repository, `{tag}`,
`{index}`, `{manifest}` (one platform's), `{config}`, `{layer}`, `{referrer}` digests, `{fallback}` the fallback tag of
`{index}`, `{absent}` a digest that is nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_ALL = ", ".join([_OCI_INDEX, _OCI_MANIFEST, _LIST, _MANIFEST])
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


@dataclass(frozen=True)
class Step:
    """One request, the status that the client counts on, and of which content it checks the digest."""

    target: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    content: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sequence:
    """What one client does."""

    client: str
    source: str
    steps: tuple[Step, ...]


def _content(target: str, content: str, **headers: str) -> Step:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Step(target, headers=named, content=content)


DOCKER = Sequence(
    "docker pull, graph drivers",
    "github.com/moby/moby distribution/pull_v2.go; github.com/distribution/distribution internal/client/repository.go",
    (
        Step("/v2/"),
        _content("/v2/{name}/manifests/{tag}", "index", Accept=f"{_SCHEMA_1}, {_ALL}"),
        _content("/v2/{name}/manifests/{manifest}", "manifest", Accept=_ALL),
        _content("/v2/{name}/blobs/{config}", "config"),
        _content("/v2/{name}/blobs/{layer}", "layer"),
        Step("/v2/{name}/blobs/{layer}", headers={"Range": "bytes=100-"}, status=206, needs=("content-range",)),
        Step("/v2/{name}/manifests/none", status=404),
    ),
)
CONTAINERD = Sequence(
    "containerd as a mirror's client (hosts.toml), and with parallel fetch",
    "github.com/containerd/containerd core/remotes/docker/{resolver,fetcher,registry}.go, docs/hosts.md",
    (
        Step(
            "/v2/{name}/manifests/{tag}?ns=registry.example.org", "HEAD", {"Accept": f"{_ALL}, */*"},
            needs=("docker-content-digest", "content-type", "content-length"),
        ),
        _content("/v2/{name}/manifests/{index}?ns=registry.example.org", "index", Accept=f"{_OCI_INDEX}, */*"),
        _content("/v2/{name}/manifests/{manifest}?ns=registry.example.org", "manifest", Accept=f"{_OCI_MANIFEST}, */*"),
        Step(
            "/v2/{name}/blobs/{layer}?ns=registry.example.org",
            headers={"Accept": "application/vnd.oci.image.layer.v1.tar+gzip, */*", "Range": "bytes=0-"},
            status=206, content="layer", needs=("content-range",),
        ),
        _content("/v2/{name}/blobs/{config}?ns=registry.example.org", "config", Accept_Encoding="zstd;q=1.0, gzip"),
        Step("/v2/{name}/manifests/{tag}?ns=docker.io", "HEAD", status=404),
        Step("/v2/{name}/referrers/{index}?ns=registry.example.org", headers={"Accept": f"{_OCI_INDEX}, */*"}),
    ),
)  # fmt: skip
PODMAN = Sequence(
    "podman and skopeo, also with partial pulls and sigstore attachments",
    "github.com/containers/image docker/{docker_client,docker_image_src}.go",
    (
        Step("/v2/"),
        _content("/v2/{name}/manifests/{tag}", "index", Accept=_ALL, Docker_Distribution_Api_Version="registry/2.0"),
        _content("/v2/{name}/manifests/{manifest}", "manifest", Accept=_ALL),
        _content("/v2/{name}/blobs/{config}", "config"),
        # Several ranges: it takes the whole content for them as well (GetBlobAt).
        Step("/v2/{name}/blobs/{layer}", headers={"Range": "bytes=0-9,20-29"}, content="layer"),
        Step("/v2/{name}/blobs/{layer}", headers={"Range": "bytes=20-29"}, status=206),
        Step("/v2/{name}/tags/list"),
        Step("/v2/{name}/manifests/{signature}", headers={"Accept": _ALL}),
        Step("/v2/_catalog"),
    ),
)
CRANE = Sequence(
    "crane: digest, manifest, pull, ls, catalog, and referrers",
    "github.com/google/go-containerregistry pkg/v1/remote/{fetcher,list,catalog,referrers}.go, transport/ping.go",
    (
        Step("/v2/"),
        Step("/v2/{name}/manifests/{tag}", "HEAD", {"Accept": _ALL}, needs=("docker-content-digest", "content-length")),
        _content("/v2/{name}/manifests/{tag}", "index", Accept=_ALL),
        _content("/v2/{name}/manifests/{manifest}", "manifest", Accept=_ALL),
        Step("/v2/{name}/blobs/{layer}", "HEAD", needs=("content-length",)),
        _content("/v2/{name}/blobs/{layer}", "layer"),
        Step("/v2/{name}/tags/list?n=1000"),
        Step("/v2/_catalog?n=10000"),
        Step("/v2/{name}/referrers/{index}", headers={"Accept": _OCI_INDEX}),
        Step("/v2/{name}/manifests/{fallback}", headers={"Accept": _OCI_INDEX}),
    ),
)
ORAS = Sequence(
    "oras: pull, discover, repo tags",
    "github.com/oras-project/oras-go registry/remote/repository.go",
    (
        Step("/v2/"),
        Step("/v2/{name}/manifests/{tag}", "HEAD", {"Accept": _ALL}, needs=("docker-content-digest",)),
        _content("/v2/{name}/manifests/{index}", "index", Accept=_OCI_INDEX),
        # Whether there is a referrers API is asked with a digest that cannot be there.
        Step("/v2/{name}/referrers/{absent}"),
        Step(
            "/v2/{name}/referrers/{index}?artifactType=application%2Fvnd.in-toto%2Bjson", needs=("oci-filters-applied",)
        ),
        _content("/v2/{name}/manifests/{referrer}", "referrer", Accept=_OCI_MANIFEST),
        Step("/v2/{name}/blobs/{layer}", headers={"Range": "bytes=0-99"}, status=206),
        Step("/v2/{name}/tags/list?n=2&last=0"),
        Step("/v2/{name}/manifests/{absent}", "HEAD", status=404),
    ),
)
COSIGN = Sequence(
    "cosign verify, old and new storage",
    "github.com/sigstore/cosign pkg/oci/remote/remote.go",
    (
        Step("/v2/"),
        Step("/v2/{name}/manifests/{tag}", "HEAD", {"Accept": _ALL}, needs=("docker-content-digest",)),
        Step("/v2/{name}/manifests/{signature}", headers={"Accept": _ALL}),
        Step("/v2/{name}/referrers/{index}?artifactType=application%2Fvnd.dev.sigstore.bundle.v0.3%2Bjson"),
        Step("/v2/{name}/manifests/sha256-" + "0" * 64 + ".att", status=404),
    ),
)
REGCTL = Sequence(
    "regctl image copy with referrers",
    "github.com/regclient/regclient scheme/reg/{manifest,blob,tag,referrer}.go",
    (
        Step("/v2/{name}/manifests/{tag}", "HEAD", {"Accept": _ALL}),
        _content("/v2/{name}/manifests/{index}", "index", Accept=_ALL),
        Step("/v2/{name}/referrers/{index}", headers={"Accept": _OCI_INDEX}),
        Step("/v2/{name}/blobs/{config}", "HEAD"),
        _content("/v2/{name}/blobs/{config}", "config"),
        Step("/v2/{name}/tags/list"),
    ),
)
SEQUENCES = (DOCKER, CONTAINERD, PODMAN, CRANE, ORAS, COSIGN, REGCTL)
