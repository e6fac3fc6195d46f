"""What `sealift inspect` says, as lines and tables, from the same values as its JSON form.

Rules of this module:
- Text from outside is made visible and indented (report/columns.py). Each piece of evidence says how strong it is, or
  that it was not judged.
- A digest that is whole stands on a line of its own, so that it can be copied.
- A list that is long is cut, and says by how much; `--all` prints the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from bundler.cli.console import Shown, Table
from bundler.oci.manifest import is_index
from bundler.report.columns import broken
from bundler.report.sizes import readable_size
from bundler.wording import counted

MOST_ROWS = 20
_DEVELOPMENT = "DEVELOPMENT TRUST ROOT: its keys were made for trying things out; this proves nothing to anybody"
_CLAIMS = "claims of whoever made it; verify judges them"


def bundle_lines(document: dict[str, Any]) -> Iterator[Shown]:
    """A whole bundle: its head, and what each image has, by claims that are not judged."""
    yield from trust_lines(document, "claims not judged (verify does)")
    if document["development"]:
        yield from broken("  !! ", _DEVELOPMENT, 5)
    made = f"created {document['created']}, by {document['tool']}"
    yield from broken(f"  stream {document['stream']}, sequence {document['sequence']}, ", made, 4)
    sizes = f"{readable_size(document['size'])}, stored as {readable_size(document['stored_size'])}"
    counts = f"{counted(len(document['images']), 'image')}, {counted(document['blobs'], 'blob')}, {sizes}"
    yield from broken("  for ", f"{', '.join(document['audience']) or 'any site'}; {counts}", 4)
    roles = ", ".join(f"{role['role']} {role['version']} until {role['expires'][:10]}" for role in document["roles"])
    yield from broken("  trust: ", roles, 4)
    for target in document["targets"]:
        yield from broken("  target: ", f"{target['path']}, {readable_size(target['size'])}", 4)
    for image in document["images"]:
        yield from _bundle_image(image)
    for data in document["data"]:
        yield from _bundle_data(data)


def _bundle_image(image: dict[str, Any]) -> Iterator[Shown]:
    yield ""
    yield from broken("", image["name"], 2)
    yield f"  {image['digest']}"
    yield from _origin(image)
    yield from broken("  ", image["media_type"], 4)
    for word, children in (("platform", image["platforms"]), ("omitted", image["omitted"])):
        for child in children:
            yield from _with_digest(f"  {word} ", child)
    whole = "the index" if is_index(image["media_type"]) else "the image"
    for item in image["evidence"]:
        about = item["platform"] or (whole if item["subject"] == image["digest"] else _short(item["subject"]))
        claims = f"; claims {', '.join(item['claims'])} (not judged here)" if item["claims"] else "; not judged here"
        yield from broken("  ", f"{item['kind']} about {about}, found by {item['found_by']}{claims}", 4)
    yield _searched(image["searches"])


def _bundle_data(data: dict[str, Any]) -> Iterator[Shown]:
    records = "" if data["records"] is None else f", {counted(data['records'], 'record')}"
    changed = f", changed {data['modified']}" if data["modified"] else ""
    yield ""
    yield from broken("", f"vulnerability data {data['source']}", 2)
    yield from broken("  ", f"{data['kind']}{records}{changed}, as the exporter had it", 4)
    yield f"  {data['digest']}"


def _origin(image: dict[str, Any]) -> Iterator[Shown]:
    if image["digest_origin"] != "source":
        yield from broken("  !! ", "made by the exporter: no registry has this digest, nobody outside signed it", 5)


def _with_digest(start: str, child: dict[str, Any]) -> Iterator[Shown]:
    yield from broken(start, child["platform"] or "not named", 4)
    yield f"    {child['digest']}"


def _searched(searches: Sequence[dict[str, Any]]) -> str:
    absent = sum(search["answer"] == "absent" for search in searches)
    return f"  searched {counted(len(searches), 'place')} for evidence; {absent} answered that there is none"


def head_lines(document: dict[str, Any]) -> Iterator[Shown]:
    """The bundle, whether its head is trusted, and the image."""
    yield from trust_lines(document, "judged without a policy")
    if document["development"]:
        yield from broken("  !! ", _DEVELOPMENT, 5)
    yield from broken("", document["image"], 2)
    yield f"  {document['digest']}"
    yield from _origin(document)


def trust_lines(document: dict[str, Any], how: str) -> Iterator[Shown]:
    """The bundle, and whether its head is trusted."""
    if document["trusted"] and document["pin"] is None:
        yield from broken("", f"{document['file']}: what this site keeps of accepted deliveries", 2)
    elif document["trusted"]:
        said = f"head trusted through pin {_short(document['pin'])}; {how}"
        yield from broken("", f"{document['file']}: {said}", 2)
    else:
        yield from broken(f"NOT VERIFIED: {document['reason']}: ", document["file"], 2)


def sbom_lines(document: dict[str, Any], most: int | None) -> Iterator[Shown]:
    """SBOMs: identity, tools, counts, packages."""
    for reading in document["sbom"]:
        yield ""
        yield from _reading_lines("SBOM", reading)
        sbom = reading["sbom"]
        if sbom is None:
            continue
        made = ", ".join(sbom["tools"]) or "a tool that it does not name"
        when = f" on {sbom['created']}" if sbom["created"] else ""
        yield from broken("  ", f"{sbom['format']} {sbom['version']}, made{when} by {made}", 4)
        yield from _named("  name ", sbom["name"])
        yield from _named("  identity ", sbom["identity"])
        counts = (counted(len(sbom["packages"]), "package"), counted(sbom["relationships"], "relationship"))
        files = (counted(sbom["files"], "file"),) if sbom["files"] else ()
        yield f"  {', '.join((*counts, *files))}"
        rows = [(item["name"], item["version"], item["licence"], item["purl"]) for item in sbom["packages"]]
        yield Table(("package", "version", "licence", "purl"), rows[:most])
        yield from _more(len(rows), most)
    yield from _missing("SBOM", document)


def provenance_lines(document: dict[str, Any], most: int | None) -> Iterator[Shown]:
    """Provenance: who built it, from what, how, when."""
    for reading in document["provenance"]:
        yield ""
        yield from _reading_lines("provenance", reading)
        details = reading["provenance"]
        if details is None:
            continue
        yield f"  SLSA {details['version']}; {_CLAIMS}"
        digests = ", ".join(f"{name}:{value}" for name, value in details["source_digests"].items())
        rows = [
            ("builder", details["builder"] or "not named"),
            ("build type", details["build_type"]),
            ("source", details["source"] or "not named"),
            ("source ref", details["source_ref"]),
            ("source branch", details["source_branch"]),
            ("source tag", details["source_tag"]),
            ("source digest", digests),
            ("entry point", details["entry_point"]),
            ("invocation", details["invocation"]),
            ("started", details["started"]),
            ("finished", details["finished"]),
        ]
        rows += [(f"parameter {name}", json.dumps(value)) for name, value in details["parameters"].items()]
        for name, value in rows:
            yield from _named(f"  {name} ", value)
        yield f"  {counted(len(details['materials']), 'material')}"
        materials = [
            (item["uri"], ", ".join(f"{name}:{value[:12]}" for name, value in item["digests"].items()))
            for item in details["materials"]
        ]
        yield Table(("material", "digest"), materials[:most])
        yield from _more(len(materials), most)
    yield from _missing("provenance", document)


def scan_lines(document: dict[str, Any]) -> Iterator[Shown]:
    """Scan reports that came with the image: by whom, of when, what they counted."""
    for scan in document["scans"]:
        yield ""
        yield from carried_scan_lines(scan)
    yield from _missing("scan report", document)


def carried_scan_lines(scan: dict[str, Any]) -> Iterator[Shown]:
    """One of them."""
    yield from _reading_lines("scan report", {**scan, "message": ""})
    for phrase in scan["told"]:
        yield from broken("  ", phrase, 4)
    if scan["document"]:
        yield f"  {scan['document']}"


def signature_lines(document: dict[str, Any]) -> Iterator[Shown]:
    """Signatures and attestations: who, when, how strong."""
    for fact in document["signatures"]:
        yield ""
        yield from _fact_lines("", fact)
    if not document["signatures"]:
        yield ""
        yield f"no signature about {document['platform'] or 'this image'}"


def tree_lines(document: dict[str, Any]) -> Iterator[Shown]:
    """The image as a tree: evidence about it, its platforms with theirs, what is omitted, where was searched."""
    for fact in document["about_image"]:
        yield from _fact_lines("  ", fact)
    for child in document["platforms"]:
        yield from _with_digest("  platform ", child)
        for fact in child["evidence"]:
            yield from _fact_lines("    ", fact)
    for fact in document["about_evidence"]:
        yield "  about evidence"
        yield f"    {fact['subject']}"
        yield from _fact_lines("    ", fact)
    for omitted in document["omitted"]:
        yield from _with_digest("  omitted ", omitted)
    yield _searched(document["searches"])


def _reading_lines(word: str, reading: dict[str, Any]) -> Iterator[Shown]:
    about = reading["platform"] or f"the whole of {_short(reading['subject'])}"
    code = f" [{reading['reason']}]" if reading["reason"] else ""
    yield from broken("", f"{word} about {about}: {reading['strength']}{code}", 2)
    for signer in reading["signers"]:
        yield from broken("  by ", signer, 5)
    yield from broken("  in ", f"{reading['form']} {_short(reading['manifest'])}", 5)
    if reading["message"]:
        yield from broken("  cannot be read: ", reading["message"], 4)


def _fact_lines(start: str, fact: dict[str, Any]) -> Iterator[Shown]:
    indent = len(start) + 2
    about = fact["platform"] or _short(fact["subject"])
    head = f"{fact['kind']} {fact['predicate_type']}".strip()
    code = f" [{fact['reason']}]" if fact["reason"] else ""
    yield from broken(start, f"{head} about {about}: {fact['strength']}{code}", indent + 2)
    for name, value in (("by", fact["signer"]), ("issuer", fact["issuer"])):
        yield from _named(f"{start}  {name} ", value)
    if fact["log"]:
        when = f", {fact['signed_at']}" if fact["signed_at"] else ""
        yield from broken(f"{start}  log ", f"{fact['log']}, entry {fact['log_index']}{when}", indent + 4)
    elif fact["signed_at"]:
        yield f"{start}  at {fact['signed_at']}"
    if fact["reason"]:
        yield from broken(f"{start}  ", fact["detail"], indent + 2)


def _short(digest: str) -> str:
    """The first digits, for people; the JSON form has all."""
    return f"{digest[:19]}…"


def _named(start: str, value: str | None) -> Iterator[str]:
    if value:
        yield from broken(start, value, 4)


def _more(count: int, most: int | None) -> Iterator[str]:
    if most is not None and count > most:
        yield f"  … and {count - most} more (--all prints all, --json too)"


def _missing(word: str, document: dict[str, Any]) -> Iterator[Shown]:
    absent: Sequence[str] = document["missing"]
    if absent:
        yield ""
        yield from broken(f"no {word} about ", ", ".join(absent), 2)
