"""Deliveries and scans made by hand: a believable half year of twenty images, and one with any text everywhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bundler.digest import sha256_of
from bundler.value import replace
from bundler.vulnerability.findings import (
    SEVERITIES,
    DataSource,
    Finding,
    Note,
    Package,
    ScanResult,
    Severity,
    VexStatus,
    VexVerdict,
)
from bundler.vulnerability.history import DeliveredImage, Delivery

AT = datetime(2026, 11, 2, 12, tzinfo=UTC)
DATA = (
    DataSource("osv", "osv-debian.zip", AT - timedelta(days=43), 41_203, sha256_of(b"debian")),
    DataSource("osv", "osv-pypi.zip", AT - timedelta(days=12), 16_877, sha256_of(b"pypi")),
)
NAMES = (
    "grafana", "prometheus", "loki", "tempo", "alertmanager", "postgres", "redis", "nginx", "keycloak", "vault",
    "registry", "gitea", "runner", "harbor-core", "minio", "rabbitmq", "kafka", "etcd", "coredns", "busybox",
)  # fmt: skip
PACKAGES = (
    ("openssl", "Debian:12"), ("zlib1g", "Debian:12"), ("libxml2", "Debian:12"), ("curl", "Debian:12"),
    ("requests", "PyPI"), ("jinja2", "PyPI"), ("golang.org/x/net", "Go"), ("glibc", "Debian:12"),
    ("expat", "Debian:12"), ("@babel/traverse", "npm"),
)  # fmt: skip
_SCORES = {"critical": "9.8", "high": "7.5", "medium": "5.3", "low": "2.1", "none": "0.0", "unknown": ""}
_TURN: tuple[Severity, ...] = (
    "high",
    "medium",
    "low",
    "medium",
    "critical",
    "low",
    "high",
    "medium",
    "unknown",
    "none",
)


def vex(
    status: VexStatus = "not_affected", *, accepted: bool = True, at: datetime | None = AT, text: str = ""
) -> VexVerdict:
    """A statement."""
    return VexVerdict(
        status,
        text or "vulnerable_code_not_in_execute_path", text or "psirt@example.org", text or "vex/2026-10.json", at,
        "signed", accepted, text or "The parser is not built in.",
    )  # fmt: skip


def finding(
    number: int, package: str = "openssl", version: str = "1.0", severity: Severity = "high", *statements: VexVerdict,
    fixed: bool = True, ecosystem: str = "Debian:12",
) -> Finding:  # fmt: skip
    """One of many."""
    published = AT - timedelta(days=20 + 7 * (number % 60))
    return Finding(
        Package(f"pkg:generic/{package}@{version}", package, version, ecosystem), f"CVE-2026-{1000 + number}",
        (f"DSA-{5000 + number}-1",) if number % 3 == 0 else (), severity, _SCORES[severity], "",
        (f"{version}+fix{number % 4}",) if fixed else (), published, published,
        (f"DSA-{5000 + number}-1 of osv-debian.zip",),
        f"{package}: a length that is not checked leads to a write beyond the end of a buffer", statements,
    )  # fmt: skip


def scan(name: str, *findings: Finding, platform: str = "linux/amd64", packages: int = 120, judged: int = 120,
         notes: tuple[Note, ...] = ()) -> ScanResult:  # fmt: skip
    """One SBOM with these findings."""
    return ScanResult(
        name, sha256_of(f"{name} {platform}".encode()), platform, sha256_of(f"sbom {name} {platform}".encode()),
        "SPDX 2.3", "covered by the image signature", packages, judged, findings, notes, DATA,
    )  # fmt: skip


def delivered(name: str, *scans: ScanResult, verdict: str = "verified", reason: str = "") -> DeliveredImage:
    """One image."""
    signer = "https://github.com/example/app/.github/workflows/release.yml@refs/tags/v1"
    signers = (signer,) if verdict == "verified" else ()
    return DeliveredImage(name, sha256_of(name.encode()), verdict, reason, signers, scans)


def delivery(sequence: int, *images: DeliveredImage, stream: str = "main", at: datetime | None = None) -> Delivery:
    """One delivery; later ones are younger."""
    created = at or AT - timedelta(days=14 * (20 - sequence))
    refused = next((image.reason for image in images if image.reason), "")
    return Delivery(
        stream, sequence, sha256_of(f"{stream} {sequence}".encode()), created, f"{stream}-{sequence}.bundle.tar",
        "rejected" if refused else "verified", refused, images, created,
    )  # fmt: skip


def ten_deliveries(images: int = 20, count: int = 10) -> tuple[Delivery, ...]:
    """Half a year: some images are mended again and again, others get worse; one has no SBOM, one is not verified."""
    return tuple(
        delivery(sequence, *(_image(number, sequence) for number in range(images)))
        for sequence in range(10, 10 + count)
    )


def _image(number: int, sequence: int) -> DeliveredImage:
    name = f"registry.example.org/platform/{NAMES[number % len(NAMES)]}{'' if number < 20 else number}:1.{sequence}"
    if number == 17:
        return delivered(name)
    age = sequence // (1 + number % 4)  # how often it was built anew
    notes = (Note("purl-absent", "acme-internal 4.2", "no package URL in the SBOM"),) if number % 6 == 5 else ()
    found = tuple(_found(number, place) for place in range(3 * number // 2 + 30 - 2 * age) if number != 19)
    found = tuple(item for place, item in enumerate(found) if (place * 7 + number) % 11 >= age % 9)
    scans = tuple(
        scan(name, *found[: len(found) - only], platform=platform, packages=120 + number, notes=notes,
             judged=120 + number - len(notes))
        for platform, only in (("linux/amd64", 0), ("linux/arm64", 2))
    )  # fmt: skip
    refused = number == 9 and sequence >= 18
    return delivered(
        name, *scans, verdict="rejected" if refused else "verified", reason="signature-missing" if refused else ""
    )


def _found(number: int, place: int) -> Finding:
    package, ecosystem = PACKAGES[(place + number) % len(PACKAGES)]
    severity = _TURN[(place * 3 + number) % len(_TURN)]
    if severity == "critical" and number % 4 != 2:
        severity = "medium"
    statements = (vex(at=AT - timedelta(days=30)),) if place % 9 == 4 else ()
    if place % 13 == 6:
        statements = (vex("not_affected", accepted=False),)
    return finding(
        100 * number + place, package, f"{1 + place % 3}.{place}", severity, *statements, fixed=place % 4 != 1,
        ecosystem=ecosystem,
    )  # fmt: skip


def hostile_deliveries(text: str) -> tuple[Delivery, ...]:
    """Two deliveries with `text` in every place that takes text from outside."""
    package = Package(text, text, text, text)
    found = tuple(
        Finding(
            package, f"{text}{number}", (text,), severity, text, text, (text, text), AT, AT, (text,), text,
            (vex(text=text), vex("affected", accepted=False, text=text)) if number % 2 else (),
        )
        for number, severity in enumerate((*SEVERITIES, "unknown"))
    )  # fmt: skip
    data = (DataSource(text, text, None, 3, sha256_of(b"x")),)
    images = []
    for sequence in (1, 2):
        one = replace(scan(text, *found[sequence:], platform=text, notes=(Note("some-code", text, text),) * 12),
                      sbom_kind=text, strength=text, data=data)  # fmt: skip
        image = delivered("registry.example.org/app:1", one, verdict="rejected", reason=text)
        image = replace(image, name="registry.example.org/app:1", signers=(text, text), gaps=(Note("gap", text, text),))
        images.append(replace(delivery(sequence, image), source=text))
    return tuple(images)
