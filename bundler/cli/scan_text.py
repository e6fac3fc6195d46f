"""What `sealift scan` says, as lines and tables, from the same values as its JSON form.

Rules of this module:
- Text from outside is made visible and indented (report/columns.py); tables are escaped by the console.
- What was found, what could not be judged and how old the data is stand together: none of them alone means anything.
- A list that is long is cut, and says by how much; `--all` prints the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from bundler.cli.console import Shown, Table
from bundler.cli.inspect_text import carried_scan_lines, trust_lines
from bundler.report.columns import broken

MOST_ROWS = 30
_MOST_NOTES = 3
_WEAK = (("unsigned", " (unsigned)"), ("named in the statement", " (the stream's word)"))
_HEADINGS = ("severity", "id", "package", "version", "fixed in", "vex")


def scan_lines(document: dict[str, Any], most: int | None) -> Iterator[Shown]:
    """The whole screen."""
    policy = document["policy"]
    yield from trust_lines(document, "judged without a policy" if policy is None else "not held against demands")
    yield f"  as of {document['at']}"
    if policy is not None:
        yield f"  whose VEX counts: policy {policy[:19]}…"
    for source in document["data"]:
        yield from broken("  data: ", _source(source), 4)
    yield from _notes(document["data_notes"], most)
    for result in document["images"]:
        yield from _result(result, most)
    for missing in document["not_scanned"]:
        yield ""
        yield from broken("NOT SCANNED: ", f"{missing['message']} [{missing['reason']}]", 2)
    yield from _upstream(document["upstream"])
    yield ""
    yield from broken("", _summary(document), 2)


def _upstream(scans: Sequence[dict[str, Any]]) -> Iterator[Shown]:
    """Reports that came with the images: the word of others, not among the findings above."""
    if scans:
        yield ""
        yield "made upstream, and in none of the counts here:"
    for image, scan in ((scan["image"], scan) for scan in scans):
        yield ""
        yield from broken("", image, 2)
        yield from carried_scan_lines(scan)


def _source(source: dict[str, Any]) -> str:
    age = "of unknown age" if source["age_days"] is None else f"{_count(source['age_days'], 'day')} old"
    newest = f", newest of {source['modified'][:10]}" if source["modified"] else ""
    return f"{source['source']} ({source['kind']}), {_count(source['records'], 'record')}{newest}, {age}"


def _result(result: dict[str, Any], most: int | None) -> Iterator[Shown]:
    yield ""
    yield from broken("", result["image"], 2)
    about = result["platform"] or "the index"
    original = result["original"]
    whose = "its SBOM" if original is None else f"the SBOM of its original {original['image']}"
    yield from broken("  ", f"{about}, by {whose} ({result['sbom_kind']}): {result['strength']}", 4)
    yield f"  {result['digest']}"
    if original is not None:
        yield from broken("  ", f"patched from {original['digest']}, {original['derivation']}", 4)
    yield from broken("  ", _told(result), 4)
    rows = [_row(finding) for finding in result["findings"]]
    yield Table(_HEADINGS, rows[:most])
    if most is not None and len(rows) > most:
        yield f"  … and {len(rows) - most} more (--all prints all, --json too)"
    yield from _notes(result["notes"], most)


def _row(finding: dict[str, Any]) -> tuple[str, ...]:
    package = finding["package"]
    score = f" {finding['score']}" if finding["score"] else ""
    said = ", ".join(_verdict(verdict) for verdict in finding["vex"])
    fixed = ", ".join(finding["fixed_in"]) or "-"
    return f"{finding['severity']}{score}", finding["id"], package["name"], package["version"], fixed, said


def _verdict(verdict: dict[str, Any]) -> str:
    """What is settled by words that their author did not sign is told as that."""
    if not verdict["accepted"]:
        return f"{verdict['status']} (not accepted)"
    weak = next((told for start, told in _WEAK if verdict["strength"].startswith(start)), "")
    return f"{verdict['status']}{weak}"


def _told(result: dict[str, Any]) -> str:
    words = [f"{count} {severity}" for severity, count in result["counts"].items() if count]
    found = ", ".join(words) or ("nothing open" if result["excused"] else "nothing found")
    found += f"; {result['fixable']} fixable" if result["fixable"] else ""
    found += f"; {result['excused']} excused by VEX" if result["excused"] else ""
    unjudged = result["packages"] - result["judged"]
    judged = f"{result['judged']} of {_count(result['packages'], 'package')} judged"
    return f"{found}; {judged}{f', {unjudged} NOT' if unjudged else ''}"


def _notes(notes: Sequence[dict[str, str]], most: int | None) -> Iterator[Shown]:
    """By reason, with the first few of each."""
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for note in notes:
        groups[note["reason"]].append(note)
    for reason, group in groups.items():
        shown = group if most is None else group[:_MOST_NOTES]
        for note in shown:
            yield from broken(f"  note [{reason}]: ", f"{note['subject']}: {note['detail']}", 4)
        if len(group) > len(shown):
            yield f"  note [{reason}]: … and {len(group) - len(shown)} more (--all prints all, --json too)"


def _summary(document: dict[str, Any]) -> str:
    sboms = _count(len(document["images"]), "SBOM")
    total = sum(document["counts"].values())
    unjudged = document["packages"] - document["judged"]
    words = [f"{_count(total, 'finding')} in {sboms}", f"{document['failing']} at or above --fail-on"]
    words += [f"{document['excused']} excused by VEX"] if document["excused"] else []
    words += [f"{_count(unjudged, 'package')} could not be judged"] if unjudged else []
    words += [f"{len(document['not_scanned'])} not scanned"] if document["not_scanned"] else []
    return "; ".join(words)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
