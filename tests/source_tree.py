"""Our own source as data: modules, what they import, what they call. Read with `ast`, nothing is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bundler", "trust_root")


@dataclass(frozen=True)
class Import:
    """One imported module. For `from a import b` both `a` and `a.b` are meant: `a.b` may be a module."""

    target: str
    line: int


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree, walked once: many rules look at them."""
        return tuple(ast.walk(self.tree))

    @property
    def is_package(self) -> bool:
        """Whether this is an `__init__`."""
        return self.name.endswith(".__init__")

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        return self.name.rpartition(".")[0]

    def imports(self) -> Iterator[Import]:
        """Every import, at any depth of the code, type-checking blocks too."""
        yield from self._imports

    @cached_property
    def _imports(self) -> tuple[Import, ...]:
        return tuple(self._find_imports())

    def _find_imports(self) -> Iterator[Import]:
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield Import(base, node.lineno)
                yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        parents = parts[: len(parts) - node.level + 1]
        return ".".join([*parents, node.module] if node.module else parents)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method."""
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Every call with the dotted name of what is called; an expression's part stands as `?`."""
        for node in self.nodes:
            if isinstance(node, ast.Call):
                yield dotted(node.func), node


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute; `?` stands for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def load_modules() -> list[Module]:
    """All modules of both packages, sorted by name."""
    return list(_modules())


@cache
def _modules() -> tuple[Module, ...]:
    return tuple(
        Module(".".join(path.relative_to(ROOT).with_suffix("").parts), path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    )
