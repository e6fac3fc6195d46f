"""The general TUF client behind the command line of the official suite (theupdateframework/tuf-conformance).

    tuf_conformance_client.py --metadata-dir D init ROOT.json
    tuf_conformance_client.py --metadata-dir D --metadata-url U refresh
    tuf_conformance_client.py --metadata-dir D --metadata-url U \
        --target-name T --target-base-url B --target-dir O download

Rules of this script:
- It exits with 0 or 1 and nothing else. 1 comes with one line on stderr; a traceback there is our bug.
- D holds root.json, timestamp.json, snapshot.json, targets.json and one file for each delegated role, as they came.
  `init` only takes the root in: each run verifies everything in D anew, and the root is where trust starts.
- The clock is the process's own (libfaketime sets it), read once.
- O holds targets under their names, percent-encoded. One that is there and right is not fetched again.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, from any folder

from bundler import limits
from bundler.cli.trust_sources import http_fetch
from bundler.errors import EnvError, SealiftError, TrustError
from bundler.escaping import escape
from bundler.network.access import Access
from bundler.network.trust_files import TrustFiles
from bundler.safe_file import read_bounded, write_atomically
from trust_root.roles import ROOT
from trust_root.tuf_client.store import FolderStore
from trust_root.tuf_client.walk import FoundTarget, Walk, refresh
from trust_root.tuf_client.workflow import verify_target

_PATIENCE = Access(retries=1, backoff_seconds=0.1)


class _Parser(argparse.ArgumentParser):
    """A wrong command line is exit 1 too."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise SystemExit(_fail(f"{message} (see --help)"))


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns 0 or 1."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except SealiftError as error:
        return _fail(f"{error} [{error.code}]")
    except OSError as error:
        return _fail(str(error))
    return 0


def _run(options: argparse.Namespace) -> None:
    folder = Path(options.metadata_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if options.command == "init":
        write_atomically(folder / "root.json", read_bounded(Path(options.root), limits.TUF_METADATA_BYTES))
        return
    files = TrustFiles(_PATIENCE, os.environ)
    try:
        store = FolderStore(folder)
        root = store.load(ROOT)
        if root is None:
            raise EnvError("file-absent", "trusted root", str(folder / "root.json"), got="absent", want="init first")
        walk = refresh(root, http_fetch(options.metadata_url, files), datetime.now(UTC), store)
        if options.command == "download":
            for name in options.target_name:
                _download(walk, name, options, files)
    finally:
        files.close()


def _download(walk: Walk, name: str, options: argparse.Namespace, files: TrustFiles) -> None:
    found = walk.find_target(name)
    place = Path(options.target_dir) / quote(name, safe="")
    place.parent.mkdir(parents=True, exist_ok=True)
    if not _is_there(place, found):
        write_atomically(place, walk.download(found, http_fetch(options.target_base_url, files)))


def _is_there(place: Path, found: FoundTarget) -> bool:
    try:
        verify_target(found.facts, read_bounded(place, limits.TUF_TARGET_BYTES))
    except (EnvError, TrustError):
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(description="General TUF client, as the official conformance suite calls it.")
    parser.add_argument("--metadata-dir", metavar="D", required=True, help="local metadata")
    parser.add_argument("--metadata-url", metavar="U", default="", help="where the repository's metadata is")
    parser.add_argument("--target-name", metavar="T", action="append", default=[], help="target path; repeatable")
    parser.add_argument("--target-base-url", metavar="B", default="", help="where the repository's targets are")
    parser.add_argument("--target-dir", metavar="O", default=".", help="where downloaded targets go")
    commands = parser.add_subparsers(dest="command", required=True, metavar="init|refresh|download")
    commands.add_parser("init", help="take in the trusted root").add_argument("root", metavar="ROOT.json")
    commands.add_parser("refresh", help="bring the top-level metadata up to date")
    commands.add_parser("download", help="refresh, then fetch the targets")
    return parser


def _fail(message: str) -> int:
    print(escape(f"tuf_conformance_client: {message}"), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
