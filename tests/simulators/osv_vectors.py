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

from tests.simulators.osv_match_vectors import TIMES, Json, affected, matches, record, span

__all__ = ["TIMES", "affected", "make_zip", "patch_central", "record", "span", "vectors"]
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
    "maven": "1-alpha-1 = 1a1 < 1-alpha-2 < 1-alpha-10 < 1-beta-1 < 1-milestone-1 < 1-rc-1 = 1-cr-1 = 1.0.RC1 "
    "= 1.0.CR1 < 1-SNAPSHOT < 1 = 1.0 = 1.0.0 = 1-ga = 1-final = 1.0.Final = 1.0.RELEASE = 1.0.0.GA = 1-0 < 1-sp "
    "< 1-abc < 1.0.0.jre8 < 1-0.1 < 1-1 < 1.0.1 < 1.2 < 1.10 < 1.10.1-jre",
    "nuget": "1.0.0-alpha < 1.0.0-ALPHA.1 < 1.0.0-alpha.2 < 1.0.0-beta < 1.0.0-rc.2 = 1.0.0-rc.002 "
    "< 1.0.0-rc.10 = 1.0.0-rc.010+07 < 1.0.0 = 1.0 = 1 = 1.0.0.0 = 1.0.0+meta < 1.0.0.1 < 1.0.1 < 1.10.0",
    "gem": "0.9 < 1.0.a < 1.0.a.2 < 1.0.a.10 < 1.0.b1 < 1.0.rc1 < 1.0 = 1 = 1.0.0 = 1.0-x86_64-linux = 1.0-java "
    "< 1.0.1.pre < 1.0.1 < 1.9 < 1.10",
    "numbers": "0.1 < 0.9 < 0.9.1 < 0.10 < 1 < 1.0 < 1.0.0 = 1.0-0 < 1.0.1 < 1.2 = 1-2 = 1.02 < 1.10",
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


def good_records() -> Iterator[tuple[str, Json]]:
    """Records that must be read."""
    plain = affected("PyPI", "demo", span("introduced 0, fixed 1.2"))
    yield "good--schema-of-the-future", record("X-1", plain, schema_version="1.99.0")
    yield "good--least", {"id": "X-1", "modified": "2026-01-01T00:00:00Z"}
    yield "good--plain", record("GHSA-aaaa-bbbb-cccc", plain, aliases=["CVE-2026-1"])
    yield "good--nulls-as-go-writes-them", record("X-1", plain, aliases=None, severity=None, withdrawn=None)
    yield "good--unknown-fields", record("X-1", {**plain, "new": 1}, future={"a": [1]}, credits=[{"name": "x"}])
    yield "good--only-commits", record("X-1", {"ranges": [span("introduced 0", "GIT")]})
    yield "good--no-package-null", record("X-1", {**plain, "package": None})
    yield "good--odd-specifics", record("X-1", {**plain, "ecosystem_specific": 7}, database_specific=[1])
    yield "good--alias-of-another-kind", record("X-1", plain, aliases=["VU#1", "a/b(c)"])
    yield "good--details-for-summary", record("X-1", plain, details="  first line\n\nsecond \x1b[31mline")


def bad_records() -> Iterator[tuple[str, Json | bytes]]:
    """Records that must be refused."""
    plain = affected("PyPI", "demo", span("introduced 0"))
    for title, version in (("two", "2.0.0"), ("a-word", "latest"), ("empty", "")):
        yield f"osv-version--{title}", record("X-1", plain, schema_version=version)
    yield "field-type--version-is-a-number", record("X-1", plain, schema_version=1.6)
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
