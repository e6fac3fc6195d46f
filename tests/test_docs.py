"""Documents that must not drift from the code: reason codes, links, the commands that README names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.reason_codes import PAGE, collect, documented
from tests.source_tree import Module, load_modules

ERRORS = "from bundler.errors import RejectedError, TrustError\n"


def test_every_reason_code_is_documented_with_its_exit_codes() -> None:
    findings = collect(load_modules())
    assert findings.untraceable == []
    rows = documented(PAGE.read_text(encoding="utf-8"))
    assert rows == dict(sorted(findings.codes.items()))


def test_every_row_says_what_it_means_and_the_way_out() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    assert [row for row in cells if len(row) != 4 or not row[2] or not row[3]] == []


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("raise RejectedError('some-code', 'x')", {"some-code": {1}}),
        ("def f(bad):\n    raise TrustError('one' if bad else 'two', 'x')", {"one": {4}, "two": {4}}),
        ("def f(code, x):\n    return RejectedError(code, x)\nraise f('kept', 'x')", {"kept": {1}}),
        ("def f(x, *, code='usual'):\n    raise RejectedError(code, x)\nf(1)\nf(1, code='rare')",
         {"usual": {1}, "rare": {1}}),
        ("def g(code):\n    f(code)\ndef f(code):\n    raise TrustError(code)\ng('deep')", {"deep": {4}}),
        ("class C:\n    def f(self, code):\n        raise TrustError(code)\n    def g(self):\n        self.f('own')",
         {"own": {4}}),
        ("CODE = 'named'\nraise TrustError(CODE, 'x')", {"named": {4}}),
        ("def f(bad):\n    code, want = ('one', 1) if bad else ('two', 2)\n    raise TrustError(code, want)",
         {"one": {4}, "two": {4}}),
        ("def f(demand):\n    raise TrustError(f'{demand.kind}-gone')",
         {"signature-gone": {4}, "attestation-gone": {4}}),
        ("def g(x):\n    return 'one' if x else 'two'\ndef f(x):\n    code = g(x)\n    raise TrustError(code)",
         {"one": {4}, "two": {4}}),
        ("@dataclass\nclass Check:\n    name: str\n    code: str = ''\nCheck('n')\nCheck('n', 'absent')",
         {"absent": {1}}),
        ("@dataclass\nclass Fact:\n    name: str\n    code: str = ''\nFact('n', code='told')", {"told": set()}),
    ],
)  # fmt: skip
def test_the_collector_finds_codes(text: str, codes: dict[str, set[int]]) -> None:
    findings = collect([Module("bundler.oci.manifest", ERRORS + text)])
    assert (findings.codes, findings.untraceable) == (codes, [])


@pytest.mark.parametrize(
    "text", ["raise TrustError(f'{x}-code')", "raise TrustError(names[0])", "raise TrustError('Not a code')"]
)
def test_a_code_that_cannot_be_documented_is_a_finding(text: str) -> None:
    assert len(collect([Module("bundler.oci.manifest", ERRORS + text)]).untraceable) == 1


def markdown_files(root: Path) -> list[Path]:
    return [*root.glob("*.md"), *root.glob("bundler/**/*.md"), *root.glob("trust_root/**/*.md")]


def test_links_between_documents_lead_somewhere(root: Path) -> None:
    broken = [
        f"{path.relative_to(root)}: {target}"
        for path in markdown_files(root)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


def test_make_commands_in_documents_exist(root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        name
        for path in markdown_files(root)
        for name in re.findall(r"(?:`|^    |^)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named - targets == set()


def test_decision_records_are_listed(root: Path) -> None:
    folder = root / "bundler" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert len(records) > 1
    assert [name for name in records if f"({name})" not in index] == []
