"""A small world for attacks on the whole verification: exporters of signed images, one site, and knives for bundles.

    world = Campaign(tmp_path, "alpha", "beta")
    bundle = world.deliver("alpha")                      # the next bundle of a stream
    world.judge(bundle)                                  # (exit code, reason), recorded at the site
    world.state_bytes()                                  # every file of the site's state, to be compared

The image is signed keyless, or with a publisher's key (`keyed=True` in `deliver`); `KEYLESS` and `KEYED` demand the one
or the other. `split` and `join` take bundles apart and put them together again: headers derived, nothing signed.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bundler.archive.inventory import Inventory
from bundler.archive.names import TRUST_PREFIX, ordered_trust_names
from bundler.archive.ustar import end_bytes, format_header, padding_bytes
from bundler.verify.pipeline import Verification
from bundler.verify.result import Report
from tests.simulators.bundles import walk_members
from tests.simulators.deliveries import (
    NOW,
    Change,
    Exporter,
    LayoutSource,
    change_settings,
    keyless_policy,
    make_site,
    verify,
)
from tests.simulators.images import Held, Layer, Layout
from tests.simulators.sigstore import Signer, Sigstore
from tests.simulators.sigstore_keys import GITHUB
from tests.simulators.tuf_repository import START, TufRepository

REPOSITORY = "registry.example.org/app"
NAME = f"{REPOSITORY}:1"
IDENTITY = "https://example.org/app/.github/workflows/release.yml@refs/tags/v1"
TRUSTED_ROOT = "trusted_root/demo.json"
TEAM_KEY = "keys/team.pub"
KEYLESS = keyless_policy(f"{REPOSITORY}", IDENTITY, GITHUB)
KEYED = f'format = 1\n[[rule]]\nimages = ["{REPOSITORY}"]\n[[rule.signature]]\nkey = "team"\n'
DAY = timedelta(days=1)
Verdict = tuple[int, str]


class Campaign:
    """One trust root, its exporters, and one site that has pinned root 1.

    Args:
        folder: where everything lies.
        streams: names of the streams; each has its own exporter's key.
        site: the site's name, or None.
        holders, threshold: the root's keys; fewer make smaller bundles.
    """

    def __init__(
        self, folder: Path, *streams: str, site: str | None = "plant", holders: int = 3, threshold: int = 2
    ) -> None:
        self.folder = folder
        self._doubles = itertools.count()
        self.sigstore = Sigstore("campaign")
        self.team = self.sigstore.key_signer()
        self.keyless_layout = self._layout("keyless", self.sigstore.keyless(IDENTITY))
        self.keyed_layout = self._layout("keyed", self.team)
        targets = {TRUSTED_ROOT: self.sigstore.trusted_root_json(), TEAM_KEY: self.team.public_pem.encode()}
        self.repository = TufRepository(*streams, holders=holders, threshold=threshold, targets=targets)
        self.exporters = {name: Exporter(self.repository, folder, name) for name in self.repository.streams}
        self.state = make_site(folder / "state", self.repository.pin, name=site)

    def exporter(self, stream: str) -> Exporter:
        """A stream's exporter; made for streams that were added later."""
        return self.exporters.setdefault(stream, Exporter(self.repository, self.folder, stream))

    def deliver(
        self,
        stream: str = "main",
        *,
        keyed: bool = False,
        at: datetime = START,
        audience: Sequence[str] = (),
        change: Change = lambda inventory: inventory,
    ) -> Path:
        """The next bundle of a stream."""
        return self.exporter(stream).deliver(self.source(keyed=keyed), at=at, audience=audience, change=change)

    def source(self, *, keyed: bool = False) -> LayoutSource:
        """The one image."""
        return LayoutSource("oci", self.keyed_layout if keyed else self.keyless_layout, NAME, NAME)

    def double(self, stream: str = "main", *, repository: TufRepository | None = None) -> Exporter:
        """A second exporter with the same key and history as a stream's, as after a theft or a copied folder."""
        original = self.exporter(stream)
        return Exporter(
            repository or self.repository.fork(),
            self.folder / f"double-{next(self._doubles)}",
            stream,
            original.sequence,
            original.previous,
        )

    def run(self, bundle: Path | str, policy: str | None = KEYLESS, **knobs: Any) -> Verification:
        """What `sealift verify` does."""
        return verify(bundle, self.state, policy, **knobs)

    def report(self, bundle: Path | str, policy: str | None = KEYLESS, **knobs: Any) -> Report:
        """The report of a run."""
        return self.run(bundle, policy, **knobs).report

    def judge(self, bundle: Path | str, policy: str | None = KEYLESS, **knobs: Any) -> Verdict:
        """Exit code and reason of a run."""
        return verdict(self.report(bundle, policy, **knobs))

    def state_bytes(self) -> dict[str, bytes]:
        """Every file of the state folder, the lock too."""
        return tree_bytes(self.state)

    def alarms(self) -> list[str]:
        """Codes of the alarms in the site's log."""
        lines = map(json.loads, (self.state / "log.jsonl").read_text().splitlines())
        return [line["code"] for line in lines if line["kind"] == "alarm"]

    def write(self, raw: bytes, name: str = "altered") -> Path:
        """Bytes as a file."""
        path = self.folder / f"{name}.bundle.tar"
        path.write_bytes(raw)
        return path

    def settings(self, text: str) -> None:
        """Replace the site's `site.toml`, and accept it."""
        change_settings(self.state, text)

    def _layout(self, name: str, signer: Signer) -> Path:
        layout = Layout()
        top = layout.image("linux/amd64", [Layer(Held(f"the only layer of {name}".encode()))])
        layout.name(top, NAME)
        signature = layout.cosign([self.sigstore.sign(top.digest, signer, reference=REPOSITORY)])
        layout.tag_evidence(signature, top, "sig", REPOSITORY)
        return layout.write(self.folder / f"layout-{name}")


def verdict(report: Report) -> Verdict:
    """Exit code and reason."""
    return report.exit_code, report.reason


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def changed(**fields: object) -> Change:
    """A change of the inventory's own fields, for `deliver`."""

    def change(inventory: Inventory) -> Inventory:
        return dataclasses.replace(inventory, **fields)  # type: ignore[arg-type]

    return change


@dataclass(frozen=True)
class Part:
    """A member as it lies in a bundle: header and content (with padding)."""

    name: str
    header: bytes
    content: bytes
    size_bytes: int

    @property
    def raw(self) -> bytes:
        """All its bytes."""
        return self.header + self.content


def split(raw: bytes) -> list[Part]:
    """The members of a well-formed bundle."""
    parts = []
    for name, offset in walk_members(raw):
        size_bytes = int(raw[offset + 124 : offset + 135], 8)
        end = offset + 512 + size_bytes + padding_bytes(size_bytes)
        parts.append(Part(name, raw[offset : offset + 512], raw[offset + 512 : end], size_bytes))
    return parts


def join(parts: Sequence[Part]) -> bytes:
    """A bundle of these members with an end that fits."""
    body = b"".join(part.raw for part in parts)
    return body + bytes(end_bytes(len(body)))


def make_part(name: str, content: bytes) -> Part:
    """A member with a derived header."""
    padded = content + bytes(padding_bytes(len(content)))
    return Part(name, format_header(name, len(content)), padded, len(content))


def with_trust(raw: bytes, files: Mapping[str, bytes]) -> bytes:
    """A bundle with other files below `trust/` and everything else as it was."""
    parts = split(raw)
    trust = [make_part(TRUST_PREFIX + name, files[name]) for name in ordered_trust_names(files)]
    return join([parts[0], *trust, *(part for part in parts[1:] if not part.name.startswith(TRUST_PREFIX))])


def trust_of(raw: bytes) -> dict[str, bytes]:
    """What a bundle carries below `trust/`."""
    return {
        part.name.removeprefix(TRUST_PREFIX): part.content[: part.size_bytes]
        for part in split(raw)
        if part.name.startswith(TRUST_PREFIX)
    }


def header_offsets(raw: bytes) -> Iterator[int]:
    """Where each header of a bundle starts."""
    return (offset for _, offset in walk_members(raw))


__all__ = [
    "DAY", "IDENTITY", "KEYED", "KEYLESS", "NAME", "NOW", "REPOSITORY", "START", "TEAM_KEY", "TRUSTED_ROOT",
    "Campaign", "Part", "Verdict", "changed", "header_offsets", "join", "make_part", "split", "tree_bytes",
    "trust_of", "verdict", "with_trust",
]  # fmt: skip
