"""Every reason code that our source can give, found with `ast`, to hold bundler/REASONS.md against.

A code is the first argument of an error of bundler/errors.py, or the field `code` of a dataclass (a check, a damage).
It may pass through functions: one that hands a parameter on as the code is followed to its callers. A code that cannot
be traced to literals is a finding, because nobody could document it.

Run `python -m tests.reason_codes` for the rows that REASONS.md lacks.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.source_tree import ROOT, Module, dotted, load_modules

FAMILIES = {
    "RejectedError": 1,
    "MalformedError": 1,
    "UsageError": 2,
    "DamagedError": 3,
    "TrustError": 4,
    "UnsupportedError": 5,
    "EnvError": 6,
}
# What a code means where it stands in a report and not in an error; other dataclasses only tell.
REPORTED = {"Check": 1, "Damage": 3}
# Parts of codes that are put together, by the expression that stands in the f-string.
SPELLED = {
    "self.family": ("sbom", "provenance"),
    "demand.kind": ("signature", "attestation"),
    "tool.name": ("trivy", "copa", "grype"),
}
PAGE = ROOT / "bundler" / "REASONS.md"
_ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (report|[0-9][0-9, ]*?) *\|")
_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Carrier:
    """Something whose argument is a reason code: an error, a dataclass with a code, a function that hands one on."""

    parameter: str
    position: int | None
    exits: frozenset[int]


@dataclass
class Findings:
    """Codes with the exit codes they come with (none: only ever in a report), and places that hide their code."""

    codes: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    untraceable: list[str] = field(default_factory=list)


def collect(modules: list[Module]) -> Findings:
    """All codes of these modules."""
    carriers = {(module.name, name): carrier for module in modules for name, carrier in dataclasses_with_code(module)}
    grown = True
    while grown:
        found = {key: carrier for module in modules for key, carrier in handing_on(module, carriers)}
        grown = any(carriers.get(key) != carrier for key, carrier in found.items())
        carriers.update(found)
    findings = Findings()
    for module in modules:
        for function, call, carrier in uses(module, carriers):
            record(findings, module, function, call, carrier)
    return findings


def record(findings: Findings, module: Module, function: Function | None, call: ast.Call, carrier: Carrier) -> None:
    """Add the codes of one call."""
    expression = code_argument(call, carrier)
    if expression is None:
        return  # the default of a parameter or field: recorded where it is declared
    for value in values(expression, function, module):
        if value is None:
            findings.untraceable.append(f"{module.name}:{call.lineno} {ast.unparse(expression)}")
        elif value and _CODE.fullmatch(value):
            findings.codes[value] |= carrier.exits
        elif value:
            findings.untraceable.append(f"{module.name}:{call.lineno} {value!r} is not a reason code")


def dataclasses_with_code(module: Module) -> Iterator[tuple[str, Carrier]]:
    """Dataclasses that have a field named `code`; their constructor's argument is one."""
    for node in module.nodes:
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(item) for item in node.decorator_list):
            names = [
                item.target.id
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            ]
            if "code" in names:
                exits = frozenset({REPORTED[node.name]}) if node.name in REPORTED else frozenset[int]()
                yield node.name, Carrier("code", names.index("code"), exits)


def handing_on(module: Module, carriers: dict[tuple[str, str], Carrier]) -> Iterator[tuple[tuple[str, str], Carrier]]:
    """Functions that hand one of their parameters on as a code."""
    for function, call, carrier in uses(module, carriers):
        expression = code_argument(call, carrier)
        if function is None or not isinstance(expression, ast.Name):
            continue
        names = [argument.arg for argument in function.args.args]
        keywords = [argument.arg for argument in function.args.kwonlyargs]
        if expression.id in names + keywords:
            bound = names[1:] if names[:1] in (["self"], ["cls"]) else names
            position = bound.index(expression.id) if expression.id in bound else None
            known = carriers.get((module.name, function.name))
            exits = carrier.exits | (known.exits if known else frozenset())
            yield (module.name, function.name), Carrier(expression.id, position, exits)


def uses(
    module: Module, carriers: dict[tuple[str, str], Carrier]
) -> Iterator[tuple[Function | None, ast.Call, Carrier]]:
    """Every call of a carrier, with the function that it stands in."""
    origins = {entry.target.rpartition(".")[2]: entry.target.rpartition(".")[0] for entry in module.imports()}
    homes = {
        id(inner): function for function in module.functions() for inner in ast.walk(function)
    }  # the innermost function comes last
    for node in module.nodes:
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func).rpartition(".")[2]
        if name in FAMILIES:
            yield homes.get(id(node)), node, Carrier("code", 0, frozenset({FAMILIES[name]}))
        elif carrier := carriers.get((module.name, name)) or carriers.get((origins.get(name, ""), name)):
            yield homes.get(id(node)), node, carrier


def code_argument(call: ast.Call, carrier: Carrier) -> ast.expr | None:
    """The expression that a call gives as the code."""
    for keyword in call.keywords:
        if keyword.arg == carrier.parameter:
            return keyword.value
    if carrier.position is not None and carrier.position < len(call.args):
        return call.args[carrier.position]
    return None


def values(expression: ast.expr, function: Function | None, module: Module) -> Iterator[str | None]:
    """The literals that an expression can be; None where that cannot be said; nothing for a code handed on."""
    if isinstance(expression, ast.Constant):
        yield expression.value if isinstance(expression.value, str) else None
    elif isinstance(expression, ast.IfExp):
        yield from values(expression.body, function, module)
        yield from values(expression.orelse, function, module)
    elif isinstance(expression, ast.BoolOp):
        for part in expression.values:
            yield from values(part, function, module)
    elif isinstance(expression, ast.JoinedStr):
        yield from joined_values(expression)
    elif isinstance(expression, ast.Attribute) and expression.attr in ("code", "reason"):
        return  # another error's, check's or report's code
    elif isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name):
        yield from returned_values(expression.func.id, module)
    elif isinstance(expression, ast.Name):
        yield from values_of_name(expression.id, function, module)
    else:
        yield None


def joined_values(expression: ast.JoinedStr) -> Iterator[str | None]:
    """Every spelling of an f-string whose parts are in SPELLED."""
    spellings: list[tuple[str, ...]] = []
    for part in expression.values:
        if isinstance(part, ast.Constant):
            spellings.append((str(part.value),))
        elif isinstance(part, ast.FormattedValue) and ast.unparse(part.value) in SPELLED:
            spellings.append(SPELLED[ast.unparse(part.value)])
        else:
            yield None
            return
    yield from ("".join(parts) for parts in itertools.product(*spellings))


def returned_values(name: str, module: Module) -> Iterator[str | None]:
    """What a function of the same module returns."""
    function = next((function for function in module.functions() if function.name == name), None)
    if function is None:
        yield None
        return
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield from values(node.value, function, module)


def values_of_name(name: str, function: Function | None, module: Module) -> Iterator[str | None]:
    """Literals that a local name or a module constant can hold; a parameter only has its default here."""
    if function is not None:
        arguments = function.args
        if name in {argument.arg for argument in [*arguments.args, *arguments.kwonlyargs]}:
            yield from parameter_defaults(name, arguments)
            return
    for scope in [function, module.tree] if function else [module.tree]:
        assignments = [node for node in ast.walk(scope) if isinstance(node, ast.Assign)]
        found = [value for node in assignments for value in assigned(name, node.targets[0], node.value)]
        if found:
            for value in found:
                yield from values(value, function if scope is function else None, module)
            return
    yield None


def assigned(name: str, target: ast.expr, value: ast.expr) -> Iterator[ast.expr]:
    """The expressions that an assignment gives to one name, through tuples and conditions."""
    if isinstance(value, ast.IfExp):
        yield from assigned(name, target, value.body)
        yield from assigned(name, target, value.orelse)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for inner, part in zip(target.elts, value.elts, strict=False):
            yield from assigned(name, inner, part)
    elif dotted(target) == name:
        yield value


def parameter_defaults(name: str, arguments: ast.arguments) -> Iterator[str]:
    """The default of one parameter, if it is text."""
    positional = zip(reversed(arguments.args), reversed(arguments.defaults), strict=False)
    for argument, default in [*positional, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]:
        if argument.arg == name and isinstance(default, ast.Constant) and isinstance(default.value, str):
            yield default.value


def documented(text: str) -> dict[str, set[int]]:
    """Codes and exit codes of the rows in REASONS.md."""
    rows: dict[str, set[int]] = {}
    for line in text.splitlines():
        if match := _ROW.match(line):
            if match[1] in rows:
                raise ValueError(f"two rows for {match[1]}")
            rows[match[1]] = {int(number) for number in re.findall("[0-9]+", match[2])}
    return rows


def main() -> None:
    """Print what the page lacks, what it has too much, and what cannot be traced."""
    findings = collect(load_modules())
    known = documented(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    for code, exits in sorted(findings.codes.items()):
        if known.get(code) != exits:
            print(f"| `{code}` | {', '.join(map(str, sorted(exits))) or 'report'} |  |  |")
    for code in sorted(set(known) - set(findings.codes)):
        print(f"not in the source: {code}")
    for place in findings.untraceable:
        print(f"cannot be traced: {place}")


if __name__ == "__main__":
    main()
