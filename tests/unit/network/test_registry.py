"""Our client against an honest registry: manifests, referrers, blobs, tags, places, mirrors, two schemes."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.digest import Digest
from bundler.errors import EnvError, MalformedError, RejectedError, UsageError
from bundler.network.access import Access
from bundler.network.places import list_places
from bundler.network.registry import Registries
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_MANIFEST, ImageIndex, ImageManifest, parse_manifest
from bundler.oci.reference import parse_reference
from tests.simulators import registry_lies as lies
from tests.simulators.images import two_platforms
from tests.simulators.registry import Exchange, Registry
from tests.simulators.registry_scene import NAME, QUICK, referrer, scene, small_image
from tests.simulators.tls import LoopbackAuthority

ABSENT = Digest("sha256", "0" * 64)


def test_a_manifest_by_tag_and_by_digest() -> None:
    with scene() as it:
        by_tag = it.repository.get_manifest("1")
        assert (by_tag.digest, by_tag.media_type) == (it.image.digest, OCI_MANIFEST)
        assert by_tag == it.repository.get_manifest(it.image.digest) == it.repository.find_manifest("1")
        assert "raw" not in repr(by_tag)
        assert {
            item.headers["accept"].count("application/vnd.") for item in it.registry.asked("GET", "/manifests/")
        } == {4}


def test_an_absent_manifest() -> None:
    with scene() as it:
        assert it.repository.find_manifest("2") is None
        assert it.repository.find_manifest(ABSENT) is None
        with pytest.raises(RejectedError) as caught:
            it.repository.get_manifest("2")
        assert caught.value.code == "image-absent"
        assert str(caught.value).startswith(f"manifest {it.registry.host}/team/app 2: absent")


def test_an_absence_in_other_words_is_none_and_the_way_out_is_told() -> None:
    with scene() as it:
        it.registry.on("/manifests/2", lies.status(404, "NOT_FOUND"))
        with pytest.raises(EnvError) as caught:
            it.repository.find_manifest("2")
        assert (caught.value.code, "may_lack" in caught.value.hints[-1]) == ("registry-answer", True)


def test_an_answer_after_interim_answers() -> None:
    """RFC 9110, 15.2: several may come, of any kind, unasked."""

    def behave(exchange: Exchange) -> None:
        exchange.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        exchange.send(exchange.normal())

    with scene() as it:
        it.registry.on("/manifests/|/blobs/", behave)
        assert it.repository.get_manifest("1").digest == it.image.digest
        assert len(it.repository.read_blob(it.blob, 1 << 20)) == it.blob.size_bytes
        assert it.repository.find_manifest("2") is None


def test_an_absent_repository() -> None:
    with Registry() as registry, Registries(QUICK, {}) as registries:
        repository = registries.repository(parse_reference(f"{registry.host}/none"))
        with pytest.raises(RejectedError) as caught:
            repository.get_manifest("1")
        assert caught.value.code == "image-absent"
        assert repository.find_manifest("1", served=False) is None
        with pytest.raises(EnvError) as denied:
            repository.find_manifest("1")
        assert denied.value.code == "registry-answer"
        with pytest.raises(RejectedError):
            repository.tags()


@pytest.mark.parametrize("target", ["", "../x", "a/b", "a?b", "a b", "-a", "x" * 129, "a\r\nb", "tag%2f", "ä"])
def test_what_is_no_tag_never_becomes_a_url(target: str) -> None:
    with scene() as it:
        with pytest.raises(MalformedError) as caught:
            it.repository.find_manifest(target)
        assert caught.value.code == "tag"
        assert it.registry.log == []


HOSTILE_DIGESTS = [
    f"{algorithm}:{text}"
    for algorithm in ("sha256", "sha512", "md5", "SHA256", "")
    for text in (
        "",
        "0",
        "0" * 63,
        "0" * 65,
        "G" * 64,
        "A" * 64,
        "../" * 21 + "x",
        "0" * 64 + "/../..",
        "0" * 63 + "\n",
    )
]


@pytest.mark.parametrize("text", HOSTILE_DIGESTS)
def test_what_is_no_digest_never_becomes_a_url(text: str) -> None:
    """E3, CVE-2024-3727."""
    with scene() as it:
        with pytest.raises(MalformedError) as caught:
            it.repository.find_manifest(text)
        assert caught.value.code == "digest"
        assert it.registry.log == []


@pytest.mark.parametrize("page_size", [None, 1, 2])
def test_referrers_in_pages(page_size: int | None) -> None:
    with scene(page_size=page_size) as it:
        assert it.repository.referrers(it.image.digest) == ()
        made = [referrer(it.store, it.image, number) for number in range(5)]
        found = it.repository.referrers(it.image.digest)
        assert found is not None
        assert [item.digest for item in found] == [item.digest for item in made]
        assert {item.artifact_type for item in found} == {"application/vnd.example+json"}
        assert it.repository.referrers(ABSENT) == ()


def test_no_referrers_api() -> None:
    with scene(referrers_api=False) as it:
        assert it.repository.referrers(it.image.digest) is None


@pytest.mark.parametrize("page_size", [None, 1, 3])
def test_tags_in_pages(page_size: int | None) -> None:
    with scene(page_size=page_size) as it:
        it.store.tags.update({f"t{number}": it.image.digest for number in range(5)})
        assert it.repository.tags() == ("1", "t0", "t1", "t2", "t3", "t4")


def test_no_tags_at_all_as_go_writes_it() -> None:
    with scene() as it:
        it.registry.on("/tags/", lies.answer(200, b'{"name":"x","tags":null}'))
        assert it.repository.tags() == ()


def test_a_blob_whole_and_in_parts() -> None:
    with scene() as it:
        raw = it.repository.read_blob(it.blob, 1 << 20)
        assert len(raw) == it.blob.size_bytes
        for offset in (0, 1, 100, it.blob.size_bytes - 1):
            with it.repository.open_blob(it.blob, offset=offset) as stream:
                pieces = []
                while piece := stream.read(1000):
                    pieces.append(piece)
                assert b"".join(pieces) == raw[offset:]
                assert stream.read(1) == b""
        ranges = [item.headers.get("range") for item in it.registry.asked("GET", "/blobs/")]
        assert ranges == [None, None, "bytes=1-", "bytes=100-", f"bytes={it.blob.size_bytes - 1}-"]


def test_a_blob_from_its_end_asks_nobody() -> None:
    with scene() as it, it.repository.open_blob(it.blob, offset=it.blob.size_bytes) as stream:
        assert stream.read(10) == b""
        assert it.registry.log == []


def test_a_stream_that_is_left_early_costs_nothing() -> None:
    with scene() as it:
        with it.repository.open_blob(it.blob) as stream:
            assert len(stream.read(10)) == 10
        assert it.repository.find_manifest("1") is not None


def test_an_absent_blob() -> None:
    with scene() as it:
        absent = Descriptor("application/octet-stream", ABSENT, 200)
        for question in (
            lambda: it.repository.open_blob(absent),
            lambda: it.repository.open_blob(absent, offset=10),
            lambda: it.repository.read_blob(absent, 1000),
        ):
            with pytest.raises(RejectedError) as caught:
                question()
            assert caught.value.code == "incomplete-source"
        assert it.repository.has_blob(it.blob)
        assert not it.repository.has_blob(absent)
        assert not it.repository.has_blob(replace(it.blob, size_bytes=5))


def test_a_small_blob_is_bounded_before_it_is_asked_for() -> None:
    with scene() as it:
        with pytest.raises(RejectedError) as caught:
            it.repository.read_blob(it.blob, it.blob.size_bytes - 1)
        assert caught.value.code == "limits"
        with pytest.raises(EnvError) as short:
            it.repository.read_blob(replace(it.blob, size_bytes=it.blob.size_bytes + 1), 1 << 20)
        assert short.value.code == "registry-answer"
        with pytest.raises(EnvError) as long:
            it.repository.read_blob(replace(it.blob, size_bytes=10), 1 << 20)
        assert long.value.code == "registry-answer"


def test_an_empty_blob() -> None:
    with scene() as it:
        empty = it.store.put_blob(b"")
        assert it.repository.read_blob(empty, 10) == b""
        with it.repository.open_blob(empty) as stream:
            assert stream.read(10) == b""


def test_everything_of_a_real_shape_comes_out_as_it_went_in() -> None:
    layout, top, _ = two_platforms()
    with Registry() as registry, Registries(QUICK, {}) as registries:
        registry.repository("app").load(layout, "1")
        repository = registries.repository(parse_reference(f"{registry.host}/app"))
        index = parse_manifest(repository.get_manifest("1").raw, top.media_type)
        assert index.digest == top.digest
        assert isinstance(index, ImageIndex)
        for child in index.manifests:
            manifest = parse_manifest(repository.get_manifest(child.digest).raw, child.media_type)
            assert isinstance(manifest, ImageManifest)
            for blob in (manifest.config, *manifest.layers):
                assert repository.read_blob(blob, 1 << 20) == layout.read(blob.digest)


def test_threads_share_one_repository() -> None:
    with scene() as it:
        results: list[bool] = []

        def ask() -> None:
            for _ in range(5):
                raw = it.repository.read_blob(it.blob, 1 << 20)
                results.append(len(raw) == it.blob.size_bytes and it.repository.get_manifest("1") is not None)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [True] * 40


def test_the_same_repository_twice_is_one_object() -> None:
    with Registries(QUICK, {}) as registries:
        first = registries.repository(parse_reference("registry.example.org/app:1"))
        assert first is registries.repository(parse_reference("registry.example.org/app:2"))
        assert first.name == "registry.example.org/app"
        assert first.skopeo_name == "registry.example.org/app"
        assert not first.is_mirror


def test_docker_io_is_a_name_and_not_a_host() -> None:
    (place,) = list_places(parse_reference("nginx"), Access())
    assert (place.name, place.host) == ("docker.io", "registry-1.docker.io")
    assert [str(origin) for origin in place.origins] == ["https://registry-1.docker.io"]
    with Registries(Access(), {}) as registries:
        repository = registries.repository(parse_reference("nginx"))
        assert (repository.endpoint, repository.skopeo_name) == ("registry-1.docker.io", "docker.io/library/nginx")


def test_plain_http_is_tried_only_without_tls_verify() -> None:
    reference = parse_reference("registry.example.org:5000/app")
    (place,) = list_places(reference, Access())
    assert [str(origin) for origin in place.origins] == ["https://registry.example.org:5000"]
    (place,) = list_places(reference, Access(tls_verify=False))
    assert [str(origin) for origin in place.origins] == [
        "https://registry.example.org:5000", "http://registry.example.org:5000",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["http://mirror.example.org", "https://m/path", "https://a:b@m", "ftp://m", "", "a b"])
def test_a_mirror_that_is_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        list_places(parse_reference("nginx"), Access(mirrors=(text,)))
    assert caught.value.code == "mirror"


@pytest.mark.parametrize("name", ["a.example.org:65536/x", "[:::]/x", "[::1:5000/x"])
def test_a_registry_that_no_host_can_be(name: str) -> None:
    """Docker's grammar lets the first two pass."""
    with pytest.raises((UsageError, MalformedError)) as caught:
        list_places(parse_reference(name), Access())
    assert (caught.value.code, name.split("/", maxsplit=1)[0] in str(caught.value)) == ("reference", True)


def test_mirrors_are_docker_ios_only() -> None:
    access = Access(mirrors=("mirror.example.org", "https://other.example.org:5000/"))
    assert [place.name for place in list_places(parse_reference("nginx"), access)] == [
        "mirror.example.org", "other.example.org:5000", "docker.io",
    ]  # fmt: skip
    assert [place.name for place in list_places(parse_reference("quay.io/x"), access)] == ["quay.io"]


def mirrored(*mirrors: Registry) -> Access:
    return replace(QUICK, retries=0, mirrors=tuple(mirror.url for mirror in mirrors))


def test_the_first_mirror_that_serves_serves_to_the_end() -> None:
    layout, image, blob = small_image()
    with Registry() as down, Registry() as empty, Registry() as good:
        down.on("/v2/", lies.status(503))
        good.repository("library/nginx").load(layout, "1")
        access = replace(
            mirrored(down, empty, good), mirrors=("http://127.0.0.1:1", *mirrored(down, empty, good).mirrors)
        )
        with Registries(access, {}) as registries:
            repository = registries.repository(parse_reference("nginx:1"))
            assert repository.get_manifest("1").digest == image.digest
            assert (repository.endpoint, repository.is_mirror) == (good.host, True)
            assert repository.skopeo_name == f"{good.host}/library/nginx"
            asked = len(down.log) + len(empty.log)
            assert repository.find_manifest("2") is None
            assert len(repository.read_blob(blob, 1 << 20)) == blob.size_bytes
            assert len(down.log) + len(empty.log) == asked
            good.on("/manifests/", lies.status(500))
            with pytest.raises(EnvError) as caught:
                repository.find_manifest("1")
            assert caught.value.code == "registry-server"
            assert len(down.log) + len(empty.log) == asked


def test_a_registry_with_tls(tmp_path: Path) -> None:
    authority = LoopbackAuthority(tmp_path / "ca")
    context = authority.server_context(authority.issue("server"))
    trusting = replace(QUICK, tls_verify=True, cert_dir=authority.cert_dir(tmp_path / "certs"))
    with scene(trusting, tls=context) as it:
        assert it.repository.get_manifest("1").digest == it.image.digest
    with scene(QUICK, tls=context) as it:
        assert it.repository.get_manifest("1").digest == it.image.digest
    other = LoopbackAuthority(tmp_path / "other")
    for access in (
        replace(QUICK, tls_verify=True),
        replace(QUICK, tls_verify=True, cert_dir=other.cert_dir(tmp_path / "certs-of-another")),
    ):
        with scene(access, tls=context) as it:
            with pytest.raises(EnvError) as caught:
                it.repository.get_manifest("1")
            assert caught.value.code == "registry-tls"
            assert caught.value.hints
            assert it.registry.log == []


def test_a_certificate_for_another_host(tmp_path: Path) -> None:
    authority = LoopbackAuthority(tmp_path / "ca")
    context = authority.server_context(authority.issue("server", ("registry.example.org",)))
    access = replace(QUICK, tls_verify=True, cert_dir=authority.cert_dir(tmp_path / "certs"))
    with scene(access, tls=context) as it:
        with pytest.raises(EnvError) as caught:
            it.repository.get_manifest("1")
        assert caught.value.code == "registry-tls"
        assert "certificate refused" in caught.value.got


def test_plain_http_is_refused_with_tls_verify() -> None:
    with scene(replace(QUICK, tls_verify=True)) as it:
        with pytest.raises(EnvError) as caught:
            it.repository.get_manifest("1")
        assert caught.value.code in {"registry-tls", "network"}
        assert caught.value.code == "network" or "--tls-verify=false" in caught.value.hints[0]
        assert it.registry.log == []


def test_a_client_certificate_is_for_the_registry_itself(tmp_path: Path) -> None:
    authority = LoopbackAuthority(tmp_path / "ca")
    context = authority.server_context(authority.issue("server"), wants_client=True)
    client = authority.issue("client", ("client.example.org",))
    with_client = replace(QUICK, tls_verify=True, cert_dir=authority.cert_dir(tmp_path / "with", client))
    without = replace(QUICK, tls_verify=True, cert_dir=authority.cert_dir(tmp_path / "without"), retries=0)
    with scene(with_client, tls=context) as it:
        assert it.repository.get_manifest("1").digest == it.image.digest
        # A redirect to the same server under another name is another origin: no client certificate there.
        it.registry.on("/v2/.+", lies.redirect(f"https://localhost:{it.registry.port}{{target}}"))
        with pytest.raises(EnvError):
            it.repository.get_manifest("1")
    with scene(without, tls=context) as it:
        with pytest.raises(EnvError) as caught:
            it.repository.get_manifest("1")
        assert caught.value.code in {"registry-tls", "network", "connection-lost"}


def test_closing_wakes_who_waits() -> None:
    access = replace(QUICK, backoff_seconds=1000)
    with Registry() as registry:
        registry.on("/v2/", lies.status(503))
        registries = Registries(access, {})
        repository = registries.repository(parse_reference(f"{registry.host}/{NAME}"))
        failed: list[str] = []

        def ask() -> None:
            try:
                repository.find_manifest("1")
            except EnvError as error:
                failed.append(error.code)

        thread = threading.Thread(target=ask)
        thread.start()
        while not registry.asked("GET", "/manifests/"):
            thread.join(0.01)
        registries.close()
        thread.join(20)
        assert failed == ["network"]
