"""Vectors of matches (osv_vectors.py): a record, and for each purl what a scan must say of it, by the OSV schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
TIMES = {"modified": "2026-03-01T12:00:00Z", "published": "2026-02-01T00:00:00.123456Z"}


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


def matches() -> Iterator[tuple[str, Json]]:
    """Records with what they must say of packages: `affected`, `not`, `unjudged` (with its note) or `withdrawn`."""
    yield from _range_matches()
    yield from _ecosystem_matches()
    yield from _name_matches()
    yield from _odd_matches()


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
    yield "range-fixed-where-introduced", _case(
        _pypi(span("introduced 1.0, fixed 1.0")),
        affected=[["pkg:pypi/demo@1.0"], ["pkg:pypi/demo@2.0"]], **{"not": demo("0.9")},
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
    yield "openeuler-service-packs-share-a-release", _case(
        record("OESA-1", affected("openEuler:22.03-LTS-SP1", "zlib", span("introduced 0, fixed 1.2.11-22.oe2203sp1"))),
        affected=[
            ["pkg:rpm/openeuler/zlib@1.2.11-19.oe2203sp1?distro=openEuler-22.03", "1.2.11-22.oe2203sp1"],
            ["pkg:rpm/openeuler/zlib@1.2.11-19.oe2203?distro=openEuler-22.03-LTS", "1.2.11-22.oe2203sp1"],
        ],
        nodata=["pkg:rpm/openeuler/zlib@1.2.11-19.oe2403?distro=openEuler-24.03"],
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
        record("X-1", affected("ConanCenter", "zlib", span("introduced 0, fixed 2"), versions=("1.5",))),
        affected=[["pkg:conan/zlib@1.5"]], unjudged=[["pkg:conan/zlib@1.6", "version-unjudged"]],
    )  # fmt: skip


def _name_matches() -> Iterator[tuple[str, Json]]:
    """Packages that tools name otherwise than the data does."""
    yield "go-path-behind-the-third-part", _case(
        record("GO-1", affected("Go", "github.com/golang-jwt/jwt/v4", span("introduced 0, fixed 4.5.2", "SEMVER"))),
        affected=[
            ["pkg:golang/github.com/golang-jwt/jwt@v4.4.2#v4", "4.5.2"],  # as syft writes it
            ["pkg:golang/github.com/golang-jwt/jwt/v4@v4.4.2", "4.5.2"],
            ["pkg:golang/github.com/golang-jwt/jwt@v4.4.2#v4/request", "4.5.2"],
        ],
        **{"not": [
            "pkg:golang/github.com/golang-jwt/jwt@v4.5.2#v4", "pkg:golang/github.com/golang-jwt/jwt@v5.0.0#v5",
            "pkg:golang/github.com/golang-jwt/jwt@v3.2.1", "pkg:golang/github.com/golang-jwt/jwt@v4.4.2#v5",
        ]},
    )  # fmt: skip
    yield "go-module-without-its-major-version", _case(
        record("GO-2", affected("Go", "github.com/golang-jwt/jwt", span("introduced 0", "SEMVER"))),
        affected=[
            ["pkg:golang/github.com/golang-jwt/jwt@v1.0.0#request"],
            ["pkg:golang/github.com/golang-jwt/jwt@v4.0.0%2Bincompatible#request"],
        ],
        **{"not": ["pkg:golang/github.com/golang-jwt/jwt@v4.4.2#v4"]},
    )  # fmt: skip
    yield "swift-repository-however-it-is-written", _case(
        record("GHSA-1", affected("SwiftURL", "https://github.com/Apple/swift-nio.git", span("introduced 0, fixed 2"))),
        affected=[
            ["pkg:swift/github.com/apple/swift-nio@1.0.0", "2"],
            ["pkg:swift/github.com/apple/swift-nio.git/swift-nio@1.0.0", "2"],
        ],
    )  # fmt: skip
    yield (
        "conan-maker-is-no-part-of-the-name",
        _case(
            record("X-1", affected("ConanCenter", "openssl", span("introduced 0, fixed 3.0.4", "SEMVER"))),
            affected=[["pkg:conan/openssl.org/openssl@3.0.3?user=bincrafters&channel=stable", "3.0.4"]],
        ),
    )
    yield "suse-module-of-all-service-packs", _case(
        record(
            "SUSE-2", affected("SUSE:Linux Enterprise Module for Toolchain 12", "gcc", span("introduced 0, fixed 2-1"))
        ),
        affected=[
            ["pkg:rpm/suse/gcc@1-1?distro=sles-12.5", "2-1"], ["pkg:rpm/suse/gcc@1-1?distro=sles-12", "2-1"],
        ],
        nodata=[
            "pkg:rpm/suse/gcc@1-1?distro=sles-15.5",
            "pkg:rpm/suse/gcc@2-1?distro=sles-12.5",  # what all service packs share says nothing of the rest of one
        ],
    )  # fmt: skip
    yield (
        "red-hat-prolonged-support",
        _case(
            record("RHSA-2", affected("Red Hat:rhel_els:7", "zlib", span("introduced 0, fixed 0:1.2.7-21.el7_9.1"))),
            affected=[["pkg:rpm/redhat/zlib@1.2.7-21.el7_9?distro=rhel-7.9", "0:1.2.7-21.el7_9.1"]],
            **{"not": ["pkg:rpm/redhat/zlib@1.2.7-21.el7_9.1?distro=rhel-7.9"]},
        ),
    )
    yield "red-hat-products-by-the-mark-of-their-packages", _case(
        record(
            "RHSA-3",
            affected("Red Hat:openshift:4.14::el9", "cri-o", span("introduced 0, fixed 0:1.27.2-1.rhaos4.14.el9")),
            affected("Red Hat:enterprise_linux:9::baseos", "zlib", span("introduced 0, fixed 0:1-1.el9")),
        ),
        affected=[["pkg:rpm/redhat/cri-o@1.27.1-8.rhaos4.14.el9?distro=rhel-9.2", "0:1.27.2-1.rhaos4.14.el9"]],
        **{"not": [
            "pkg:rpm/redhat/cri-o@1.27.2-1.rhaos4.14.el9?distro=rhel-9.2",
            "pkg:rpm/redhat/cri-o@1.27.1-8.el9?distro=rhel-9.2",  # RHEL's own is not that of the product
        ]},
    )  # fmt: skip
    yield (
        "red-hat-products-without-data-about-them",
        _case(
            record(
                "RHSA-4", affected("Red Hat:enterprise_linux:9::baseos", "zlib", span("introduced 0, fixed 0:1-1.el9"))
            ),
            nodata=["pkg:rpm/redhat/cri-o@1.27.1-8.rhaos4.14.el9?distro=rhel-9.2"],
        ),
    )
    yield (
        "release-told-more-exactly-than-it-is-kept",
        _case(
            record("RLSA-2", affected("Rocky Linux:9.3", "zlib", span("introduced 0, fixed 0:1.2.11-41.el9"))),
            affected=[["pkg:rpm/rocky/zlib@1.2.11-40.el9?distro=rocky-9.2", "0:1.2.11-41.el9"]],
        ),
    )


def _odd_matches() -> Iterator[tuple[str, Json]]:
    """What is easily judged "not affected", and is."""
    yield "data-about-no-one-release", _case(
        record("X-1", affected("Debian", "zlib", span("introduced 0, fixed 2-1"))),
        affected=[["pkg:deb/debian/zlib@1-1?distro=debian-12", "2-1"], ["pkg:deb/debian/zlib@1-1?distro=sid", "2-1"]],
        **{"not": ["pkg:deb/debian/zlib@2-1?distro=debian-11"]}, nodata=["pkg:deb/ubuntu/zlib@1-1?distro=ubuntu-22.04"],
    )  # fmt: skip
    yield "ubuntu-pro", _case(
        record(
            "USN-1", affected("Ubuntu:Pro:18.04:LTS", "curl", span("introduced 0, fixed 7.58.0-2ubuntu3.24+esm1")),
            affected("Ubuntu:18.04:LTS", "vim", span("introduced 0")),
            affected("Ubuntu:Pro:18.04:LTS", "vim", span("introduced 0, fixed 2:8.0+esm1")),
            affected("Ubuntu:Pro:FIPS:18.04:LTS", "openssl", span("introduced 0")),
        ),
        affected=[
            ["pkg:deb/ubuntu/curl@7.58.0-2ubuntu3.24?distro=ubuntu-18.04", "7.58.0-2ubuntu3.24+esm1"],
            ["pkg:deb/ubuntu/vim@2:8.0?distro=ubuntu-18.04", "2:8.0+esm1"],
        ],
        **{"not": [
            "pkg:deb/ubuntu/curl@7.58.0-2ubuntu3.24%2Besm1?distro=ubuntu-18.04",
            "pkg:deb/ubuntu/openssl@1?distro=ubuntu-18.04",
        ]},
    )  # fmt: skip
    yield "debian-package-built-again", _case(
        record("DSA-1", affected("Debian:12", "zlib", span("introduced 0, last_affected 1.2-3"))),
        affected=[["pkg:deb/debian/zlib@1.2-3%2Bb1?distro=debian-12"]],
        **{"not": ["pkg:deb/debian/zlib@1.2-3%2Bdeb12u1?distro=debian-12"]},
    )  # fmt: skip
    yield "pypi-builds-of-a-version", _case(
        _pypi(span("introduced 1.0, last_affected 2.0.1"), span("introduced 3, fixed 3.1+patched"), versions=("9",)),
        affected=[["pkg:pypi/demo@9%2Bcu118"], ["pkg:pypi/demo@2.0.1%2Bcu118"], ["pkg:pypi/demo@3.1", "3.1+patched"]],
        **{"not": ["pkg:pypi/demo@2.0.1.post1%2Bcu118", "pkg:pypi/demo@3.1%2Bpatched", "pkg:pypi/demo@0.9%2Bcu118"]},
    )  # fmt: skip
    yield (
        "range-that-begins-nowhere",
        _case(_pypi(span("fixed 1.2")), unjudged=[["pkg:pypi/demo@1.0", "version-unjudged"]]),
    )
    yield "fix-that-another-range-holds", _case(
        _pypi(span("introduced 0, fixed 1.2, introduced 1.2, fixed 1.5"), span("introduced 1.3, fixed 1.4.5")),
        affected=[["pkg:pypi/demo@1.1", "1.5"], ["pkg:pypi/demo@1.4", "1.5"]],
    )  # fmt: skip
    yield "go-release-candidates", _case(
        record("GO-1", affected("Go", "stdlib", span("introduced 1.21.0-0, fixed 1.21.0-rc.4", "SEMVER"))),
        affected=[["pkg:golang/stdlib@go1.21rc3", "1.21.0-rc.4"], ["pkg:golang/stdlib@1.21beta1", "1.21.0-rc.4"]],
        **{"not": ["pkg:golang/stdlib@go1.21rc4", "pkg:golang/stdlib@go1.21", "pkg:golang/stdlib@1.20"]},
    )  # fmt: skip
    yield "bitnami-revision", _case(
        record("BIT-1", affected("Bitnami", "wordpress", span("introduced 6.2.0, fixed 6.2.1", "SEMVER"))),
        affected=[["pkg:bitnami/wordpress@6.2.0-3?arch=amd64&distro=debian-11", "6.2.1"]],
        **{"not": ["pkg:bitnami/wordpress@6.2.1-0", "pkg:bitnami/wordpress@6.1.9-12"]},
    )  # fmt: skip
    yield "cran-versions", _case(
        record("RSEC-1", affected("CRAN", "jsonlite", span("introduced 0, fixed 1.8.10"), versions=("2.0-1",))),
        affected=[["pkg:cran/jsonlite@1.8-9", "1.8.10"], ["pkg:cran/jsonlite@2.0.1"]],
        **{"not": ["pkg:cran/jsonlite@1.8-10", "pkg:cran/jsonlite@1.8.10.0"]},
    )  # fmt: skip
    yield "hackage-versions", _case(
        record("HSEC-1", affected("Hackage", "aeson", span("introduced 0.4, fixed 2.0.1.0"))),
        affected=[["pkg:hackage/aeson@1.5.6.0", "2.0.1.0"]], **{"not": ["pkg:hackage/aeson@2.0.1.0"]},
    )  # fmt: skip
    yield "action-by-its-repository", _case(
        record("X-1", affected("GitHub Actions", "tj-actions/changed-files", span("introduced 0, fixed 46.0.1"))),
        affected=[
            ["pkg:github/tj-actions/changed-files@v45", "46.0.1"],
            ["pkg:githubactions/tj-actions/changed-files/folder@v45.1", "46.0.1"],
        ],
        unjudged=[["pkg:github/tj-actions/changed-files@0e58ed8671d6b60d0890c21b07f8835ace038e67", "version-unjudged"]],
    )  # fmt: skip
    yield "maven-words-for-a-release", _case(
        record("X-1", affected("Maven", "org:core", span("introduced 0, last_affected 4.3.0"))),
        affected=[["pkg:maven/org/core@4.3.0.RELEASE"], ["pkg:maven/org/core@4.3.0.RC1"]],
        **{"not": ["pkg:maven/org/core@4.3.1.RELEASE"]},
    )  # fmt: skip
