"""`sealift inspect FILE IMAGE …` and `sealift triangulate`: screens, JSON, raw bytes, exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from bundler.cli.console import Table, show
from bundler.cli.main import sealift
from bundler.digest import Digest, sha256_of
from scripts.make_demo_images import APP, IDENTITY, TOOL
from tests.cli.session import Result, call, run
from tests.delivered import Delivered
from tests.simulators.deliveries import Exporter, LayoutSource
from tests.simulators.images import two_platforms
from tests.simulators.registry import Registry
from tests.simulators.tuf_repository import TufRepository

SEALED = "covered by the image signature"
DIGEST = sha256_of(b"an image")


def inspect(delivered: Delivered, *words: str | Path) -> Result:
    return call("inspect", delivered.bundle, *words, "--state", delivered.state)


def test_sbom(delivered: Delivered) -> None:
    result = inspect(delivered, APP, "--sbom")
    assert (result.code, result.err) == (0, "")
    for platform in ("linux/amd64", "linux/arm64"):
        assert f"SBOM about {platform}: {SEALED}\n  by {IDENTITY}\n" in result.out
    assert "  SPDX 2.3, made on 2026-01-01T00:00:00Z by simulator\n" in result.out
    assert "  1 package, 0 relationships\n" in result.out


@pytest.mark.parametrize("view", ["--sbom", "--provenance", "--signatures", "--tree"])
def test_every_line_fits_and_every_piece_says_how_strong(delivered: Delivered, view: str) -> None:
    result = inspect(delivered, APP, view)
    assert result.code == 0
    assert [line for line in result.out.splitlines() if len(line) > 80] == []
    assert "head trusted through pin" in " ".join(result.out.partition(APP)[0].split())
    assert any(word in result.out for word in (SEALED, "signed, inclusion promise"))
    document = json.loads(inspect(delivered, APP, view, "--json").out)
    assert (document["trusted"], document["image"]) == (True, APP)


@pytest.mark.parametrize("words", [(), (APP, "--tree"), (TOOL, "--sbom"), (TOOL, "--signatures")])
@pytest.mark.parametrize("pinned", [True, False])
def test_no_line_is_wider_than_a_terminal_and_digests_are_whole(
    delivered: Delivered, tmp_path: Path, words: tuple[str, ...], pinned: bool
) -> None:
    result = call("inspect", delivered.bundle, *words, "--state", delivered.state if pinned else tmp_path / "none")
    assert [line for line in result.out.splitlines() if len(line) > 80] == []
    document = json.loads(inspect(delivered, *words, "--json").out)
    if not words:
        for image in document["images"]:
            for child in (image, *image["platforms"]):
                assert child["digest"] in result.out.split()
    else:
        assert document["digest"] in result.out.split()


def test_a_whole_bundle_tells_each_image(delivered: Delivered) -> None:
    out = " ".join(inspect(delivered).out.split())
    assert "head trusted through pin" in out
    assert f"{APP} sha256:" in out
    assert "platform linux/arm64 sha256:" in out
    assert "buildkit-attestation about linux/arm64, found by index; claims https://spdx.dev/Document" in out
    assert "cosign-signature about the index, found by tag-sig; not judged here" in out


def test_signatures_that_are_absent_are_named(delivered: Delivered, tmp_path: Path) -> None:
    layout, top, _ = two_platforms(None)
    layout.name(top, "registry.example.org/bare:1")
    repository = TufRepository("main", at=datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1))
    source = LayoutSource("oci", layout.write(tmp_path / "layout"), "registry.example.org/bare:1")
    bundle = Exporter(repository, tmp_path).deliver(source, at=datetime.now(UTC).replace(microsecond=0))
    result = call("inspect", bundle, "--signatures", "--untrusted", "--state", tmp_path / "none")
    assert (result.code, "[signature-missing]" in result.err) == (1, True)
    assert "no signature about this image\n" in result.out


def test_without_a_view_an_image_is_a_tree(delivered: Delivered) -> None:
    assert inspect(delivered, APP).out == inspect(delivered, APP, "--tree").out


def test_provenance(delivered: Delivered) -> None:
    document = json.loads(inspect(delivered, APP, "--provenance", "--json").out)
    strengths = [(item["platform"], item["strength"]) for item in document["provenance"]]
    assert strengths == [("", "signed, inclusion promise"), ("linux/amd64", SEALED), ("linux/arm64", SEALED)]
    assert document["provenance"][1]["provenance"]["builder"] == "https://example.org/builder"


def test_one_platform(delivered: Delivered) -> None:
    document = json.loads(inspect(delivered, APP, "--sbom", "--platform", "linux/arm64", "--json").out)
    assert [item["platform"] for item in document["sbom"]] == ["linux/arm64"]


def test_what_is_absent_is_named(delivered: Delivered) -> None:
    result = inspect(delivered, TOOL, "--sbom")
    assert result.code == 1
    assert "no SBOM about linux/amd64\n" in result.out
    assert f"sealift: SBOM of {TOOL}: none about linux/amd64, expected one [sbom-missing]\n" in result.err
    assert "hint: the exporter looked here: " in result.err
    assert "null" not in result.out
    raw = inspect(delivered, TOOL, "--sbom", "--raw")
    assert (raw.code, raw.out) == (1, "")
    assert json.loads(inspect(delivered, TOOL, "--sbom", "--json").out)["missing"] == ["linux/amd64"]


def test_raw(delivered: Delivered) -> None:
    one = inspect(delivered, APP, "--sbom", "--raw", "--platform", "linux/amd64")
    assert one.code == 0
    assert one.out.startswith('{\n  "SPDXID": "SPDXRef-DOCUMENT",\n  "creationInfo": {\n')
    assert one.out.endswith("\n}")
    assert one.err == f"sealift: note: linux/amd64: {SEALED}\n"
    every = inspect(delivered, APP, "--provenance", "--raw")
    assert {name: list(stub) for name, stub in json.loads(every.out).items()} == {
        "linux/amd64": ["SLSA"],
        "linux/arm64": ["SLSA"],
    }


def test_without_a_pin(delivered: Delivered, tmp_path: Path) -> None:
    words = ("inspect", delivered.bundle, APP, "--state", tmp_path / "none")
    result = call(*words, "--sbom")
    assert (result.code, "[no-pin]" in result.err) == (4, True)
    assert result.out.startswith("NOT VERIFIED: no-pin: ")
    assert f"{SEALED} (by the file's own keys)" in result.out
    assert call(*words, "--sbom", "--untrusted").code == 0
    raw = call(*words, "--sbom", "--raw")
    assert (raw.code, raw.out) == (4, "")
    assert call(*words, "--sbom", "--raw", "--untrusted").out.startswith("{")


def test_absence_counts_without_a_pin_too(delivered: Delivered, tmp_path: Path) -> None:
    words = ("inspect", delivered.bundle, TOOL, "--sbom", "--state", tmp_path / "none")
    assert (call(*words).code, call(*words, "--untrusted").code) == (4, 1)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--sbom",), "image-choice"),
        (("registry.example.org/team/other", "--sbom"), "image-choice"),
        ((APP, "--sbom", "--platform", "linux/s390x"), "platform-absent"),
        ((APP, "--raw"), "usage"),
        ((APP, "--signatures", "--raw"), "usage"),
        ((APP, "--sbom", "--raw", "--json"), "usage"),
        (("--platform", "linux/amd64"), "usage"),
    ],
)
def test_what_does_not_fit(delivered: Delivered, words: tuple[str, ...], code: str) -> None:
    result = inspect(delivered, *words)
    assert (result.code, f"[{code}]" in result.err) == (2, True)


def test_damage_is_found(delivered: Delivered, tmp_path: Path) -> None:
    document = json.loads(inspect(delivered, APP, "--sbom", "--json").out)
    name = f"blobs/sha256/{document['sbom'][0]['manifest'].partition(':')[2]}".encode()
    raw = bytearray(delivered.bundle.read_bytes())
    raw[raw.index(name + b"\0") + 512] ^= 1
    damaged = tmp_path / "damaged.bundle.tar"
    damaged.write_bytes(raw)
    result = call("inspect", damaged, APP, "--sbom", "--state", delivered.state)
    assert (result.code, result.out, "[blob-digest]" in result.err) == (3, "", True)
    other = call("inspect", damaged, TOOL, "--signatures", "--state", delivered.state)
    assert other.code == 0  # only what is needed is read


def test_signatures_have_the_keys_of_evidence_in_a_report(delivered: Delivered) -> None:
    words = ("--policy", delivered.policy, "--state", delivered.state, "--read-only", "--json")
    report = json.loads(call("verify", delivered.bundle, *words).out)
    listed = {item["digest"]: item for image in report["images"] for item in image["evidence"]}
    told = json.loads(inspect(delivered, APP, "--signatures", "--json").out)["signatures"]
    assert told
    assert all(item == {**listed[item["digest"]], "demanded": False} for item in told)


@pytest.mark.parametrize("words", [(), (APP, "--sbom")])
def test_a_pipe_tells_what_a_file_tells(delivered: Delivered, words: tuple[str, ...]) -> None:
    piped = run("inspect", "-", *words, "--json", "--state", delivered.state, stdin=delivered.bundle.read_bytes())
    assert json.loads(piped.out) == {**json.loads(inspect(delivered, *words, "--json").out), "file": "-"}


# -- tables -----------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def rows() -> Table:
    return Table(("name", "licence"), [("open\x1b[31mssl", "Apache-2.0"), ("x" * 100, "MIT")])


def test_a_pipe_gets_plain_columns_that_are_not_cut(rows: Table, capsys: pytest.CaptureFixture[str]) -> None:
    show(["first", rows, Table(("none",), [])])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "first"
    assert lines[1].split() == ["name", "licence"]
    assert lines[2].split() == ["open\\x1b[31mssl", "Apache-2.0"]
    assert lines[3].split() == ["x" * 100, "MIT"]
    assert len(lines) == 4


def test_a_terminal_gets_a_table_of_its_width(rows: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    show([rows, Table(("none",), [])])
    text = terminal.getvalue()
    assert "open\\x1b[31mssl" in text
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= 80
    assert "".join(lines[2:]).replace("MIT", "").replace(" ", "") == "x" * 100


# -- triangulate ------------------------------------------------------------------------------------------------------


def places(repository: str, digest: Digest, tagged: str | None = None) -> dict[str, str]:
    host, _, path = repository.partition("/")
    tag = f"{tagged or repository}:sha256-{digest.hex}"
    return {
        "digest": f"{repository}@{digest}",
        "signature": f"{tag}.sig",
        "attestation": f"{tag}.att",
        "sbom": f"{tag}.sbom",
        "referrers": f"{host}/v2/{path}/referrers/{digest}",
        "fallback-tag": f"{repository}:sha256-{digest.hex}",
    }


def test_triangulate_a_digest_asks_nobody() -> None:
    image = f"registry.invalid/team/app@{DIGEST}"
    expected = places("registry.invalid/team/app", DIGEST)
    assert json.loads(call("triangulate", image, "--json").out) == expected
    for kind in ("signature", "attestation", "sbom", "digest", "referrers"):
        assert call("triangulate", image, "--type", kind).out == f"{expected[kind]}\n"
    assert [line.split() for line in call("triangulate", image).out.splitlines()] == [
        list(item) for item in expected.items()
    ]


def test_triangulate_on_docker_hub() -> None:
    found = json.loads(call("triangulate", f"nginx@{DIGEST}", "--json").out)
    assert found["signature"].startswith("docker.io/library/nginx:sha256-")
    assert found["referrers"] == f"registry-1.docker.io/v2/library/nginx/referrers/{DIGEST}"


def test_triangulate_with_an_evidence_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    image = f"registry.invalid/team/app@{DIGEST}"
    expected = places("registry.invalid/team/app", DIGEST, "other.invalid/signatures")
    typed = call("triangulate", image, "--evidence-repository", "other.invalid/signatures", "--json")
    assert json.loads(typed.out) == expected
    monkeypatch.setenv("COSIGN_REPOSITORY", "other.invalid/signatures")
    assert json.loads(call("triangulate", image, "--json").out) == expected


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


def test_triangulate_a_tag(registry: Registry, tmp_path: Path) -> None:
    layout, top, _ = two_platforms(None)
    layout.name(top, "1")
    registry.repository("team/app").load(layout, "1")
    image = f"{registry.host}/team/app"
    options = ("--tls-verify=false", "--authfile", str(tmp_path / "auth.json"), "--retry-times", "0")
    (tmp_path / "auth.json").write_text("{}")
    result = call("triangulate", f"{image}:1", *options, "--json")
    assert json.loads(result.out) == places(image, top.digest)
    absent = call("triangulate", f"{image}:2", *options)
    assert (absent.code, "[image-absent]" in absent.err) == (1, True)


@pytest.mark.parametrize("words", [("not a name",), (f"app@{DIGEST}", "--type", "nothing"), ()])
def test_triangulate_refuses(words: tuple[str, ...]) -> None:
    assert call("triangulate", *words).code == 2


# -- help -------------------------------------------------------------------------------------------------------------


def test_shell_completion_knows_commands_and_options() -> None:
    def complete(line: str, place: int) -> list[str]:
        environment = {"_SEALIFT_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(place)}
        done = run(env={**os.environ, **environment})
        return [entry.partition(",")[2] for entry in done.out.splitlines()]

    assert complete("sealift tri", 1) == ["triangulate"]
    assert "--provenance" in complete("sealift inspect --p", 2)
    assert "referrers" in complete("sealift triangulate x --type r", 4)
    source = run(env={**os.environ, "_SEALIFT_COMPLETE": "bash_source"})
    assert "complete" in source.out


def commands(group: object = sealift, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, by the words that call it."""
    yield path
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            yield from commands(group.get_command(context, name), (*path, name))


def test_every_help_has_examples_that_begin_with_its_words() -> None:
    found = list(commands())
    assert len(found) > 15
    for path in found:
        result = call(*path, "--help")
        assert result.code == 0, path
        examples = result.out.partition("Example")[2]
        assert " ".join(("sealift", *path)) in examples, path
