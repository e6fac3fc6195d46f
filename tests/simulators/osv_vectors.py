"""Vectors of vulnerability data (scripts/make_vectors.py): records, versions in order, matches, zips.

osv/records/<code>--<title>.json    a record; `good` is accepted, any other code is why it is refused
osv/versions/<scheme>.txt           versions of one scheme, each line above the one before; `=` joins equal ones
osv/matches/<title>.json            a record, and for each purl what a scan must say of it, with the fixed versions
osv/zips/<code>--<title>.zip        a zip of records
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
TIMES = {"modified": "2026-03-01T12:00:00Z", "published": "2026-02-01T00:00:00.123456Z"}
_FIXED = (2026, 1, 1, 0, 0, 0)

ORDERS = {
    "deb": "0~1 < 0 < 1.0~~ < 1.0~~a < 1.0~ < 1.0~rc1-1 < 1.0 = 0:1.0 = 1.0-0 < 1.0-1~deb12u1 < 1.0-1 "
    "< 1.0-1ubuntu0.1 < 1.0-1+b1 < 1.0-1+deb12u1 < 1.0-2 < 1.0-10 "
    "< 1.0a-1 < 1.0+dfsg-1 < 1.0.1-1 < 1.1 < 1.10 < 1:0.1 < 2:0.0.1",
    "rpm": "1.0~rc1-1.el9 < 1.0~rc1^git1-1 < 1.0-1.el9 < 1.0-1.el9_2 < 1.0-2.el9 < 1.0-10.el9 < 1.0^git1-1 < 1.0a-1 "
    "< 1.0.1-1 < 1.10-1 < 2.0-1 < 1:0.1-1 < 1:0.1.1-1 < 2:0-1",
    "apk": "1.0_alpha-r0 < 1.0_alpha2-r0 < 1.0_beta-r1 < 1.0_pre1-r0 < 1.0_rc1-r0 < 1.0_rc2-r0 < 1.0 < 1.0-r0 "
    "< 1.0-r1 < 1.0-r10 < 1.0_cvs1-r0 < 1.0_git20200101-r0 < 1.0_p1-r0 < 1.0_p2-r0 < 1.0a-r0 < 1.0b-r0 < 1.0.1-r0 "
    "< 1.02-r0 < 1.1-r0 < 1.9-r3 < 1.10-r0",
    "pypi": "1.0.dev1 < 1.0a1.dev1 < 1.0a1 = 1.0alpha1 < 1.0b1 < 1.0rc1 = 1.0c1 < 1.0 = 1.0.0 = v1.0 = 1 < 1.0+abc "
    "< 1.0+5 < 1.0.post1.dev1 < 1.0.post1 = 1.0-1 < 1.0.1 < 1.9 < 1.10 < 2020.1 < 1!0.1",
    "semver": "0.0.0-20200101000000-abcdefabcdef < 0.0.0-20210101000000-000000000000 < 0.0.1 < 1.0.0-0 < 1.0.0-2 "
    "< 1.0.0-11 < 1.0.0-alpha < 1.0.0-alpha.1 < 1.0.0-alpha.beta < 1.0.0-beta < 1.0.0-beta.2 < 1.0.0-beta.11 "
    "< 1.0.0-rc.1 < 1.0.0 = v1.0.0 = 1.0 = 1 = 1.0.0+build.7 < 1.0.1-0 < 1.0.1 < 1.9.0 < 1.10.0 "
    "< v2.0.0 = v2.0.0+incompatible",
    "maven": "1-alpha-1 = 1a1 < 1-alpha-2 < 1-alpha-10 < 1-beta-1 < 1-milestone-1 < 1-rc-1 = 1-cr-1 < 1-SNAPSHOT "
    "< 1 = 1.0 = 1.0.0 = 1-ga = 1-final < 1-sp < 1-abc < 1-1 < 1.0.1 < 1.2 < 1.10 < 1.10.1-jre",
    "nuget": "1.0.0-alpha < 1.0.0-ALPHA.1 < 1.0.0-alpha.2 < 1.0.0-beta < 1.0.0-rc.2 < 1.0.0-rc.10 "
    "< 1.0.0 = 1.0 = 1 = 1.0.0.0 = 1.0.0+meta < 1.0.0.1 < 1.0.1 < 1.10.0",
    "gem": "0.9 < 1.0.a < 1.0.a.2 < 1.0.a.10 < 1.0.b1 < 1.0.rc1 < 1.0 = 1 = 1.0.0 = 1.0-x86_64-linux = 1.0-java "
    "< 1.0.1.pre < 1.0.1 < 1.9 < 1.10",
    "packagist": "1.0-dev < 1.0-alpha1 < 1.0-alpha2 < 1.0-beta2 < 1.0-beta10 < 1.0-RC1 < 1.0 = v1.0.0 = 1.0.0.0 "
    "= 1.0-stable < 1.0-p1 = 1.0-patch1 < 1.0.0.1 < 1.0.1 < 1.9 < 1.10",
}


def vectors() -> Iterator[tuple[str, bytes]]:
    """Name below tests/vectors/osv, and content."""
    for name, value in (*good_records(), *bad_records()):
        raw = value if isinstance(value, bytes) else _json(value)
        yield f"records/{name}.json", raw
    for scheme, order in ORDERS.items():
        yield f"versions/{scheme}.txt", order.replace(" < ", "\n").encode() + b"\n"
    for title, case in matches():
        yield f"matches/{title}.json", _json(case)
    for name, raw in zips():
        yield f"zips/{name}.zip", raw


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def record(record_id: str, *affected: Json, **more: Any) -> Json:
    """A record."""
    return {"schema_version": "1.6.0", "id": record_id, **TIMES, **more, "affected": list(affected)}


def affected(ecosystem: str, name: str, *ranges: Json, versions: tuple[str, ...] = (), **more: Any) -> Json:
    """One package of a record."""
    entry: Json = {"package": {"ecosystem": ecosystem, "name": name}, **more}
    return entry | ({"ranges": list(ranges)} if ranges else {}) | ({"versions": list(versions)} if versions else {})


def span(text: str, kind: str = "ECOSYSTEM") -> Json:
    """A range from words: `introduced 0, fixed 1.2`."""
    return {"type": kind, "events": [dict([event.split()]) for event in text.split(", ")]}


def good_records() -> Iterator[tuple[str, Json]]:
    """Records that must be read."""
    plain = affected("PyPI", "demo", span("introduced 0, fixed 1.2"))
    yield "good--least", {"id": "X-1", "modified": "2026-01-01T00:00:00Z"}
    yield "good--plain", record("GHSA-aaaa-bbbb-cccc", plain, aliases=["CVE-2026-1"])
    yield "good--nulls-as-go-writes-them", record("X-1", plain, aliases=None, severity=None, withdrawn=None)
    yield "good--unknown-fields", record("X-1", {**plain, "new": 1}, future={"a": [1]}, credits=[{"name": "x"}])
    yield "good--only-commits", record("X-1", {"ranges": [span("introduced 0", "GIT")]})
    yield "good--no-package-null", record("X-1", {**plain, "package": None})
    yield "good--odd-specifics", record("X-1", {**plain, "ecosystem_specific": 7}, database_specific=[1])
    yield "good--details-for-summary", record("X-1", plain, details="  first line\n\nsecond \x1b[31mline")


def bad_records() -> Iterator[tuple[str, Json | bytes]]:
    """Records that must be refused."""
    plain = affected("PyPI", "demo", span("introduced 0"))
    yield "json--not-json", b"{"
    yield "json--trailing", b'{"id":"X","modified":"2026-01-01T00:00:00Z"} {}'
    yield "json-duplicate-key--id-twice", b'{"id":"X","id":"Y","modified":"2026-01-01T00:00:00Z"}'
    yield "json-encoding--byte-order-mark", b"\xef\xbb\xbf{}"
    yield "json-encoding--latin-1", b'{"id":"\xe9"}'
    yield "json-number--nan", b'{"id":"X","modified":NaN}'
    yield "json-surrogate--lone", b'{"id":"X","modified":"2026-01-01T00:00:00Z","summary":"\\ud800"}'
    yield "json-depth--brackets", b'{"id":' + b"[" * 2_000
    yield "field-type--a-list", b"[]"
    yield "field-missing--no-id", {"modified": TIMES["modified"]}
    yield "field-missing--no-modified", {"id": "X"}
    yield "field-type--id-is-a-number", {**record("X"), "id": 7}
    yield "osv-id--empty", record("")
    yield "osv-id--a-path", record("../../etc/passwd")
    yield "osv-id--terminal-escape", record("CVE-\x1b[2J")
    yield "osv-id--alias-with-a-space", record("X", aliases=["CVE 1"])
    yield "osv-id--very-long", record("X" * 201)
    yield "field-type--alias-is-a-number", record("X", aliases=[1])
    yield "time--date-only", {**record("X"), "modified": "2026-01-01"}
    yield "time--withdrawn-is-none", record("X", withdrawn="yes")
    yield "field-missing--package-without-name", record("X", {"package": {"ecosystem": "PyPI"}})
    yield "limits--package-with-empty-name", record("X", affected("PyPI", ""))
    yield "field-type--affected-is-an-object", {**record("X"), "affected": {}}
    yield "field-type--range-without-events", record("X", affected("PyPI", "x", {"type": "SEMVER", "events": 1}))
    yield "field-missing--range-without-type", record("X", affected("PyPI", "x", {"events": []}))
    yield "osv-event--two-in-one", record("X", affected("PyPI", "x", _event({"introduced": "0", "fixed": "1"})))
    yield "osv-event--none", record("X", affected("PyPI", "x", _event({})))
    yield "osv-event--unknown", record("X", affected("PyPI", "x", _event({"Introduced": "0"})))
    yield "osv-event--empty-version", record("X", affected("PyPI", "x", _event({"fixed": ""})))
    yield "field-type--event-version-is-a-number", record("X", affected("PyPI", "x", _event({"fixed": 1})))
    yield "field-type--versions-of-numbers", record("X", affected("PyPI", "x") | {"versions": [1]})
    yield "field-missing--severity-without-score", record("X", plain, severity=[{"type": "CVSS_V3"}])
    yield "field-type--summary-is-a-list", record("X", plain, summary=["x"])


def _event(event: Json) -> Json:
    return {"type": "ECOSYSTEM", "events": [event]}


def matches() -> Iterator[tuple[str, Json]]:
    """Records with what they must say of packages: `affected`, `not`, `unjudged` (with its note) or `withdrawn`."""
    yield from _range_matches()
    yield from _ecosystem_matches()


def _case(found: Json, **expected: list[Any]) -> Json:
    """`expected`: verdict → purls; an affected one is `[purl, fixed…]`."""
    return {"record": found, **expected}


def _pypi(*ranges: Json, versions: tuple[str, ...] = (), **more: Any) -> Json:
    return record("X-1", affected("PyPI", "demo", *ranges, versions=versions), **more)


def _range_matches() -> Iterator[tuple[str, Json]]:
    def demo(*versions: str) -> list[str]:
        return [f"pkg:pypi/demo@{version}" for version in versions]

    yield "range-introduced-fixed", _case(
        _pypi(span("introduced 1.0, fixed 1.2")),
        affected=[["pkg:pypi/demo@1.0", "1.2"], ["pkg:pypi/demo@1.2rc1", "1.2"], ["pkg:pypi/Demo@1.1", "1.2"]],
        **{"not": demo("0.9", "1.2", "1.10", "1.0a1")},
    )  # fmt: skip
    yield (
        "range-from-the-beginning",
        _case(
            _pypi(span("introduced 0, fixed 1.2")), affected=[["pkg:pypi/demo@0.dev0", "1.2"]], **{"not": demo("1.2")}
        ),
    )
    yield "range-never-fixed", _case(_pypi(span("introduced 0")), affected=[["pkg:pypi/demo@99"]])
    yield "range-last-affected", _case(
        _pypi(span("introduced 1, last_affected 1.5")),
        affected=[["pkg:pypi/demo@1.5"], ["pkg:pypi/demo@1.5.0"]], **{"not": demo("1.5.1", "1.5.post1", "0.9")},
    )  # fmt: skip
    yield "range-several-in-one", _case(
        _pypi(span("introduced 0, fixed 1.2, introduced 2.0, fixed 2.4, introduced 3.0, last_affected 3.1")),
        affected=[["pkg:pypi/demo@1.1", "1.2", "2.4"], ["pkg:pypi/demo@2.0", "2.4"], ["pkg:pypi/demo@3.1"]],
        **{"not": demo("1.2", "1.9", "2.4", "3.2")},
    )  # fmt: skip
    yield "range-events-in-any-order", _case(
        _pypi(span("fixed 2.4, introduced 2.0, fixed 1.2, introduced 0")),
        affected=[["pkg:pypi/demo@1.1", "1.2", "2.4"], ["pkg:pypi/demo@2.3", "2.4"]], **{"not": demo("1.3", "2.4")},
    )  # fmt: skip
    yield "range-that-touch", _case(
        _pypi(span("introduced 0, fixed 2.0, introduced 2.0, fixed 3.0")),
        affected=[["pkg:pypi/demo@2.0", "3.0"]], **{"not": demo("3.0")},
    )  # fmt: skip
    yield "range-of-one-version", _case(
        _pypi(span("introduced 1.0.1, last_affected 1.0.1")),
        affected=[["pkg:pypi/demo@1.0.1"]], **{"not": demo("1.0.2", "1.0")},
    )  # fmt: skip
    yield (
        "range-with-limit",
        _case(
            _pypi(span("introduced 1.0, limit 2.0")), affected=[["pkg:pypi/demo@1.9"]], **{"not": demo("2.0", "3.0")}
        ),
    )
    yield "range-with-open-limit", _case(_pypi(span("introduced 1.0, limit *")), affected=[["pkg:pypi/demo@9"]])
    yield "several-ranges", _case(
        _pypi(span("introduced 0, fixed 1.2"), span("introduced 2, fixed 2.2")),
        affected=[["pkg:pypi/demo@2.1", "2.2"], ["pkg:pypi/demo@0.1", "1.2"]], **{"not": demo("1.2")},
    )  # fmt: skip
    yield "versions-listed", _case(
        _pypi(versions=("1.0", "1.1rc1")),
        affected=[["pkg:pypi/demo@1.0"], ["pkg:pypi/demo@1.0.0"], ["pkg:pypi/demo@1.1-rc1"]], **{"not": demo("1.1")},
    )  # fmt: skip
    yield (
        "versions-listed-beside-a-range",
        _case(_pypi(span("introduced 0, fixed 1.2"), versions=("7.0",)), affected=[["pkg:pypi/demo@7.0"]]),
    )
    yield "versions-listed-that-nobody-can-compare", _case(
        _pypi(versions=("banana",)),
        affected=[["pkg:pypi/demo@banana"]],
        unjudged=[["pkg:pypi/demo@apple!", "version-unjudged"]],
    )  # fmt: skip
    yield "commits-only", _case(_pypi(span("introduced 0", "GIT")), unjudged=[["pkg:pypi/demo@1.0", "git-only"]])
    yield "commits-beside-versions", _case(
        _pypi(span("introduced 0", "GIT"), span("introduced 0, fixed 2")),
        affected=[["pkg:pypi/demo@1.0", "2"]], **{"not": demo("2")},
    )  # fmt: skip
    yield (
        "range-of-a-new-kind",
        _case(_pypi(span("introduced 0", "LUNAR")), unjudged=[["pkg:pypi/demo@1.0", "version-unjudged"]]),
    )
    yield (
        "range-that-cannot-be-read",
        _case(_pypi(span("introduced 0, fixed soon")), unjudged=[["pkg:pypi/demo@1.0", "version-unjudged"]]),
    )
    yield (
        "version-that-cannot-be-read",
        _case(_pypi(span("introduced 0, fixed 9")), unjudged=[["pkg:pypi/demo@latest", "version-unjudged"]]),
    )
    yield "nothing-said", _case(_pypi(), unjudged=[["pkg:pypi/demo@1.0", "version-unjudged"]])
    yield "withdrawn", _case(_pypi(span("introduced 0"), withdrawn="2026-02-02T00:00:00Z"), withdrawn=demo("1.0"))
    yield (
        "withdrawn-later-than-now",
        _case(_pypi(span("introduced 0"), withdrawn="2031-01-01T00:00:00Z"), affected=[["pkg:pypi/demo@1.0"]]),
    )


def _ecosystem_matches() -> Iterator[tuple[str, Json]]:
    yield "npm-scope", _case(
        record("X-1", affected("npm", "@babel/traverse", span("introduced 0, fixed 7.23.2", "SEMVER"))),
        affected=[["pkg:npm/%40babel/traverse@7.23.1", "7.23.2"], ["pkg:npm/@babel/traverse@7.23.2-rc.1", "7.23.2"]],
        **{"not": ["pkg:npm/%40babel/traverse@7.23.2", "pkg:npm/traverse@1.0.0"]},
    )  # fmt: skip
    yield "go-module", _case(
        record("X-1", affected("Go", "github.com/Example/Mod/v2", span("introduced 0, fixed 2.3.0", "SEMVER"))),
        affected=[
            ["pkg:golang/github.com/example/mod/v2@v2.2.9", "2.3.0"],
            ["pkg:golang/github.com/Example/Mod/v2@v2.0.0-20200101000000-abcdefabcdef", "2.3.0"],
            ["pkg:golang/github.com/Example/Mod/v2@v2.1.0%2Bincompatible#cmd/x", "2.3.0"],
        ],
        **{"not": ["pkg:golang/github.com/Example/Mod/v2@v2.3.0", "pkg:golang/github.com/example/mod@v1.0.0"]},
        unjudged=[["pkg:golang/github.com/example/mod/v2@(devel)", "version-unjudged"]],
    )  # fmt: skip
    yield "go-standard-library", _case(
        record("X-1", affected("Go", "stdlib", span("introduced 1.21.0-0, fixed 1.21.9", "SEMVER"))),
        affected=[["pkg:golang/stdlib@1.21.8", "1.21.9"], ["pkg:golang/stdlib@go1.21.8", "1.21.9"]],
        **{"not": ["pkg:golang/stdlib@1.21.9", "pkg:golang/stdlib@1.20.1"]},
    )  # fmt: skip
    yield "maven-group-and-artifact", _case(
        record("X-1", affected("Maven", "org.apache:log", span("introduced 2.0-beta9, fixed 2.15.0"))),
        affected=[["pkg:maven/org.apache/log@2.14.1", "2.15.0"], ["pkg:maven/org.apache/log@2.0-rc1", "2.15.0"]],
        **{"not": ["pkg:maven/org.apache/log@2.15.0", "pkg:maven/org.apache/log@2.0-alpha1", "pkg:maven/org/log@2.1"]},
    )  # fmt: skip
    yield "pypi-name-folds", _case(
        record("X-1", affected("PyPI", "Ruamel.Yaml_clib", span("introduced 0"))),
        affected=[["pkg:pypi/ruamel-yaml-clib@1"], ["pkg:pypi/ruamel.yaml.clib@1"], ["pkg:pypi/RUAMEL__yaml-clib@1"]],
    )  # fmt: skip
    yield "debian-by-source-and-release", _case(
        record("DSA-1", affected("Debian:12", "openssl", span("introduced 0, fixed 3.0.13-1~deb12u1"))),
        affected=[
            ["pkg:deb/debian/libssl3@3.0.11-1?arch=amd64&upstream=openssl&distro=debian-12", "3.0.13-1~deb12u1"],
            ["pkg:deb/debian/openssl@3.0.13-1~deb12u0?distro=debian-12.5", "3.0.13-1~deb12u1"],
            ["pkg:deb/debian/openssl@3.0.13-1~?distro=bookworm", "3.0.13-1~deb12u1"],
            ["pkg:deb/debian/libssl3@9:1?upstream=openssl%403.0.1&distro=debian-12", "3.0.13-1~deb12u1"],
        ],
        **{"not": [
            "pkg:deb/debian/libssl3@3.0.13-1~deb12u1?upstream=openssl&distro=debian-12",
            "pkg:deb/debian/openssl@1%3A1.0-1?distro=debian-12",
            "pkg:deb/debian/libssl3@3.0.1?distro=debian-12",
        ]},
        nodata=["pkg:deb/debian/openssl@3.0.1?distro=debian-11", "pkg:deb/ubuntu/openssl@3.0.1?distro=ubuntu-12"],
    )  # fmt: skip
    yield "ubuntu-with-and-without-lts", _case(
        record("USN-1", affected("Ubuntu:22.04:LTS", "curl", span("introduced 0, fixed 7.81.0-1ubuntu1.16"))),
        affected=[["pkg:deb/ubuntu/curl@7.81.0-1ubuntu1.15?distro=ubuntu-22.04", "7.81.0-1ubuntu1.16"]],
        **{"not": ["pkg:deb/ubuntu/curl@7.81.0-1ubuntu1.16?distro=ubuntu-22.04"]},
        nodata=["pkg:deb/ubuntu/curl@7.81.0-1?distro=ubuntu-24.04"],
    )  # fmt: skip
    yield "alpine-release", _case(
        record("ALPINE-CVE-1", affected("Alpine:v3.20", "openssl", span("introduced 0, fixed 3.3.1-r1"))),
        affected=[
            ["pkg:apk/alpine/libcrypto3@3.3.1-r0?upstream=openssl&distro=alpine-3.20.1", "3.3.1-r1"],
            ["pkg:apk/alpine/openssl@3.3.1_rc1-r9?distro=3.20.0", "3.3.1-r1"],
        ],
        **{"not": ["pkg:apk/alpine/openssl@3.3.1-r1?distro=alpine-3.20.1"]},
        nodata=["pkg:apk/alpine/openssl@3.3.1-r0?distro=alpine-3.19.0", "pkg:apk/wolfi/openssl@3.3.1-r0"],
    )  # fmt: skip
    yield "rpm-by-binary-and-source", _case(
        record(
            "ALSA-1",
            affected("AlmaLinux:9", "openssl-libs", span("introduced 0, fixed 1:3.0.7-27.el9")),
            affected("AlmaLinux:9", "bash", span("introduced 0, fixed 5.1.8-9.el9")),
        ),
        affected=[
            ["pkg:rpm/almalinux/openssl-libs@3.0.7-25.el9?epoch=1&upstream=openssl-3.0.7-25.el9.src.rpm&distro=almalinux-9.3",
             "1:3.0.7-27.el9"],
            ["pkg:rpm/almalinux/bash-doc@5.1.8-6.el9?upstream=bash-5.1.8-6.el9.src.rpm&distro=almalinux-9.3",
             "5.1.8-9.el9"],
        ],
        **{"not": ["pkg:rpm/almalinux/openssl-libs@3.0.7-27.el9?epoch=1&distro=almalinux-9.3"]},
    )  # fmt: skip
    yield "suse-modules-share-a-release", _case(
        record(
            "SUSE-1",
            affected("SUSE:Linux Enterprise Module for Python 15 SP5", "zlib", span("introduced 0, fixed 1.2.13-1")),
        ),
        affected=[["pkg:rpm/suse/zlib@1.2.11-1?distro=sles-15.5", "1.2.13-1"]],
        nodata=["pkg:rpm/suse/zlib@1.2.11-1?distro=sles-15.4"],
    )  # fmt: skip
    yield "red-hat-repositories-share-a-release", _case(
        record(
            "RHSA-1", affected("Red Hat:enterprise_linux:9::baseos", "zlib", span("introduced 0, fixed 0:1.2.11-4.el9"))
        ),
        affected=[["pkg:rpm/redhat/zlib@1.2.11-3.el9?distro=rhel-9.3", "0:1.2.11-4.el9"]],
        nodata=["pkg:rpm/redhat/zlib@1.2.11-39.el8?distro=rhel-8.9"],
    )  # fmt: skip
    yield "semver-range-without-an-order", _case(
        record("X-1", affected("ConanCenter", "zlib", span("introduced 0, fixed 1.3.1", "SEMVER"))),
        affected=[["pkg:conan/zlib@1.2.11", "1.3.1"]], **{"not": ["pkg:conan/zlib@1.3.1"]},
    )  # fmt: skip
    yield "ecosystem-range-without-an-order", _case(
        record("X-1", affected("Hackage", "aeson", span("introduced 0, fixed 2"), versions=("1.5",))),
        affected=[["pkg:hackage/aeson@1.5"]], unjudged=[["pkg:hackage/aeson@1.6", "version-unjudged"]],
    )  # fmt: skip


def zips() -> Iterator[tuple[str, bytes]]:
    """Zips that must be read (`good`), or be refused as a whole."""
    plain = _json(record("X-1", affected("PyPI", "demo", span("introduced 0"))))
    good = make_zip({"X-1.json": plain, "X-2.json": plain})
    yield "good--two", good
    yield "good--stored", make_zip({"X-1.json": plain}, method=zipfile.ZIP_STORED)
    yield "good--folders", make_zip({"PyPI/": b"", "PyPI/X-1.json": plain})
    yield "zip-name--climbs", make_zip({"../X-1.json": plain})
    yield "zip-name--climbs-inside", make_zip({"a/../../X-1.json": plain})
    yield "zip-name--absolute", make_zip({"/etc/X-1.json": plain})
    yield "zip-name--drive", make_zip({"C:X-1.json": plain})
    yield "zip-name--backslash", good.replace(b"X-2.json", b"\\-2.json")
    yield "zip-name--escape", good.replace(b"X-2.json", b"\x1b-2.json")
    yield "zip-name--twice", good.replace(b"X-2.json", b"X-1.json")
    yield "zip-name--not-ascii", good.replace(b"X-2.json", b"\xff-2.json")
    yield "zip-encrypted--flag", patch_central(good, 8, struct.pack("<H", 1))
    yield "zip-link--symbolic", patch_central(good, 38, struct.pack("<L", 0o120777 << 16))
    yield "zip-overlap--more-than-there-is", patch_central(good, 20, struct.pack("<L", len(good)))
    yield "zip--cut-off", good[:-1]
    yield "zip--trailing", good + b"x"
    yield "zip--method", patch_central(good, 10, struct.pack("<H", 12))
    yield "zip--several-volumes", good[:-18] + struct.pack("<H", 1) + good[-16:]
    yield "zip--no-directory", good[: good.index(b"PK\x01\x02")]
    yield "zip--directory-elsewhere", good[:-6] + struct.pack("<L", 0) + good[-2:]


def make_zip(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with fixed times."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as made:
        for name, raw in files.items():
            info = zipfile.ZipInfo(name, _FIXED)
            info.external_attr = (0o040755 if name.endswith("/") else 0o100644) << 16
            info.create_system = 3
            info.compress_type = method
            made.writestr(info, raw)
    return target.getvalue()


def patch_central(raw: bytes, offset: int, value: bytes) -> bytes:
    """The zip with bytes of its first central header replaced."""
    place = raw.index(b"PK\x01\x02") + offset
    return raw[:place] + value + raw[place + len(value) :]
