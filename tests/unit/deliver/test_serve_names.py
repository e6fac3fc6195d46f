"""Names, targets, ranges and heads of requests: what is understood, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.deliver.serving.names import Home, is_path, make_names
from bundler.deliver.serving.ranges import parse_range
from bundler.deliver.serving.routes import Kind, parse_target
from bundler.digest import Digest, parse_digest
from bundler.errors import MalformedError, UsageError
from bundler.network.server.listener import parse_address
from bundler.network.server.request import parse_request

DIGEST = "sha256:" + "a" * 64
APP, OTHER = Home("registry.example.org", "team/app"), Home("ghcr.io", "team/app")
ALONE = Home("docker.io", "library/nginx")


def test_a_path_that_is_alone_is_served_short_and_full() -> None:
    names = make_names([APP, ALONE])
    assert names.find("team/app", None) == names.find("registry.example.org/team/app", None) == APP
    assert names.find("library/nginx", None) == names.find("docker.io/library/nginx", None) == ALONE
    assert names.find("nginx", None) is None
    assert (names.best_path(APP), names.best_path(ALONE)) == ("team/app", "library/nginx")


def test_a_path_of_two_registries_is_served_in_full_only() -> None:
    names = make_names([APP, OTHER])
    assert names.find("team/app", None) is None
    assert set(names.shared["team/app"]) == {APP, OTHER}
    assert names.find("ghcr.io/team/app", None) == OTHER
    assert names.best_path(OTHER) == "ghcr.io/team/app"


def test_a_short_path_never_hides_a_full_one() -> None:
    nested = Home("mirror.example.org", "registry.example.org/team/app")
    names = make_names([APP, nested])
    assert names.find("registry.example.org/team/app", None) == APP
    assert names.find(nested.full_path, None) == nested
    assert names.find("registry.example.org/team/app", "mirror.example.org") == nested
    assert names.best_path(nested) == nested.full_path


@pytest.mark.parametrize(
    ("path", "namespace", "found"),
    [
        ("team/app", "registry.example.org", APP),
        ("team/app", "ghcr.io", OTHER),
        ("team/app", "GHCR.io", OTHER),
        ("team/app", "docker.io", None),
        ("library/nginx", "docker.io", ALONE),
        ("library/nginx", "index.docker.io", ALONE),
        ("library/nginx", "quay.io", None),
        ("ghcr.io/team/app", "ghcr.io", OTHER),
        ("ghcr.io/team/app", "registry.example.org", None),
        ("team/app", "", None),
        ("team/app", "[", None),
    ],
)
def test_a_namespace_rules(path: str, namespace: str, found: Home | None) -> None:
    assert make_names([APP, OTHER, ALONE]).find(path, namespace) == found


@pytest.mark.parametrize(
    ("registry", "path"),
    [
        ("127.0.0.1:5000", "127.0.0.1_5000/app"),
        ("localhost", "localhost/app"),
        ("registry.example.org:443", "registry.example.org_443/app"),
        ("[::1]:5000", "ip6-0000-0000-0000-0000-0000-0000-0000-0001_5000/app"),
        ("[2001:db8::]", "ip6-2001-0db8-0000-0000-0000-0000-0000-0000/app"),
        ("[abc:]", "ip6-6162633a/app"),
    ],
)
def test_every_registry_has_a_path(registry: str, path: str) -> None:
    home = Home(registry, "app")
    assert home.full_path == path
    assert is_path(path)
    assert make_names([home]).find("app", registry) == home


def test_different_registries_have_different_paths() -> None:
    hosts = ["a.b", "a.b:1", "a.b:11", "[::1]", "[::1]:1", "[::2]", "a--b.c", "localhost:1"]
    assert len({Home(host, "app").full_path for host in hosts}) == len(hosts)


@pytest.mark.parametrize(
    ("target", "kind", "path", "reference"),
    [
        ("/v2/", Kind.BASE, "", None),
        ("/v2", Kind.BASE, "", None),
        ("/v2/_catalog?n=1", Kind.CATALOG, "", None),
        ("/healthz", Kind.HEALTH, "", None),
        ("/v2/team/app/tags/list", Kind.TAGS, "team/app", None),
        ("/v2/a/manifests/1.0", Kind.MANIFEST, "a", "1.0"),
        (f"/v2/a/manifests/{DIGEST}", Kind.MANIFEST, "a", parse_digest(DIGEST)),
        (f"/v2/manifests/blobs/tags/blobs/{DIGEST}", Kind.BLOB, "manifests/blobs/tags", parse_digest(DIGEST)),
        (f"/v2/a/referrers/{DIGEST}?artifactType=x", Kind.REFERRERS, "a", parse_digest(DIGEST)),
    ],
)
def test_targets(target: str, kind: Kind, path: str, reference: Digest | str | None) -> None:
    route = parse_target(target)
    assert route is not None
    assert (route.kind, route.path, route.reference) == (kind, path, reference)


@pytest.mark.parametrize(
    "target",
    [
        "/", "/v1/", "/v2/x", "//v2/", "/v2/team/app/manifests/.INVALID_MANIFEST_NAME", "/v2/team/app/tags/",
        "/v2/team/app/blobs/uploads/", "/v2/team/app/manifests/" + "a" * 129, "/healthz/", "/V2/", "/v2/_catalog/",
        "/v2/a/b/c", "/v2/a/manifests/", "/v2/a/manifests/%31",
    ],
)  # fmt: skip
def test_targets_that_name_nothing(target: str) -> None:
    assert parse_target(target) is None


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/v2/../manifests/1", "repository-path"),
        ("/v2//manifests/1", "repository-path"),
        ("/v2/manifests/1", "repository-path"),
        ("/v2/a//b/manifests/1", "repository-path"),
        ("/v2/a/../b/manifests/1", "repository-path"),
        ("/v2/a%2fb/manifests/1", "repository-path"),
        ("/v2/A/tags/list", "repository-path"),
        ("/v2/a./tags/list", "repository-path"),
        ("/v2/" + "a" * 400 + "/tags/list", "repository-path"),
        ("/v2/a/manifests/sha256:abc", "digest"),
        ("/v2/a/blobs/sha256:" + "A" * 64, "digest"),
        ("/v2/a/blobs/md5:" + "a" * 32, "digest"),
        ("/v2/a/blobs/latest", "digest"),
        ("/v2/a/blobs/sha256%3A" + "a" * 64, "digest"),
        ("/v2/a/referrers/latest", "digest"),
        ("/v2/_catalog?n=1&n=2", "http-query"),
        ("/v2/_catalog?last=%ff", "http-query"),
        ("/v2/_catalog?last=%00", "http-query"),
        ("/v2/_catalog?ns=" + "a" * 1025, "http-query"),
    ],
)
def test_targets_that_are_refused(target: str, code: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_target(target)
    assert caught.value.code == code


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("7", 7), ("999999999", limits.SERVE_PAGE_ENTRIES)])
def test_page_sizes(text: str, count: int) -> None:
    route = parse_target(f"/v2/_catalog?n={text}")
    assert route is not None
    assert route.page_size() == count


@pytest.mark.parametrize("text", ["-1", "x", "", "1.0", "9999999999", "%31%20"])
def test_odd_page_sizes(text: str) -> None:
    route = parse_target(f"/v2/_catalog?n={text}")
    assert route is not None
    with pytest.raises(MalformedError) as caught:
        route.page_size()
    assert caught.value.code == "http-query"


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.text(max_size=60))
def test_any_target_ends_in_a_route_or_a_refusal(text: str) -> None:
    with_it = f"/v2/{text}/manifests/1"
    for target in (text, f"/{text}", with_it, f"/v2/_catalog?{text}"):
        try:
            route = parse_target(target)
        except MalformedError:
            continue
        assert route is None or not route.path or is_path(route.path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("bytes=0-0", (0, 1)), ("bytes=0-", (0, 10)), ("bytes=3-5", (3, 6)), ("bytes=9-99", (9, 10)),
        ("bytes=-3", (7, 10)), ("bytes=-99", (0, 10)), ("Bytes= 1-2 ", (1, 3)),
        ("bytes=10-", (10, 10)), ("bytes=99-100", (10, 10)), ("bytes=-0", (10, 10)),
        (None, None), ("", None), ("bytes=", None), ("bytes=-", None), ("bytes=5-3", None), ("bytes=0-1,4-5", None),
        ("items=0-1", None), ("bytes=a-b", None), ("bytes=0-0x", None), ("bytes=" + "9" * 19 + "-", None),
    ],
)  # fmt: skip
def test_ranges(text: str | None, wanted: tuple[int, int] | None) -> None:
    assert parse_range(text, 10, None, '"tag"') == wanted


def test_if_range_holds_with_our_own_tag_only() -> None:
    assert parse_range("bytes=1-2", 10, '"tag"', '"tag"') == (1, 3)
    for other in ('W/"tag"', '"other"', "Wed, 21 Oct 2015 07:28:00 GMT", ""):
        assert parse_range("bytes=1-2", 10, other, '"tag"') is None


def test_a_range_of_nothing_is_empty() -> None:
    assert parse_range("bytes=0-", 0, None, "") == (0, 0)


def request(*lines: str) -> bytes:
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def test_a_request_is_read() -> None:
    read = parse_request(request("GET /v2/?n=1 HTTP/1.1", "Host: a:5000", "ACCEPT:  x ", "Accept: y"))
    assert (read.method, read.target, read.headers["accept"]) == ("GET", "/v2/?n=1", ("x", "y"))
    assert (read.keeps_open, read.has_body, read.header("host"), read.header("range")) == (True, False, "a:5000", None)
    with pytest.raises(MalformedError):
        read.header("accept")


@pytest.mark.parametrize(
    ("lines", "keeps_open"),
    [
        (("GET / HTTP/1.1", "Host: a", "Connection: x, Close"), False),
        (("GET / HTTP/1.0",), False),
        (("GET / HTTP/1.0", "Connection: Keep-Alive"), True),
        (("GET / HTTP/1.1", "Host:"), True),
        (("GET / HTTP/1.1", "Host: [::1]:5000"), True),
    ],
)
def test_connections_that_stay(lines: tuple[str, ...], keeps_open: bool) -> None:
    assert parse_request(request(*lines)).keeps_open is keeps_open


@pytest.mark.parametrize(
    ("lines", "has_body"),
    [
        (("Content-Length: 0",), False), (("Content-Length: 5",), True), (("Transfer-Encoding: chunked",), True),
        (("Transfer-Encoding: Chunked",), True),
    ],
)  # fmt: skip
def test_bodies_are_told(lines: tuple[str, ...], has_body: bool) -> None:
    assert parse_request(request("PUT / HTTP/1.1", "Host: a", *lines)).has_body is has_body


HOST = "Host: a"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("GET / HTTP/1.1",), "http-request"),
        (("GET / HTTP/1.1", HOST, HOST), "http-request"),
        (("GET / HTTP/1.1", "Host: a b"), "http-request"),
        (("GET / HTTP/1.1", "Host: a/b"), "http-request"),
        (("GET / HTTP/2.0", HOST), "http-version"),
        (("GET / HTTP/0.9", HOST), "http-version"),
        (("GET / HTTP/1.1 ", HOST), "http-request"),
        (("GET  / HTTP/1.1", HOST), "http-request"),
        (("GET /a b HTTP/1.1", HOST), "http-request"),
        (("GET /",), "http-request"),
        (("get / HTTP/1.1", HOST), "http-request"),
        (("G@T / HTTP/1.1", HOST), "http-request"),
        (("GET http://a/ HTTP/1.1", HOST), "http-request"),
        (("OPTIONS * HTTP/1.1", HOST), "http-request"),
        (("CONNECT a:443 HTTP/1.1", HOST), "http-request"),
        (("GET /\x01 HTTP/1.1", HOST), "http-request"),
        (("GET /é HTTP/1.1", HOST), "http-request"),
        (("", "GET / HTTP/1.1", HOST), "http-request"),
        (("GET / HTTP/1.1", HOST, "X : y"), "http-request"),
        (("GET / HTTP/1.1", HOST, " X: y"), "http-request"),
        (("GET / HTTP/1.1", HOST, "X: y", " folded"), "http-request"),
        (("GET / HTTP/1.1", HOST, "X"), "http-request"),
        (("GET / HTTP/1.1", HOST, ": y"), "http-request"),
        (("GET / HTTP/1.1", HOST, "X: a\nY: b"), "http-request"),
        (("GET / HTTP/1.1", HOST, "X: a\rY: b"), "http-request"),
        (("GET / HTTP/1.1", HOST, "X: \x00"), "http-request"),
        (("GET / HTTP/1.1", HOST, "Content-Length: 1", "Transfer-Encoding: chunked"), "http-request"),
        (("GET / HTTP/1.1", HOST, "Content-Length: 1", "Content-Length: 1"), "http-request"),
        (("GET / HTTP/1.1", HOST, "Content-Length: 1, 1"), "http-request"),
        (("GET / HTTP/1.1", HOST, "Content-Length: +1"), "http-request"),
        (("GET / HTTP/1.1", HOST, "Content-Length: -1"), "http-request"),
        (("GET / HTTP/1.1", HOST, "Content-Length: 0x1"), "http-request"),
        (("GET / HTTP/1.1", HOST, "Content-Length: "), "http-request"),
        (("GET / HTTP/1.1", HOST, "Content-Length: " + "9" * 19), "http-request"),
        (("GET / HTTP/1.1", HOST, "Transfer-Encoding: gzip, chunked"), "http-request"),
        (("GET / HTTP/1.1", HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "http-request"),
        (("GET / HTTP/1.1", HOST, "Transfer-Encoding: xchunked"), "http-request"),
        (("GET / HTTP/1.0", "Transfer-Encoding: chunked"), "http-request"),
        (("GET /" + "a" * 5000 + " HTTP/1.1", HOST), "http-target"),
        (("GET / HTTP/1.1", HOST, *["X: y"] * 100), "http-head"),
        (("GET / HTTP/1.1", HOST, "X: " + "y" * 40_000), "http-head"),
    ],
)
def test_requests_that_are_refused(lines: tuple[str, ...], code: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_request(request(*lines))
    assert caught.value.code == code


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_request_or_a_refusal(raw: bytes) -> None:
    for text in (raw, b"GET /" + raw + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n" + raw):
        try:
            read = parse_request(text)
        except MalformedError:
            continue
        assert read.target.startswith("/")


@pytest.mark.parametrize(
    ("text", "shown", "loopback"),
    [
        ("127.0.0.1:5000", "127.0.0.1:5000", True),
        ("127.1.2.3:5000", "127.1.2.3:5000", True),
        ("[::1]:0", "[::1]:0", True),
        ("localhost:80", "localhost:80", True),
        ("0.0.0.0:443", "0.0.0.0:443", False),
        ("[::]:443", "[::]:443", False),
        ("host.example:1", "host.example:1", False),
        ("127.host.example:1", "127.host.example:1", False),
    ],
)
def test_addresses(text: str, shown: str, loopback: bool) -> None:
    address = parse_address(text)
    assert (str(address), address.is_loopback) == (shown, loopback)


@pytest.mark.parametrize("text", ["5000", ":5000", "a:", "a:65536", "a:-1", "a b:1", "::1:80", "a:1/", "http://a:1"])
def test_odd_addresses(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert caught.value.code == "listen"
