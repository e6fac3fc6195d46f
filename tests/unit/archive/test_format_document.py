"""FORMAT.md says what the code does: limits, codes, kinds, constants."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from bundler import limits
from bundler.archive.layout import EVIDENCE_KINDS, OCI_LAYOUT
from bundler.archive.names import STREAM_GRAMMAR
from bundler.archive.ustar import format_header
from bundler.oci.manifest import INDEX_TYPES, MANIFEST_TYPES
from tests.simulators.bad_inventories import bad_inventories
from tests.simulators.tuf_repository import TufRepository


@pytest.fixture(scope="module")
def document(root: Path) -> str:
    return (root / "bundler" / "archive" / "FORMAT.md").read_text(encoding="utf-8")


def test_limits(document: str) -> None:
    section = document.partition("## 10. Limits")[2].partition("## 11.")[0]
    rows = re.findall(r"^\| `([A-Z_]+)`[^|]*\| (\d+) \|$", section, re.MULTILINE)
    assert len(rows) >= 18
    for name, value in rows:
        assert getattr(limits, name) == int(value), name


def test_every_limit_that_decides_is_told(document: str, root: Path) -> None:
    used = set()
    for path in (root / "bundler" / "archive").glob("*.py"):
        used |= set(re.findall(r"limits\.([A-Z_]+)", path.read_text(encoding="utf-8")))
    ours = {
        "READ_BUFFER_BYTES",
        "VERIFY_THREADS",
        "KEPT_IN_MEMORY_BYTES",
        "REFERENCE_CHARACTERS",
        "SITE_NAME_CHARACTERS",
    }
    assert {name for name in used - ours if f"`{name}`" not in document} == set()


def test_damage_codes(document: str, root: Path) -> None:
    """The table of section 9 names each code with which reading a bundle can end as damaged, and no other."""
    section = document.partition("Codes of damage")[2].partition("An inventory with another hash")[0]
    told = set(re.findall(r"`([a-z-]+)`", "\n".join(row.split("|")[1] for row in section.splitlines() if "|" in row)))
    source = set()
    for path in (root / "bundler" / "archive").glob("*.py"):
        if path.name != "writer.py":
            source |= codes_in(ast.parse(path.read_text(encoding="utf-8")))
    assert told - {"code"} == source - {"content-size"}  # compress_to's, at export


def codes_in(tree: ast.AST) -> set[str]:
    """First arguments of DamagedError and helpers, third of Damage."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        position = {"DamagedError": 0, "Damage": 2}.get(node.func.id)
        if node.func.id == "_refused" and isinstance(node.args[0], ast.Constant):
            position = 0 if str(node.args[0].value).startswith("frame-") else None
        if position is None:
            continue
        argument = node.args[position]
        if isinstance(argument, ast.Constant):
            found.add(str(argument.value))
    return found


def test_rules_of_the_inventory_have_cases(document: str) -> None:
    rows = re.findall(r"^\| (I\d+) \|.*\| (.+) \|$", document, re.MULTILINE)
    assert [rule for rule, _ in rows] == [f"I{number}" for number in range(1, 17)]
    tested = {code for code, _, _ in bad_inventories()}
    for rule, codes in rows:
        assert set(re.findall(r"`([a-z-]+)`", codes)) <= tested, rule


def test_constants(document: str) -> None:
    assert OCI_LAYOUT.decode() in document
    assert f"`{STREAM_GRAMMAR}`" in document
    for text in (*EVIDENCE_KINDS, *INDEX_TYPES, *MANIFEST_TYPES):
        assert f"`{text}`" in document


def test_the_table_of_the_header(document: str) -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([^|]*)\| (.*) \|$", document, re.MULTILINE)
    assert sum(int(length) for _, length, _, _ in rows) == 512
    header = format_header("a", 8 << 30)
    offset = 0
    for start, length, field, told in rows:
        assert int(start) == offset
        value = header[offset : offset + int(length)]
        offset += int(length)
        if field.strip() in ("name", "size", "checksum"):
            continue
        spelled = b"".join(token.encode() if quoted else b"\0" for quoted, token in tokens(told))
        assert value == spelled.ljust(int(length), b"\0"), field


def tokens(told: str) -> list[tuple[bool, str]]:
    """`literal` and NUL, in order."""
    return [(bool(literal), literal) for literal in re.findall(r"`([^`]*)`|NUL", told)]


def test_the_fields_of_the_trust_metadata(document: str) -> None:
    """The table says what `trust_root` writes and reads, field by field."""
    table = re.findall(r"^\| (?:the )?(\w+) \| `(\w+)` \| (.*) \|$", document, re.MULTILINE)
    told = {role: (kind, re.findall(r"`([^`]+)`", fields)) for role, kind, fields in table[1:]}  # less the heading
    assert list(told) == ["root", "timestamp", "snapshot", "targets", "stream"]
    repository = TufRepository("main", development=True, targets={"keys/a.pub": b"a key"})
    repository.export("main", b"an inventory")
    for name, raw in repository.files().items():
        role = name.removeprefix("metadata/").removesuffix(".json").rpartition(".")[2].replace("main", "stream")
        if name.startswith("metadata/"):
            signed = json.loads(raw)["signed"]
            kind, fields = told[role]
            own = set(signed) - {"_type", "spec_version", "version", "expires"}
            assert signed["_type"] == kind
            assert own <= set(fields), name
            assert {place.replace("main", "<stream>") for place in signed.get("meta", {})} <= set(fields), name
            assert {key for role in signed.get("delegations", {}).get("roles", []) for key in role} <= set(fields)
