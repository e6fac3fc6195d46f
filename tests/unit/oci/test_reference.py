"""References as Docker normalises them (cases after distribution/reference's own tests, written anew)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import MalformedError
from bundler.oci.reference import parse_reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"
LONGEST = "a" * (255 - len("docker.io/"))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
        ("library/nginx", "docker.io/library/nginx:latest"),
        ("someone/app", "docker.io/someone/app:latest"),
        ("a/b/c/d", "docker.io/a/b/c/d:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("localhost", "docker.io/library/localhost:latest"),
        ("registry.example.org/app", "registry.example.org/app:latest"),
        ("registry:5000/app", "registry:5000/app:latest"),
        ("registry:5000", "docker.io/library/registry:5000"),
        ("REGISTRY/app", "REGISTRY/app:latest"),
        ("Registry.Example.org/app", "Registry.Example.org/app:latest"),
        ("192.168.0.1:5000/app", "192.168.0.1:5000/app:latest"),
        ("[::1]/app", "[::1]/app:latest"),
        ("[2001:db8::1]:5000/a/b:t", "[2001:db8::1]:5000/a/b:t"),
        ("xn--n3h.com/app:v1", "xn--n3h.com/app:v1"),
        (f"app@{DIGEST}", f"docker.io/library/app@{DIGEST}"),
        (f"app:v1@{DIGEST}", f"docker.io/library/app:v1@{DIGEST}"),
        (f"app@sha512:{HEX}{HEX}", f"docker.io/library/app@sha512:{HEX}{HEX}"),
        ("x/a_b/a__b/a.b/a-b/a--b", "docker.io/x/a_b/a__b/a.b/a-b/a--b:latest"),
        ("app:" + "t" * 128, "docker.io/library/app:" + "t" * 128),
        ("app:_.-", "docker.io/library/app:_.-"),
        (DIGEST, f"docker.io/library/{DIGEST}"),  # a tag of 64 letters, as Docker reads it
        ("0/1:2", "docker.io/0/1:2"),
        (HEX[:-1], f"docker.io/library/{HEX[:-1]}:latest"),
        (f"x/{HEX}", f"docker.io/x/{HEX}:latest"),
        (f"docker.io/{LONGEST[:122]}/{LONGEST[:122]}", f"docker.io/{LONGEST[:122]}/{LONGEST[:122]}:latest"),
    ],
)
def test_normalised(text: str, normal: str) -> None:
    reference = parse_reference(text)
    assert str(reference) == normal
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "@", "/", ":tag", f"@{DIGEST}", HEX, "Nginx", "docker.io/Nginx", "foo/Bar", "a//b", "/a",
        "a/",
        "a:", "a@", "a:b:c", "a:-x", "a:.x", "a:" + "t" * 129, "a:t/x", "a b", " a", "a ", "a\n", "a\0", "a:t\n",
        "-a", "a-", "_a", "a_", ".a", "a.", "a___b", "a..b", "a._b", "é", "a:é",
        "https://example.org/app", "a@sha256:abc",
        f"a@SHA256:{HEX}", f"a@sha256:{HEX.upper()}", f"a@{DIGEST}x", f"a@{DIGEST}@{DIGEST}", f"a@{DIGEST}:t",
        f"a@sha384:{HEX}{HEX[:32]}", f"a@md5:{HEX[:32]}", "host:port/app", "host:/app", "host:5000:1/app",
        "-host.x/app",
        "host-.x/app", "ho st.x/app", "[::1/app", "::1/app", "[::g]/app", "[::1]:/app", "host..x/app", ".host/app",
        f"docker.io/{LONGEST}b", f"x/{LONGEST}", "localhost:5000/", "a" * 1000, "../etc", "a/../b", "a%2fb",
        "\U0001d41a",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_reference(text)
    assert error.value.code == "reference"


def test_parts() -> None:
    reference = parse_reference(f"registry.example.org:5000/a/b:t@{DIGEST}")
    assert (reference.registry, reference.repository, reference.tag) == ("registry.example.org:5000", "a/b", "t")
    assert reference.name == "registry.example.org:5000/a/b"
    assert str(reference.digest) == DIGEST
    assert parse_reference(f"a@{DIGEST}").tag is None


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.text(st.sampled_from("ab0AB./:@-_[]é\n") | st.characters(), max_size=40))
def test_whatever_comes_is_normal_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except MalformedError:
        return
    assert parse_reference(str(reference)) == reference
    assert str(reference).isascii()
    assert str(reference).isprintable()
