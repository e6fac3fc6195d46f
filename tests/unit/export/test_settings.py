"""`sealift.toml` and the time of a bundle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bundler.errors import EnvError, MalformedError, UsageError
from bundler.export.created import choose_created
from bundler.export.settings import load_settings, parse_settings
from bundler.oci.descriptor import Platform

WHOLE = """
stream = "plant"
repository = "trust"
keys = "../keys"
audience = ["plant-7", "plant-8"]
compression = "none"
require = ["signature", "sbom"]

[[image]]
source = "oci:build/app"
name = "registry.example.org/app:1"
platforms = ["linux/amd64", "linux/arm/v7"]
require = ["provenance"]
may_lack = ["sbom"]

[[image]]
source = "oci-archive:tool.tar:v2"
"""


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "sealift.toml"
    path.write_text(WHOLE)
    settings = load_settings(path)
    assert (settings.stream, settings.audience, settings.compression) == ("plant", ("plant-7", "plant-8"), "none")
    assert (settings.repository, settings.keys) == (tmp_path / "trust", tmp_path / "../keys")
    app, tool = settings.images
    assert (app.source, app.name, app.base) == ("oci:build/app", "registry.example.org/app:1", tmp_path)
    assert app.platforms == (Platform("linux", "amd64"), Platform("linux", "arm", "v7"))
    assert app.require == {"signature", "provenance"}
    assert tool.name is None
    assert tool.platforms == ()
    assert tool.require == {"signature", "sbom"}


def test_the_least() -> None:
    settings = parse_settings(b'[[image]]\nsource = "oci:x"\n', Path("/base"))
    assert (settings.stream, settings.repository, settings.keys, settings.audience) == (None, None, None, ())
    assert settings.compression == "zstd"
    assert settings.images[0].base == Path("/base")


def test_absolute_paths_stay() -> None:
    settings = parse_settings(b'repository = "/srv/trust"\n[[image]]\nsource = "oci:x"\n', Path("/base"))
    assert settings.repository == Path("/srv/trust")


def test_the_example_in_the_manual(root: Path) -> None:
    text = (root / "bundler/export/EXPORT.md").read_text()
    settings = parse_settings(text.partition("```toml\n")[2].partition("```")[0].encode(), Path("/base"))
    required = [image.require for image in settings.images]
    assert required == [{"signature", "provenance"}, {"signature", "sbom"}, frozenset()]
    assert [image.allow_synthesised_digest for image in settings.images] == [False, False, True]


IMAGE = '[[image]]\nsource = "oci:x"\n'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "settings"),
        ("stream = ", "settings"),
        ("image = []", "settings"),
        ('stream = "a"\nstream = "b"\n' + IMAGE, "settings"),
        ('straem = "x"\n' + IMAGE, "field-unknown"),
        (IMAGE + 'platfroms = ["linux/amd64"]', "field-unknown"),
        ("[[image]]", "field-missing"),
        ("[[image]]\nsource = 1", "field-type"),
        ('[[image]]\nsource = ""', "settings"),
        ('[[image]]\nsource = "a\\u0000b"', "settings"),
        (IMAGE + 'name = ""', "settings"),
        (IMAGE + "platforms = []", "settings"),
        (IMAGE + 'allow_synthesised_digest = "yes"', "field-type"),
        (IMAGE + 'platforms = ["linux"]', "platform"),
        (IMAGE + 'platforms = "linux/amd64"', "field-type"),
        (IMAGE + 'require = ["sboms"]', "settings"),
        (IMAGE + 'may_lack = ["sboms"]', "settings"),
        ('require = ["sbom"]\n' + IMAGE + 'require = ["sbom"]\nmay_lack = ["sbom"]', "settings"),
        ('compression = "gzip"\n' + IMAGE, "settings"),
        ('audience = "x"\n' + IMAGE, "field-type"),
        ('repository = ""\n' + IMAGE, "settings"),
        ("stream = 2026-01-01\n" + IMAGE, "field-type"),
        ("image = 3", "field-type"),
    ],
)
def test_mistakes_are_errors(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_settings(text.encode(), tmp_path)
    assert error.value.code == code
    path = tmp_path / "sealift.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as usage:
        load_settings(path)
    assert usage.value.code == code
    assert str(path) in str(usage.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EnvError):
        load_settings(tmp_path / "none")
    with pytest.raises(MalformedError):
        parse_settings(b"\xff", tmp_path)
    with pytest.raises(MalformedError):
        parse_settings(b"x = " + b"[" * 100_000, tmp_path)


CLOCK = datetime(2026, 11, 1, 12, 0, 0, 5, tzinfo=UTC)
SECONDS = int(CLOCK.timestamp())


@pytest.mark.parametrize(("epoch", "created"), [(None, SECONDS), ("", SECONDS), (str(SECONDS - 9), SECONDS - 9)])
def test_created(epoch: str | None, created: int) -> None:
    assert choose_created(CLOCK, epoch, development=False) == datetime.fromtimestamp(created, UTC)


@pytest.mark.parametrize("days", [-2, 2])
def test_a_time_far_from_the_clock_is_for_development(days: int) -> None:
    moment = CLOCK.replace(microsecond=0) + timedelta(days=days)
    epoch = str(int(moment.timestamp()))
    with pytest.raises(UsageError) as error:
        choose_created(CLOCK, epoch, development=False)
    assert error.value.code == "source-date-epoch"
    assert choose_created(CLOCK, epoch, development=True) == moment


@pytest.mark.parametrize("epoch", ["x", "-1", "+1", "1.0", "01", " 1", "1\n", "999999999999", "9" * 30])
def test_times_that_are_none(epoch: str) -> None:
    with pytest.raises(UsageError) as error:
        choose_created(CLOCK, epoch, development=True)
    assert error.value.code == "source-date-epoch"


def test_what_an_image_may_lack_need_not_be_required(tmp_path: Path) -> None:
    settings = parse_settings(('require = ["sbom"]\n' + IMAGE + 'may_lack = ["signature", "sbom"]').encode(), tmp_path)
    (image,) = settings.images
    assert (image.require, image.may_lack) == (frozenset(), {"signature", "sbom"})
