"""Below the registry: URLs, pace, repetition, redirects, proxies, certificate folders, pages."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.errors import EnvError, MalformedError
from bundler.network.access import Access
from bundler.network.answers import Fault, failure, parse_faults, says_absent, shorten
from bundler.network.http import Answer, Http, Request
from bundler.network.pace import Pace
from bundler.network.pages import find_next_page
from bundler.network.proxies import Proxy, find_proxy
from bundler.network.redirects import follow
from bundler.network.registry import Registries
from bundler.network.repetition import Patience, retry_after_seconds
from bundler.network.tls import TlsContexts
from bundler.network.urls import Origin, Url, parse_url
from bundler.oci.reference import parse_reference
from tests.simulators import registry_lies as lies
from tests.simulators.registry import Registry
from tests.simulators.registry_scene import FOR_LIES, NAME, QUICK, scene, small_image
from tests.simulators.tls import LoopbackAuthority


@contextmanager
def client(access: Access = QUICK) -> Iterator[Http]:
    http = Http(access, {})
    try:
        yield http
    finally:
        http.close()


def get(http: Http, url: str, **headers: str) -> Answer:
    return http.exchange(Request("GET", parse_url(url, "test"), "a question", headers))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://A.example.ORG", "https://a.example.org/"),
        ("https://a:443/x?y=1&z", "https://a/x?y=1&z"),
        ("http://a:80/", "http://a/"),
        ("http://a:443/?", "http://a:443/?"),
        ("http://[::1]:5000/v2/", "http://[::1]:5000/v2/"),
        ("https://a_b.example.org/%2e", "https://a_b.example.org/%2e"),
    ],
)
def test_urls(text: str, wanted: str) -> None:
    assert str(parse_url(text, "test")) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "/a", "//a/b", "ftp://a", "file:///etc/passwd", "https://", "https:///x", "https://a:b@c/", "https://@c/",
        "https://a:99999/", "https://a:x/", "https://a/ b", "https://a/\n", "https://a/\x00", "https://ä/", "https://a/#b",
        "https://a\\b/", "https://[::1/", "https://a b/", "https://-a/", "javascript:1", "https://a/" + "x" * 20_000,
        "https://a/<b>", 'https://a/"', "https://%61/",
    ],
)  # fmt: skip
def test_texts_that_are_no_url(text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_url(text, "test")
    assert caught.value.code == "url"
    assert text[:40] not in str(caught.value) or len(text) < 2


def test_relative_urls_have_a_base() -> None:
    base = parse_url("https://a.example.org/v2/x/tags/list?n=1", "test")
    assert str(parse_url("/v2/y?last=1", "test", base)) == "https://a.example.org/v2/y?last=1"
    assert str(parse_url("?last=1", "test", base)) == "https://a.example.org/v2/x/tags/list?last=1"
    assert parse_url("//b/v2/", "test", base).origin.host == "b"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(alphabet="htps:/@#?[]a.1%\\\x00é-&=", max_size=40))
def test_a_parsed_url_is_its_own_spelling(text: str) -> None:
    try:
        url = parse_url(text, "test")
    except MalformedError:
        return
    assert parse_url(str(url), "test") == url


def test_pace_in_the_head_is_the_stall_time_in_all() -> None:
    pace = Pace(10)
    pace.count(6, 1 << 20)
    assert pace.patience() == 4
    pace.count(5, 1 << 20)
    with pytest.raises(TimeoutError):
        pace.patience()


def test_pace_in_the_body_is_a_rate() -> None:
    pace = Pace(10)
    pace.end_head()
    for _ in range(5):
        pace.count(10, limits.SLOWEST_BYTES_PER_SECOND * 10)
    pace.count(5, 0)
    with pytest.raises(TimeoutError):
        pace.count(5, limits.SLOWEST_BYTES_PER_SECOND * 10 - 1)


def test_a_document_has_a_time_as_a_whole() -> None:
    pace = Pace(10, 0.01)
    pace.end_head()
    time.sleep(0.02)
    with pytest.raises(TimeoutError):
        pace.patience()


def test_a_slow_reader_is_no_fault_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead[0])
    monkeypatch.setattr("bundler.network.pace.time", clock)
    with scene() as it, it.repository.open_blob(it.blob) as stream:
        raw = b""
        while piece := stream.read(1000):
            raw += piece
            ahead[0] += 2 * QUICK.stall_seconds
        assert len(raw) == it.blob.size_bytes


def test_a_connection_is_kept_for_the_next_request() -> None:
    with scene() as it:
        ports: set[int] = set()

        def note(exchange: lies.Exchange) -> None:
            ports.add(exchange.handler.client_address[1])
            lies.honest(exchange)

        it.registry.on("/v2/.+", note)
        for _ in range(5):
            it.repository.get_manifest("1")
            it.repository.find_manifest("2")
            it.repository.read_blob(it.blob, 1 << 20)
        assert len(ports) == 1


class Headers:
    """Just enough of an answer."""

    def __init__(self, url: str = "http://a/v2/x/tags/list", **headers: str) -> None:
        self.url = parse_url(url, "test")
        self.which = "tags"
        self._headers = {name.replace("_", "-").lower(): value for name, value in headers.items()}

    def header(self, name: str) -> str:
        return self._headers.get(name.lower(), "")


DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "0"}, 0),
        ({"Retry_After": "7"}, 7),
        ({"Retry_After": "99999999999999999999"}, limits.RETRY_AFTER_SECONDS),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:09 GMT", "Date": DATE}, 9),
        ({"Retry_After": "Wed, 21 Oct 2027 07:28:09 GMT", "Date": DATE}, limits.RETRY_AFTER_SECONDS),
        ({"Retry_After": "Wed, 21 Oct 2020 07:28:09 GMT", "Date": DATE}, 0),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:09 GMT"}, None),
        ({"Retry_After": "soon", "Date": DATE}, None),
        ({"Retry_After": "-1"}, None),
        ({"Retry_After": "1.5"}, None),
        ({"Retry_After": "\u0663"}, None),
        ({"Retry_After": "Wed, 99 Xxx 9999 99:99:99", "Date": DATE}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(Headers(**headers)) == seconds  # type: ignore[arg-type]


def test_waits_double_and_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(threading.Event, "wait", lambda _, seconds=None: waits.append(seconds) or False)
    patience = Patience(Access(retries=8, backoff_seconds=0.5))

    def fail() -> Answer:
        raise EnvError("network", "registry")

    with pytest.raises(EnvError):
        patience.ask(fail, lambda answer: answer)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_retry_after_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(replace(QUICK, backoff_seconds=100)) as it:
        it.registry.on("/manifests/", lies.status(429, "X", Retry_After="0"), times=2)
        it.repository.get_manifest("1")
        assert len(it.registry.asked("GET", "/manifests/")) == 3


@pytest.mark.parametrize("code", ["registry-tls", "registry-answer", "registry-denied", "credentials"])
def test_what_is_final_is_not_repeated(code: str) -> None:
    asked = 0

    def fail() -> Answer:
        nonlocal asked
        asked += 1
        raise EnvError(code, "registry")

    with pytest.raises(EnvError):
        Patience(QUICK).ask(fail, lambda answer: answer)
    assert asked == 1


def test_redirects_follow_the_rules() -> None:
    def chain(*steps: str, start: str = "https://a/v2/") -> tuple[list[Request], Callable[[], Answer]]:
        seen: list[Request] = []

        class Hop(Headers):
            status = 200

            def close(self) -> None:
                pass

        def exchange(request: Request) -> Answer:
            seen.append(request)
            hop = Hop(str(request.url))
            if len(seen) <= len(steps):
                hop = Hop(str(request.url), Location=steps[len(seen) - 1])
                hop.status = 307
            return hop  # type: ignore[return-value]

        request = Request("GET", parse_url(start, "test"), "x", {"Authorization": "s", "Range": "r"}, certs_host="a")
        return seen, lambda: follow(request, exchange, may_weaken=False)

    seen, go = chain("/v2/b", "https://b/x", "https://a/back")
    go()
    assert [("Authorization" in item.headers, item.certs_host, "Range" in item.headers) for item in seen] == [
        (True, "a", True), (True, "a", True), (False, None, True), (False, None, True),
    ]  # fmt: skip
    for steps in (["http://a/"], ["https://b/", "http://b/"], ["x"] * 7, ["ftp://a"]):
        _, go = chain(*steps)
        with pytest.raises(EnvError) as caught:
            go()
        assert caught.value.code == "registry-redirect"
    _, go = chain("http://b/", start="http://a/")
    go()


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("", None),
        ('</v2/x?last=1>; rel="next"', "http://a/v2/x?last=1"),
        ("</v2/x?last=1>;rel=next", "http://a/v2/x?last=1"),
        ('<http://a:80/v2/x>; title="a, b"; rel="prev next"', "http://a/v2/x"),
        ('</v2/x>; rel="prev"', None),
        ('</v2/p>; rel="prev", </v2/n>; REL=NEXT', "http://a/v2/n"),
        (r"""</v2/x>; title*=UTF-8'en'a%20b; crossorigin; title="a \"b\""; rel="next" """, "http://a/v2/x"),
    ],
)
def test_links(link: str, wanted: str | None) -> None:
    url = find_next_page(Headers(Link=link))  # type: ignore[arg-type]
    assert (None if url is None else str(url)) == wanted


@pytest.mark.parametrize(
    "link",
    [
        "<http://b/v2/>; rel=next", "<https://a/v2/>; rel=next", "<http://a:81/v2/>; rel=next", "<//b/v2/>; rel=next",
        "</x>; rel=next", "</v2/../x>; rel=next", "x; rel=next", "</v2/a>; rel=next </v2/b>; rel=next",
        "</v2/a; rel=next", '</v2/a>; rel="next', "</v2/\x7f>; rel=next", "<" * 20_000,
        "</v2/a>", "</v2/a>; rel", '</v2/a>; rel=""', "</v2/a>; title=next",
    ],
)  # fmt: skip
def test_links_that_lead_astray(link: str) -> None:
    with pytest.raises(EnvError) as caught:
        find_next_page(Headers(Link=link))  # type: ignore[arg-type]
    assert caught.value.code == "registry-answer"


@pytest.mark.parametrize(
    ("origin", "environ", "wanted"),
    [
        ("https://r.example.org", {}, None),
        ("https://r.example.org", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://r.example.org", {"https_proxy": "p:3128"}, "http://p:3128"),
        ("https://r.example.org", {"HTTPS_PROXY": "https://p", "https_proxy": "http://q"}, "https://p"),
        ("https://r.example.org", {"HTTP_PROXY": "http://p"}, None),
        ("http://r.example.org", {"HTTP_PROXY": "http://p"}, "http://p"),
        ("http://r.example.org", {"HTTP_PROXY": "http://p", "REQUEST_METHOD": "GET"}, None),
        ("https://localhost", {"HTTPS_PROXY": "http://p"}, None),
        ("https://127.0.0.1:5000", {"HTTPS_PROXY": "http://p"}, None),
        ("https://[::1]:5000", {"HTTPS_PROXY": "http://p"}, None),
        ("https://r.example.org", {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ("https://r.example.org", {"HTTPS_PROXY": "http://p", "NO_PROXY": "a.example, r.example.org"}, None),
        ("https://r.example.org", {"HTTPS_PROXY": "http://p", "no_proxy": "example.org"}, None),
        ("https://r.example.org", {"HTTPS_PROXY": "http://p", "NO_PROXY": ".example.org"}, None),
        ("https://r.example.org", {"HTTPS_PROXY": "http://p", "NO_PROXY": "*.EXAMPLE.org"}, None),
        ("https://example.org", {"HTTPS_PROXY": "http://p", "NO_PROXY": ".example.org"}, "http://p"),
        ("https://badexample.org", {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.org"}, "http://p"),
        ("https://r.example.org", {"HTTPS_PROXY": "http://p", "NO_PROXY": "r.example.org:443"}, None),
        ("https://r.example.org", {"HTTPS_PROXY": "http://p", "NO_PROXY": "r.example.org:80"}, "http://p"),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.1.2.3"}, None),
        ("https://11.1.2.3", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8,x/y"}, "http://p"),
        ("https://[2001:db8::1]", {"HTTPS_PROXY": "http://p", "NO_PROXY": "2001:db8::/32"}, None),
    ],
)
def test_which_proxy(origin: str, environ: dict[str, str], wanted: str | None) -> None:
    found = find_proxy(parse_url(origin, "test").origin, environ)
    assert (None if found is None else str(found.origin)) == wanted


@pytest.mark.parametrize(
    "value", ["socks5://p:1080", "http://", "http://user:canary@/", "http://a b", "http://u:canary@p:x"]
)
def test_a_proxy_that_cannot_be_used(value: str) -> None:
    with pytest.raises(EnvError) as caught:
        find_proxy(Origin("https", "r.example.org", 443), {"HTTPS_PROXY": value})
    assert caught.value.code == "proxy"
    assert "canary" not in str(caught.value) + repr(caught.value.__cause__)


def test_a_proxys_login() -> None:
    found = find_proxy(Origin("https", "r", 443), {"HTTPS_PROXY": "http://us%40er:can%3Aary@p:3128"})
    assert found == Proxy(Origin("http", "p", 3128), "us@er:can:ary")
    assert "can" not in repr(found)


def test_plain_http_through_a_proxy() -> None:
    layout, image, _ = small_image()
    with Registry() as proxy:
        seen: list[dict[str, str]] = []

        def serve(exchange: lies.Exchange) -> None:
            seen.append(exchange.headers)
            lies.honest(exchange)

        proxy.on("^http://registry.example.org/v2/", serve)
        proxy.repository(NAME).load(layout, "1")
        environ = {"HTTP_PROXY": f"http://user:canary@{proxy.host}", "HTTPS_PROXY": f"http://{proxy.host}"}
        with Registries(replace(QUICK, retries=0), environ) as registries:
            repository = registries.repository(parse_reference(f"registry.example.org/{NAME}"))
            assert repository.get_manifest("1").digest == image.digest
        assert seen[0]["host"] == "registry.example.org"
        assert seen[0]["proxy-authorization"].startswith("Basic ")


def test_a_proxy_that_is_down() -> None:
    access = replace(QUICK, tls_verify=True, retries=0)
    with Registries(access, {"HTTPS_PROXY": "http://127.0.0.1:1"}) as registries, pytest.raises(EnvError) as caught:
        registries.repository(parse_reference("registry.example.org/app")).get_manifest("1")
    assert caught.value.code == "network"


def test_nobody_listens() -> None:
    with client(replace(QUICK, retries=0)) as http:
        for url in ("http://127.0.0.1:1/v2/", "https://127.0.0.1:1/v2/"):
            with pytest.raises(EnvError) as caught:
                get(http, url)
            assert caught.value.code == "network"
            assert caught.value.which == "a question"


def test_connecting_takes_no_longer_than_it_may() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), client(replace(FOR_LIES, connect_seconds=0.3)) as http:
            start = time.monotonic()
            with pytest.raises(EnvError) as caught:
                get(http, f"https://127.0.0.1:{port}/")
            assert caught.value.code in {"network", "stalled"}
            assert time.monotonic() - start < 60  # the system would try for two minutes


def test_a_whole_body_is_bounded() -> None:
    with scene() as it, client() as http:
        url = f"{it.registry.url}/v2/{NAME}/blobs/{it.blob.digest}"
        assert len(get(http, url).read_whole(it.blob.size_bytes)) == it.blob.size_bytes
        with pytest.raises(EnvError) as caught:
            get(http, url).read_whole(it.blob.size_bytes - 1)
        assert caught.value.code == "registry-answer"


def test_requests_say_who_asks_and_hide_what_they_hold() -> None:
    with scene() as it:
        it.repository.get_manifest("1")
        assert it.registry.log[0].headers["user-agent"].startswith("sealift/")
    request = Request("POST", parse_url("https://a/?sig=canary", "x"), "x", {"Authorization": "canary"}, b"canary")
    assert "canary" not in repr(request)


@pytest.mark.parametrize(
    ("raw", "codes"),
    [
        (b'{"errors":[{"code":"DENIED","message":"no","detail":{"x":[1]}}]}', ["DENIED"]),
        (b'{"errors":[{"code":"A"},{"code":"B"}]}', ["A", "B"]),
        (b'{"errors":[{"code":"A","message":null},{"code":"B","message":["x"]}]}', ["A", "B"]),
        (b'{"errors":[]}', []),
        (b'{"errors":[{"code":"denied"}]}', []),
        (b'{"errors":[{"message":"x"}]}', []),
        (b'{"errors":[{"code":5}]}', []),
        (b'{"errors":{"code":"A"}}', []),
        (b'{"errors":[{"code":"A"},7]}', []),
        (b'{"errors":[{"code":"A","code":"B"}]}', []),
        (b'{"errors":[' + b'{"code":"A"},' * 100 + b'{"code":"A"}]}', []),
        (b"[" * 1000, []),
        (b"\xff", []),
        (b"", []),
        (b"404 page not found\n", []),
        (b" " * (limits.ERROR_BODY_BYTES + 1), []),
    ],
)
def test_error_bodies(raw: bytes, codes: list[str]) -> None:
    assert [fault.name for fault in parse_faults(raw)] == codes


def test_absence_needs_status_and_code() -> None:
    unknown = (Fault("MANIFEST_UNKNOWN", ""),)
    assert says_absent(404, unknown, {"MANIFEST_UNKNOWN"})
    assert not [
        status for status in range(100, 600) if status != 404 and says_absent(status, unknown, {"MANIFEST_UNKNOWN"})
    ]
    assert not says_absent(404, (), {"MANIFEST_UNKNOWN"})
    assert not says_absent(404, unknown, {"NAME_UNKNOWN"})
    assert not says_absent(404, (*unknown, Fault("DENIED", "")), {"MANIFEST_UNKNOWN"})


def test_each_status_has_a_code() -> None:
    codes = {status: failure(status, (), "x").code for status in (200, 400, 401, 403, 404, 416, 429, 500, 503, 599)}
    assert codes == {
        200: "registry-answer", 400: "registry-answer", 401: "registry-auth", 403: "registry-denied",
        404: "registry-answer", 416: "registry-answer", 429: "registry-busy", 500: "registry-server",
        503: "registry-server", 599: "registry-server",
    }  # fmt: skip


def test_words_are_shortened_and_cleaned() -> None:
    assert shorten("a\r\n b\t\x0bc") == "a b c"
    assert shorten("see secret and secret", ["secret", ""]) == "see *** and ***"
    assert len(shorten("x" * 10_000)) == limits.REGISTRY_MESSAGE_CHARACTERS + 1


def contexts(access: Access, **environ: str) -> TlsContexts:
    return TlsContexts(access, environ)


def test_certificate_folders_by_host(tmp_path: Path) -> None:
    authority = LoopbackAuthority(tmp_path / "ca")
    folder = tmp_path / ".config" / "containers" / "certs.d" / "registry.example.org:5000"
    authority.cert_dir(folder, authority.issue("client"))
    made = contexts(Access(), HOME=str(tmp_path))
    plain = made.context("other.example.org", is_registry=True)
    with_folder = made.context("registry.example.org:5000", is_registry=True)
    assert len(with_folder.get_ca_certs()) == len(plain.get_ca_certs()) + 1
    assert made.context("registry.example.org:5000", is_registry=True) is with_folder
    assert made.context("../certs.d/registry.example.org:5000", is_registry=False) is not with_folder
    assert plain.verify_mode is ssl.CERT_REQUIRED
    assert plain.check_hostname
    assert plain.minimum_version is ssl.TLSVersion.TLSv1_2
    loose = contexts(Access(tls_verify=False)).context("x", is_registry=True)
    assert loose.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    "files",
    [
        {"ca.crt": b"no certificate"},
        {"ca.crt": b"\xff"},
        {"ca.crt": b""},
        {"client.cert": b"x"},
        {"client.key": b"x"},
        {"client.cert": b"x", "client.key": b"y"},
        {"a.cert": b"x", "a.key": b"y", "b.cert": b"x", "b.key": b"y"},
    ],
)
def test_a_certificate_folder_that_cannot_be_used(tmp_path: Path, files: dict[str, bytes]) -> None:
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(EnvError) as caught:
        contexts(Access(cert_dir=tmp_path)).context("x", is_registry=True)
    assert caught.value.code == "cert-dir"


def test_authorities_with_names_between_them(tmp_path: Path) -> None:
    """As Mozilla's list has them, in their own languages."""
    folder = LoopbackAuthority(tmp_path / "made").cert_dir(tmp_path / "certs")
    (path,) = folder.glob("*.crt")
    plain = contexts(Access(cert_dir=folder)).context("x", is_registry=True)
    path.write_bytes("# F\u0151tan\u00fas\u00edtv\u00e1ny\n".encode() + path.read_bytes() + b"# Gr\xfc\xdfe\n")
    named = contexts(Access(cert_dir=folder)).context("x", is_registry=True)
    assert named.get_ca_certs() == plain.get_ca_certs()


def test_a_certificate_folder_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(EnvError) as caught:
        contexts(Access(cert_dir=tmp_path / "none")).context("x", is_registry=True)
    assert caught.value.code == "file-absent"


def test_other_files_in_a_certificate_folder_do_not_matter(tmp_path: Path) -> None:
    authority = LoopbackAuthority(tmp_path / "ca")
    folder = authority.cert_dir(tmp_path / "certs")
    (folder / "README").write_text("x")
    (folder / "ca.pem").write_text("x")
    assert contexts(Access(cert_dir=folder)).context("x", is_registry=True)


def test_the_origin_of_a_url() -> None:
    assert str(Origin("https", "::1", 443)) == "https://[::1]"
    assert Url(Origin("http", "a", 80), "/x", "").target == "/x?"
