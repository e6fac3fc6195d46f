"""Credentials: files in skopeo's order, keys from special to general, helpers, and secrets that never show."""

from __future__ import annotations

import base64
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundler.errors import EnvError, MalformedError
from bundler.network.access import Access
from bundler.network.credentials import CredentialStore
from bundler.network.login import Login

CANARY = "canary-0b5e-secret"
HOST = "registry.example.org"


def entry(user_name: str, password: str = CANARY) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user_name}:{password}".encode()).decode()}


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def find(tmp_path: Path, document: object, name: str = f"{HOST}/team/app", **environ: str) -> Login | None:
    path = write(tmp_path / "auth.json", document)
    registry, _, repository = name.partition("/")
    return CredentialStore(Access(authfile=path), environ).find(registry, repository)


def packed(auth: str) -> str:
    return json.dumps({"auths": {HOST: {"auth": auth}}})


def user(login: Login | None) -> str | None:
    return login.user_name if login else None


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ([HOST], HOST),
        ([HOST, f"{HOST}/team"], f"{HOST}/team"),
        ([HOST, f"{HOST}/team", f"{HOST}/team/app"], f"{HOST}/team/app"),
        ([HOST, f"{HOST}/team/other", f"{HOST}/te"], HOST),
        ([f"https://{HOST}/v2/"], f"https://{HOST}/v2/"),
        ([f"https://{HOST}", HOST], HOST),
        ([f"{HOST}:5000"], None),
        (["other.example.org", f"{HOST}.evil.example"], None),
        (["example.org"], None),
        ([], None),
    ],
)
def test_the_most_specific_key_counts(tmp_path: Path, keys: list[str], wanted: str | None) -> None:
    document = {"auths": {key: entry(f"user{number}") for number, key in enumerate(keys)}}
    login = find(tmp_path, document)
    assert user(login) == (None if wanted is None else f"user{keys.index(wanted)}")


def test_a_port_belongs_to_the_name(tmp_path: Path) -> None:
    document = {"auths": {f"{HOST}:5000": entry("with-port"), HOST: entry("without")}}
    assert user(find(tmp_path, document, f"{HOST}:5000/app")) == "with-port"
    assert user(find(tmp_path, document, f"{HOST}/app")) == "without"


@pytest.mark.parametrize(
    "key", ["docker.io", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io", "docker.io/library"]
)
def test_docker_io_by_its_names(tmp_path: Path, key: str) -> None:
    assert user(find(tmp_path, {"auths": {key: entry("u")}}, "docker.io/library/nginx")) == "u"


def test_other_registries_never_get_docker_ios_login(tmp_path: Path) -> None:
    document = {"auths": {"https://index.docker.io/v1/": entry("u")}}
    assert find(tmp_path, document, "mirror.example.org/library/nginx") is None


def test_kinds_of_entries(tmp_path: Path) -> None:
    def one(value: dict[str, Any]) -> Login | None:
        return find(tmp_path, {"auths": {HOST: value}})

    assert one(entry("u", "p:with:colons")) == Login("u", "p:with:colons")
    assert one({"username": "u", "password": "p"}) == Login("u", "p")
    key_file = '{\n\t"type": "service_account"\r\n}\n'  # Google's `_json_key`
    assert one(entry("_json_key", key_file)) == Login("_json_key", key_file)
    assert one({**entry("00000000-0000-0000-0000-000000000000", ""), "identitytoken": "t"}) == Login(
        "00000000-0000-0000-0000-000000000000", "", "t"
    )
    assert one({"identitytoken": "t"}) == Login(identity_token="t")
    assert one({}) is None
    assert one({"auth": ""}) is None


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[]",
        '{"auths":[]}',
        '{"auths":{"registry.example.org":"x"}}',
        '{"auths":{"registry.example.org":{"auth":5}}}',
        packed(CANARY),
        packed(base64.b64encode(CANARY.encode()).decode()),
        packed(base64.b64encode(b"u:\xff" + CANARY.encode()).decode()),
        packed(base64.b64encode(b"u:\x01" + CANARY.encode()).decode()),
        f'{{"auths":{{}},"auths":{{"{CANARY}":{{}}}}}}',
        '{"credHelpers":{"registry.example.org":7}}',
        '{"credsStore":[]}',
        '{"credsStore":"../../bin/x"}',
        '{"credsStore":"x y"}',
        '{"credHelpers":{"registry.example.org":"-rf"}}',
        '{"credsStore":"absent-helper"}',
    ],
)
def test_a_file_that_cannot_be_understood(tmp_path: Path, document: str) -> None:
    with pytest.raises(EnvError) as caught:
        find(tmp_path, document, PATH=str(tmp_path))
    assert caught.value.code == "credentials"
    assert CANARY not in str(caught.value) + repr(caught.value)
    assert caught.value.__suppress_context__ or CANARY not in repr(caught.value.__cause__)


def test_a_named_file_has_to_be_there(tmp_path: Path) -> None:
    for store in (
        CredentialStore(Access(authfile=tmp_path / "none.json"), {}),
        CredentialStore(Access(), {"REGISTRY_AUTH_FILE": str(tmp_path / "none.json")}),
    ):
        with pytest.raises(EnvError) as caught:
            store.find(HOST, "app")
        assert caught.value.code == "credentials"


def test_the_order_of_files(tmp_path: Path) -> None:
    """As skopeo: a named file alone; else run-time folder, configuration folder, Docker's; the first that knows it."""
    places = {
        "runtime": tmp_path / "run" / "containers" / "auth.json",
        "config": tmp_path / "home" / ".config" / "containers" / "auth.json",
        "docker": tmp_path / "home" / ".docker" / "config.json",
    }
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "HOME": str(tmp_path / "home")}
    for name, path in places.items():
        write(path, {"auths": {HOST: entry(name), f"{name}.example.org": entry(name)}})
    store = CredentialStore(Access(), environ)
    assert user(store.find(HOST, "app")) == "runtime"
    assert [user(store.find(f"{name}.example.org", "app")) for name in places] == list(places)
    assert user(CredentialStore(Access(), {"HOME": environ["HOME"]}).find(HOST, "app")) == "config"
    write(places["config"], {"auths": {}})
    assert user(CredentialStore(Access(), {"HOME": environ["HOME"]}).find(HOST, "app")) == "docker"
    other = write(tmp_path / "elsewhere" / "config.json", {"auths": {HOST: entry("moved")}})
    moved = {**environ, "XDG_RUNTIME_DIR": str(tmp_path / "none"), "DOCKER_CONFIG": str(other.parent)}
    assert user(CredentialStore(Access(), moved).find(HOST, "app")) == "moved"
    xdg = write(tmp_path / "xdg" / "containers" / "auth.json", {"auths": {HOST: entry("xdg")}})
    assert (
        user(CredentialStore(Access(), {**moved, "XDG_CONFIG_HOME": str(xdg.parent.parent)}).find(HOST, "x")) == "xdg"
    )
    named = {**environ, "REGISTRY_AUTH_FILE": str(other)}
    assert user(CredentialStore(Access(), named).find(HOST, "app")) == "moved"
    assert CredentialStore(Access(), named).find("runtime.example.org", "app") is None
    assert user(CredentialStore(Access(authfile=places["docker"]), named).find(HOST, "app")) == "docker"


def test_without_any_file_there_is_no_login(tmp_path: Path) -> None:
    assert CredentialStore(Access(), {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}).find(HOST, "x") is None


def helper(folder: Path, body: str, name: str = "test") -> dict[str, str]:
    """A credential helper on the PATH."""
    path = folder / "bin" / f"docker-credential-{name}"
    write(path, f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder / 'bin'}:/usr/bin:/bin"}


ANSWER = 'read server; printf \'{"ServerURL":"%s","Username":"of-%s","Secret":"'


def test_a_helper_is_asked_on_standard_input(tmp_path: Path) -> None:
    environ = helper(tmp_path, f'[ "$1" = get ] || exit 9; {ANSWER}{CANARY}"}}\' "$server" "$server"')
    for document in ({"credHelpers": {HOST: "test"}}, {"credsStore": "test"}):
        assert find(tmp_path, document, **environ) == Login(f"of-{HOST}", CANARY)
    store = {"credsStore": "test"}
    with pytest.raises(EnvError):  # a colon in the user name cannot be sent
        find(tmp_path, store, "docker.io/library/nginx", **environ)


def test_the_order_within_a_file(tmp_path: Path) -> None:
    environ = helper(tmp_path, f'{ANSWER}{CANARY}"}}\' "$server" "$server"')
    document: dict[str, Any] = {"auths": {HOST: entry("file")}, "credsStore": "test", "credHelpers": {HOST: "test"}}
    assert user(find(tmp_path, document, **environ)) == f"of-{HOST}"
    del document["credHelpers"]
    assert user(find(tmp_path, document, **environ)) == "file"
    document["auths"][HOST] = {}
    assert user(find(tmp_path, document, **environ)) == f"of-{HOST}"


def test_an_identity_token_from_a_helper(tmp_path: Path) -> None:
    environ = helper(tmp_path, 'printf \'{"ServerURL":"x","Username":"<token>","Secret":"refresh"}\'')
    assert find(tmp_path, {"credsStore": "test"}, **environ) == Login(identity_token="refresh")


def test_a_helper_that_knows_nothing(tmp_path: Path) -> None:
    environ = helper(tmp_path, "echo credentials not found in native keychain; exit 1")
    assert find(tmp_path, {"credsStore": "test"}, **environ) is None


@pytest.mark.parametrize(
    "body",
    [
        f"echo {CANARY}; exit 1",
        f"echo {CANARY} >&2; exit 3",
        f"echo {CANARY}",
        f'printf \'{{"Username":"{CANARY}"}}\'',
        f'printf \'{{"Username":"u","Secret":["{CANARY}"]}}\'',
        f'printf \'{{"Username":"u","Secret":"{CANARY}\\\\u0001x"}}\'',
        "yes | head -c 1000000",
        "kill -9 $$",
        f'printf \'{{"Username":"u","Secret":"{CANARY}"}} more\'',
    ],
)
def test_a_helper_that_fails(tmp_path: Path, body: str) -> None:
    environ = helper(tmp_path, body)
    with pytest.raises(EnvError) as caught:
        find(tmp_path, {"credsStore": "test"}, **environ)
    assert caught.value.code == "credentials"
    assert CANARY not in str(caught.value) + repr(caught.value)


def test_a_helper_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.limits.CREDENTIAL_HELPER_SECONDS", 0.2)
    environ = helper(tmp_path, "sleep 60")
    with pytest.raises(EnvError) as caught:
        find(tmp_path, {"credsStore": "test"}, **environ)
    assert caught.value.got == "no answer in time"


def test_a_helper_is_asked_once_for_a_repository(tmp_path: Path) -> None:
    environ = helper(tmp_path, f'echo x >>{tmp_path}/asked; printf \'{{"Username":"u","Secret":"p"}}\'')
    path = write(tmp_path / "auth.json", {"credsStore": "test"})
    store = CredentialStore(Access(authfile=path), environ)
    assert store.find(HOST, "app") is store.find(HOST, "app")
    assert (tmp_path / "asked").read_text() == "x\n"


def test_no_repr_shows_a_secret() -> None:
    login = Login("user", CANARY, CANARY)
    assert CANARY not in repr(login)
    assert login.basic[6:] not in repr(replace(login))
    assert CANARY in login.secrets
    assert login.basic == "Basic " + base64.b64encode(f"user:{CANARY}".encode()).decode()


@pytest.mark.parametrize(("user_name", "password"), [("a:b", ""), ("a\n", ""), ("", "\x00"), ("", "x" * 70_000)])
def test_what_cannot_be_sent(user_name: str, password: str) -> None:
    with pytest.raises(MalformedError) as caught:
        Login(user_name, password)
    assert caught.value.code == "login"
