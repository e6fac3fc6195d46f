"""Challenges, tokens and basic authentication, and that no secret shows or strays."""

from __future__ import annotations

import base64
import gc
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import EnvError, MalformedError, SealiftError
from bundler.network.access import Access
from bundler.network.login import Login
from bundler.network.registry import Registries
from bundler.network.tokens import Authorization, Challenge, Scopes, parse_challenges, parse_token, token_request
from bundler.network.urls import parse_url
from bundler.oci.reference import parse_reference
from tests.simulators import registry_lies as lies
from tests.simulators.registry import Basic, Bearer, Registry
from tests.simulators.registry_scene import NAME, QUICK, scene, small_image

CANARY = "canary-77a1-secret"


def auth_file(folder: Path, *hosts: str, user_name: str = "user", token: str | None = None) -> Path:
    entry: dict[str, str] = {"auth": base64.b64encode(f"{user_name}:{CANARY}".encode()).decode()}
    if token:
        entry = {"identitytoken": token}
    path = folder / "auth.json"
    path.write_text(json.dumps({"auths": dict.fromkeys(hosts or ("127.0.0.1",), entry)}))
    return path


class Guarded:
    """A registry that wants to know who we are, and a client with or without a login for it."""

    def __init__(self, folder: Path, auth: Any, *, knows: bool = True, token: str | None = None) -> None:
        self.registry = Registry(auth=auth).__enter__()
        layout, self.image, self.blob = small_image()
        self.registry.repository(NAME).load(layout, "1")
        path = auth_file(folder, self.registry.host if knows else "registry.example.org", token=token)
        self.registries = Registries(replace(QUICK, authfile=path), {})
        self.repository = self.registries.repository(parse_reference(f"{self.registry.host}/{NAME}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.registries.close()
        self.registry.__exit__()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("Basic", [("basic", {})]),
        ('Basic realm="x"', [("basic", {"realm": "x"})]),
        ('Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
         [("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:a/b:pull,push"})]),
        ("BEARER realm=x , Service = y", [("bearer", {"realm": "x", "service": "y"})]),
        ('Basic realm="a, b=c", Bearer realm="d"', [("basic", {"realm": "a, b=c"}), ("bearer", {"realm": "d"})]),
        (r'Basic realm="a\"b\\c"', [("basic", {"realm": 'a"b\\c'})]),
        ('Basic realm="\u00e4\t1"', [("basic", {"realm": "\u00e4\t1"})]),
        ("Negotiate", [("negotiate", {})]),
        ("Negotiate YWJj==, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        (", , Basic realm=x,,", [("basic", {"realm": "x"})]),
        ('Digest realm="r", qop="auth,auth-int", nonce="n"',
         [("digest", {"realm": "r", "qop": "auth,auth-int", "nonce": "n"})]),
    ],
)  # fmt: skip
def test_challenges(text: str, wanted: list[tuple[str, dict[str, str]]]) -> None:
    assert [(item.scheme, item.parameters) for item in parse_challenges(text)] == wanted


@pytest.mark.parametrize(
    "text",
    [
        'Bearer realm="', 'Bearer realm="x', 'realm="x"', 'Bearer realm="x" service="y"', 'Bearer realm="x",realm="y"',
        'Bearer realm="x",REALM="y"', 'Bearer realm="\x00"', "Bearer realm=\x7f", '"x"', "=", "Bearer \u00e4",
        "a" * 9000, "Bearer realm=x y z", "@", 'Bearer realm="\u0100"',
    ],
)  # fmt: skip
def test_challenges_that_cannot_be_read(text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_challenges(text)
    assert caught.value.code == "challenge"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(alphabet='Bb =",\\\t;realmx/:~+\x00é', max_size=60))
def test_any_text_is_challenges_or_refused(text: str) -> None:
    try:
        parse_challenges(text)
    except MalformedError as error:
        assert error.code == "challenge"  # noqa: PT017 (either outcome is right)


WORD = st.text(alphabet="abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(WORD, st.dictionaries(WORD, st.text(alphabet='ab ,="\\:/~', max_size=20), max_size=3)), max_size=3
    )
)
def test_what_was_quoted_comes_out(challenges: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    parts = [
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges
    ]
    found = parse_challenges(", ".join(part.strip() for part in parts))
    assert [(item.scheme, item.parameters) for item in found] == challenges


REGISTRY = parse_url("https://registry.example.org/", "test").origin


@pytest.mark.parametrize(
    "realm",
    ["http://auth.example.org/t", "", "/token", "file:///x", "https://a:b@c/", "https://x/#f", "https://\u00e4/t"],
)
def test_realms_that_get_nothing(realm: str) -> None:
    with pytest.raises(EnvError) as caught:
        token_request(Challenge("bearer", {"realm": realm}), None, Scopes(("scope",)), registry=REGISTRY, which="x")
    assert caught.value.code == "registry-auth"


def test_a_plain_realm_only_for_a_plain_registry() -> None:
    plain = parse_url("http://registry.example.org/", "test").origin
    asked = token_request(
        Challenge("bearer", {"realm": "http://a/t?x=1"}), None, Scopes(("r:a b:pull",)), registry=plain, which="x"
    )
    assert str(asked.url) == "http://a/t?x=1&scope=r%3Aa+b%3Apull"
    assert asked.headers == {}


@pytest.mark.parametrize(
    ("raw", "header"),
    [
        (b'{"token":"abc"}', "Bearer abc"),
        (b'{"access_token":"abc"}', "Bearer abc"),
        (b'{"token":null,"access_token":"abc"}', "Bearer abc"),
        (
            b'{"token":"a.b-c_d~e+f/g==","access_token":"other","expires_in":300,"issued_at":"x"}',
            "Bearer a.b-c_d~e+f/g==",
        ),
    ],
)
def test_tokens(raw: bytes, header: str) -> None:
    assert parse_token(raw, 0.0).header == header


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b"{}", b'{"token":""}', b'{"token":5}', b'{"token":"a b"}', b'{"token":"a\\r\\nX: y"}',
        b'{"token":"\xc3\xa4"}', b'{"token":"a","token":"b"}', b'{"token":"a","expires_in":-1}',
        b'{"token":"a","expires_in":"60"}', b'{"token":"' + b"a" * 70_000 + b'"}', b'{"token":"a","expires_in":1e9}',
    ],
)  # fmt: skip
def test_answers_that_hold_no_token(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_token(raw, 0.0)


@pytest.mark.parametrize(
    ("said", "life"),
    [(b"", 54), (b',"expires_in":0', 54), (b',"expires_in":100', 90), (b',"expires_in":9999999', 77760)],
)
def test_how_long_a_token_is_used(said: bytes, life: int) -> None:
    assert parse_token(b'{"token":"a"' + said + b"}", 1000.0).expires_at == pytest.approx(1000 + life)


def test_an_authorization_is_fresh_until_its_time() -> None:
    assert Authorization("x").is_fresh()
    assert Authorization("x", time.monotonic() + 100).is_fresh()
    assert not Authorization("x", time.monotonic()).is_fresh()
    assert CANARY not in repr(Authorization(CANARY, None, (CANARY,)))


def test_nothing_is_sent_unasked_and_a_token_serves_many_requests(tmp_path: Path) -> None:
    with Guarded(tmp_path, Bearer("user", CANARY)) as it:
        assert it.repository.get_manifest("1").digest == it.image.digest
        assert it.repository.find_manifest("2") is None
        assert it.repository.referrers(it.image.digest) == ()
        assert len(it.repository.read_blob(it.blob, 1 << 20)) == it.blob.size_bytes
        assert "authorization" not in it.registry.log[0].headers
        (token,) = it.registry.asked("GET", "/token")
        assert token.target == "/token?service=registry.example.org&scope=repository%3Ateam%2Fapp%3Apull"
        assert token.headers["authorization"].startswith("Basic ")
        for item in it.registry.asked("GET", "/v2/")[1:]:
            assert item.headers["authorization"].startswith("Bearer ")


def test_an_anonymous_token(tmp_path: Path) -> None:
    with Guarded(tmp_path, Bearer(), knows=False) as it:
        assert it.repository.get_manifest("1").digest == it.image.digest
        (token,) = it.registry.asked("GET", "/token")
        assert "authorization" not in token.headers


def test_an_identity_token_goes_by_post(tmp_path: Path) -> None:
    with Guarded(tmp_path, Bearer("user", "x", refresh_token=CANARY), token=CANARY) as it:
        assert it.repository.get_manifest("1").digest == it.image.digest
        (token,) = it.registry.asked("POST", "/token")
        assert b"grant_type=refresh_token" in token.body
        assert CANARY not in token.target
        assert "authorization" not in token.headers


def test_basic(tmp_path: Path) -> None:
    with Guarded(tmp_path, Basic("user", CANARY)) as it:
        assert it.repository.get_manifest("1").digest == it.image.digest
        assert it.repository.has_blob(it.blob)
        assert sum(item.headers.get("authorization") is None for item in it.registry.log) == 1


def test_a_token_that_runs_out_is_renewed_in_mid_run(tmp_path: Path) -> None:
    auth = Bearer("user", CANARY, expires_in=300)
    with Guarded(tmp_path, auth) as it:
        for _ in range(3):
            assert it.repository.get_manifest("1").digest == it.image.digest
            auth.issued.clear()  # sooner than it said
        assert len(it.registry.asked("GET", "/token")) == 3


def test_a_token_is_renewed_before_it_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Guarded(tmp_path, Bearer("user", CANARY, expires_in=600)) as it:
        it.repository.get_manifest("1")
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 541)
        monkeypatch.setattr("bundler.network.tokens.time", later)
        it.repository.get_manifest("1")
        assert len(it.registry.asked("GET", "/token")) == 2
        assert len([item for item in it.registry.asked("GET", "/v2/") if "authorization" not in item.headers]) == 1


def test_threads_fetch_one_token(tmp_path: Path) -> None:
    with Guarded(tmp_path, Bearer("user", CANARY)) as it:
        threads = [threading.Thread(target=it.repository.get_manifest, args=("1",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(it.registry.asked("GET", "/token")) == 1


@pytest.mark.parametrize(
    "auth", [Basic("user", "other"), Bearer("user", "other"), Bearer("user", "o", refresh_token="o")]
)
def test_a_wrong_password_is_final(tmp_path: Path, auth: Any) -> None:
    with Guarded(tmp_path, auth) as it:
        with pytest.raises(EnvError) as caught:
            it.repository.get_manifest("1")
        assert caught.value.code == "registry-auth"
        assert any("--authfile" in hint for hint in caught.value.hints)
        assert len(it.registry.log) <= 3


@pytest.mark.parametrize("auth", [Basic("user", CANARY), Bearer("user", CANARY)])
def test_no_login_at_all(tmp_path: Path, auth: Any) -> None:
    with Guarded(tmp_path, auth, knows=False) as it:
        with pytest.raises(EnvError) as caught:
            it.repository.get_manifest("1")
        assert caught.value.code == "registry-auth"


TOKEN_TROUBLE = {
    "401": (lies.status(401, "UNAUTHORIZED"), "registry-auth"),
    "403": (lies.status(403, "DENIED"), "registry-auth"),
    "404": (lies.status(404), "registry-auth"),
    "429": (lies.status(429, "X", Retry_After="0"), "registry-busy"),
    "500": (lies.status(500), "registry-server"),
    "no JSON": (lies.answer(200, b"<html>"), "registry-auth"),
    "no token": (lies.answer(200, b"{}"), "registry-auth"),
    "a token with a line end": (lies.answer(200, b'{"token":"a\\r\\nb"}'), "registry-auth"),
    "an endless answer": (lies.endless_body, "registry-answer"),
    "a redirect": (lies.redirect("http://127.0.0.1:1/token"), "registry-redirect"),
    "dropped": (lies.drop_unasked, "network"),
    "204": (lies.status(204), "registry-answer"),
}


@pytest.mark.parametrize("trouble", TOKEN_TROUBLE)
def test_token_servers_that_lie(tmp_path: Path, trouble: str) -> None:
    behaviour, code = TOKEN_TROUBLE[trouble]
    with Guarded(tmp_path, Bearer("user", CANARY)) as it:
        it.registry.on("/token", behaviour)
        with pytest.raises(EnvError) as caught:
            it.repository.get_manifest("1")
        assert caught.value.code == code
        assert CANARY not in everything(caught.value)


def test_a_token_server_in_trouble_is_asked_again(tmp_path: Path) -> None:
    with Guarded(tmp_path, Bearer("user", CANARY)) as it:
        it.registry.on("/token", lies.status(503), times=2)
        assert it.repository.get_manifest("1").digest == it.image.digest


def test_a_realm_on_another_host_gets_this_registrys_login_and_no_other(tmp_path: Path) -> None:
    realm = Bearer("user", CANARY)
    with Registry(auth=realm) as server:
        asks = Bearer("user", CANARY, realm=f"{server.url}/token", issued=realm.issued)
        with Guarded(tmp_path, asks) as it:
            assert it.repository.get_manifest("1").digest == it.image.digest
            (token,) = server.log
            assert token.headers["authorization"] == "Basic " + base64.b64encode(f"user:{CANARY}".encode()).decode()


def test_credentials_stay_with_their_origin(tmp_path: Path) -> None:
    """E4: after a redirect, the other host sees no Authorization, even if it has a login in the auth file."""
    with Registry() as other, Guarded(tmp_path, Bearer("user", CANARY)) as it:
        auth_file(tmp_path, it.registry.host, other.host)
        store = other.repository(NAME)
        store.blobs.update(it.registry.repository(NAME).blobs)
        behaviour = lies.redirect(other.url + "{target}")

        def once_authorised(exchange: Any) -> None:
            (behaviour if "authorization" in exchange.headers else lies.honest)(exchange)

        it.registry.on("/blobs/", once_authorised)
        with it.repository.open_blob(it.blob, offset=10) as stream:
            assert len(stream.read(1 << 20)) == it.blob.size_bytes - 10
        (seen,) = other.log
        assert "authorization" not in seen.headers
        assert seen.headers["range"] == "bytes=10-"
        # And on the way back to the first origin it stays away: the registry refuses, and that is the end.
        other.on("/blobs/", lies.redirect(it.registry.url + "{target}"))
        with pytest.raises(EnvError) as caught:
            it.repository.open_blob(it.blob)
        assert caught.value.code == "registry-auth"


def test_next_pages_never_carry_credentials_away(tmp_path: Path) -> None:
    with Registry() as other, Guarded(tmp_path, Basic("user", CANARY)) as it:
        it.registry.on("/(tags|referrers)/", lies.header("Link", f'<{other.url}/v2/x/tags/list>; rel="next"'))
        for question in (it.repository.tags, lambda: it.repository.referrers(it.image.digest)):
            with pytest.raises(EnvError) as caught:
                question()
            assert caught.value.code == "registry-answer"
        assert other.log == []


def everything(error: BaseException) -> str:
    """What a reader of an error, its causes and their values can see."""
    seen: list[str] = []
    current: BaseException | None = error
    while current is not None:
        seen += [str(current), repr(current), *(map(str, getattr(current, "hints", ())))]
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return " ".join(seen)


@pytest.mark.parametrize(
    "auth", [Basic("user", CANARY), Bearer("user", CANARY), Bearer("u", "p", refresh_token=CANARY)]
)
def test_secrets_show_nowhere_even_if_the_registry_echoes_them(tmp_path: Path, auth: Any) -> None:
    packed = base64.b64encode(f"user:{CANARY}".encode()).decode()
    with Guarded(tmp_path, auth, token=CANARY if isinstance(auth, Bearer) and auth.refresh_token else None) as it:
        also = "" if isinstance(auth, Bearer) and auth.refresh_token else f" or {packed}"

        def echo(exchange: Any) -> None:
            sent = exchange.headers.get("authorization", "")
            if not sent:
                lies.honest(exchange)
            else:
                lies.status(403, "DENIED", f"you sent {sent}, that is {CANARY}{also}")(exchange)

        it.registry.on("/v2/", echo)
        for question in (
            lambda: it.repository.get_manifest("1"),
            lambda: it.repository.find_manifest("2"),
            lambda: it.repository.referrers(it.image.digest),
            it.repository.tags,
            lambda: it.repository.open_blob(it.blob),
            lambda: it.repository.read_blob(it.blob, 1 << 20),
        ):
            with pytest.raises(SealiftError) as caught:
                question()
            text = everything(caught.value)
            assert caught.value.code == "registry-denied"
            assert "***" in text
            tokens = auth.issued if isinstance(auth, Bearer) else ()
            assert not [secret for secret in (CANARY, packed, *tokens) if secret in text]


def test_no_object_of_a_run_shows_a_secret(tmp_path: Path) -> None:
    with Guarded(tmp_path, Bearer("user", CANARY)) as it:
        it.repository.get_manifest("1")
        (token,) = it.registry.auth.issued if isinstance(it.registry.auth, Bearer) else ("",)
        ours = [item for item in gc.get_objects() if str(type(item).__module__).startswith("bundler.network")]
        assert len(ours) > 5
        assert not [item for item in ours if CANARY in repr(item) or token in repr(item)]


def test_the_certificate_folder_of_the_default_access_is_none() -> None:
    assert Access() == Access(authfile=None, cert_dir=None, tls_verify=True, mirrors=())


def test_without_authentication_no_file_is_read(tmp_path: Path) -> None:
    with scene(replace(QUICK, authfile=tmp_path / "absent.json")) as it:
        assert it.repository.get_manifest("1").digest == it.image.digest


OWN = ("repository:a/b:pull,push", "repository:c:pull")


@pytest.mark.parametrize(
    ("said", "insists", "asked"),
    [
        ("", False, list(OWN)),
        ("", True, list(OWN)),
        ("repository:a/b:pull", False, ["repository:a/b:pull"]),
        ("repository:a/b:pull", True, list(OWN)),
        ("repository:a/b:push,pull repository:c:pull", True, list(OWN)),
        ("repository:a/b:push,pull repository:c:pull", False, ["repository:a/b:push,pull", "repository:c:pull"]),
        ("repository:a/b:delete", True, [*OWN, "repository:a/b:delete"]),
        ("registry:catalog:* registry:catalog:*", True, [*OWN, "registry:catalog:*"]),
        ("x x", False, ["x"]),
    ],
)
def test_what_an_authorization_is_asked_for(said: str, insists: bool, asked: list[str]) -> None:
    """Who reads asks for what the challenge names; who writes asks for what it needs as well."""
    challenge = Challenge("bearer", {"scope": said} if said else {})
    assert Scopes(OWN, insists=insists).asked(challenge) == asked


def test_several_scopes_in_a_query_and_in_a_form() -> None:
    challenge = Challenge("bearer", {"realm": "https://a/t", "service": "s"})
    asked = token_request(challenge, None, Scopes(OWN), registry=REGISTRY, which="x")
    assert asked.url.query == "service=s&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull"
    login = Login(identity_token="refresh")
    posted = token_request(challenge, login, Scopes(OWN), registry=REGISTRY, which="x")
    assert isinstance(posted.body, bytes)
    assert posted.body.endswith(b"&service=s&scope=repository%3Aa%2Fb%3Apull%2Cpush+repository%3Ac%3Apull")
