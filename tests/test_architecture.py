"""The house plan, held by a test: who may import whom, one door for each dependency, and the size of things.

The rules are the tables at the top; the checks below read our source with `ast`. Each rule has a planted violation, so
that a checker that sees nothing cannot pass.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.source_tree import Module, load_modules

# Layer 0: the floor. Everything may stand on it, and it stands on nothing.
FLOOR = {
    "bundler.digest",
    "bundler.encoding",
    "bundler.errors",
    "bundler.escaping",
    "bundler.fields",
    "bundler.limits",
    "bundler.moment",
    "bundler.progress",
    "bundler.safe_file",
    "bundler.strict_json",
    "bundler.value",
    "bundler.version",
    "bundler.wording",
}

# Which rooms a room may import, beside itself and the floor. Rooms on one layer are blind to each other.
CLAIMS = {"oci", "transparency", "identity", "evidence"}
FILE = CLAIMS | {"archive", "trust_root"}
ROOMS: dict[str, set[str]] = {
    "oci": set(),
    "transparency": set(),
    "identity": set(),
    "evidence": {"oci", "transparency", "identity"},
    "archive": CLAIMS,
    "trust_root": set(),
    "network": {"oci", "transparency"},
    "vulnerability": FILE,
    "verify": FILE | {"vulnerability"},
    "export": FILE | {"vulnerability", "verify", "network"},
    "deliver": FILE | {"vulnerability", "verify", "network"},
    "report": FILE | {"vulnerability", "verify"},
    "cli": FILE | {"vulnerability", "verify", "network", "export", "deliver", "report"},
}

# One door for each dependency: only these modules (or packages) may import it.
TRUST_COMMANDS = tuple(f"trust_root.cli{part}" for part in ("", "_group", "_common", "_ceremony", "_signing", "_site"))
COMMANDS = ("bundler.cli", *TRUST_COMMANDS)
NETWORK = ("bundler.network",)
DOORS: dict[str, tuple[str, ...]] = {
    "cryptography": ("bundler.archive.seals", "bundler.identity", "bundler.verify.material", "trust_root"),
    "click": COMMANDS,
    "rich": ("bundler.cli.console",),
    "tuf": ("trust_root.tuf_library",),
    "securesystemslib": ("trust_root",),
    "securesystemslib.signer": ("trust_root.tuf_library",),
    "pkcs11": ("trust_root.tokens",),
    "jinja2": ("bundler.report.html_page",),
    "markupsafe": ("bundler.report.html_page",),
    "zstandard": ("bundler.archive.frames",),
    "univers": ("bundler.vulnerability.versions",),
    "packageurl": ("bundler.vulnerability.purls",),
    "cvss": ("bundler.vulnerability.severity",),
    "sqlite3": ("bundler.vulnerability.index",),
    "subprocess": NETWORK,
    "socket": NETWORK,
    "socketserver": NETWORK,
    "ssl": NETWORK,
    "http": NETWORK,
    "urllib.request": NETWORK,
    "urllib3": NETWORK,
    "dataclasses": ("bundler.value",),  # write `from bundler.value import dataclass, field, replace`
    "time": COMMANDS + NETWORK,  # network waits by the monotonic clock; _CLOCK keeps it from the other
    "getpass": COMMANDS,
    "importlib": (*COMMANDS, "trust_root.tuf_library"),
    "zipfile": ("bundler.vulnerability.osv_zip",),
    # Never: other doors to the network or to programs, parsers that run or guess, memory that files can pull away.
    "asyncio": (),
    "ctypes": (),
    "ftplib": (),
    "marshal": (),
    "mmap": (),
    "multiprocessing": (),
    "pickle": (),
    "pty": (),
    "random": (),
    "runpy": (),
    "shelve": (),
    "tarfile": (),
    "tuf.ngclient": (),
    "xml": (),
    "xmlrpc": (),
}

# Calls that need no import of their own to get out, or to read the clock.
_CLOCK = re.compile(
    r"(^|\.)(datetime\.(now|utcnow|today)|date\.today)$|^time\.(time|time_ns|gmtime|localtime|strftime|ctime)$"
)
_PROGRAM = re.compile(r"^os\.(system|popen|fork|forkpty|exec\w+|spawn\w+|posix_spawn\w*)$|^(__import__|eval|exec)$")
_COMPILER = ("bundler.value",)  # compiles the __init__ of our data classes, as Python's own module does

# Where errors become results; elsewhere only named types may be caught.
JUDGES = (
    "bundler.verify.pipeline",
    "bundler.verify.settle",  # the pipeline's last step: a failure to record becomes the report's
    "bundler.deliver.serve",
    "bundler.cli.main",
    *TRUST_COMMANDS,
)
BROAD = {"", "Exception", "BaseException", "SealiftError"}

MODULE_LINES = 400
FUNCTION_LINES = 60

Rule = Callable[[Module], Iterator[str]]


def room_of(name: str) -> str:
    """`bundler.oci.manifest` → `oci`; the floor → `` (empty)."""
    parts = name.split(".")
    if parts[0] == "trust_root":
        return "trust_root"
    if len(parts) == 1 or parts[1] == "__init__" or ".".join(parts[:2]) in FLOOR:
        return ""
    return parts[1]


def within(name: str, places: tuple[str, ...]) -> bool:
    """Whether a module is one of the places or lies below one."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def layers(module: Module) -> Iterator[str]:
    """A room imports the floor, itself, and the rooms that its line in ROOMS names."""
    home = room_of(module.name)
    allowed = ROOMS.get(home, set()) | {home, ""} if home else {""}
    if home and home not in ROOMS:
        yield f"{module.name}: room {home} has no line in ROOMS"
    for entry in module.imports():
        if within(entry.target, ("bundler", "trust_root")) and room_of(entry.target) not in allowed:
            yield f"{module.name}:{entry.line} imports {entry.target}"


def doors(module: Module) -> Iterator[str]:
    """A dependency is imported at its door only."""
    for entry in module.imports():
        for dependency, places in DOORS.items():
            if within(entry.target, (dependency,)) and not within(module.name, places):
                yield f"{module.name}:{entry.line} imports {entry.target}"
    for name, call in module.calls():
        if name == "exec" and within(module.name, _COMPILER):
            continue
        if _PROGRAM.search(name) or (_CLOCK.search(name) and not within(module.name, COMMANDS)):
            yield f"{module.name}:{call.lineno} calls {name}"


def known_dependencies(module: Module) -> Iterator[str]:
    """Nothing is imported that is neither ours, nor Python's, nor behind a door."""
    for entry in module.imports():
        top = entry.target.partition(".")[0]
        if (
            top not in {"bundler", "trust_root", "_typeshed"}
            and top not in sys.stdlib_module_names
            and top not in DOORS
        ):
            yield f"{module.name}:{entry.line} imports {entry.target}, which has no door"


def narrow_handlers(module: Module) -> Iterator[str]:
    """Only the judges catch every error, unless the handler raises the same one again."""
    if within(module.name, JUDGES):
        return
    for node in module.nodes:
        if isinstance(node, ast.ExceptHandler) and BROAD & set(caught(node)) and not raises_again(node):
            yield f"{module.name}:{node.lineno} catches {' '.join(caught(node)) or 'everything'}"


def caught(handler: ast.ExceptHandler) -> list[str]:
    """Names of the types that a handler catches; one empty name when it catches all."""
    if handler.type is None:
        return [""]
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return [ast.unparse(kind) for kind in types]


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether a handler ends with a bare `raise`."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def glanceable(module: Module) -> Iterator[str]:
    """Modules and functions that fit the eye; each module says its rules first."""
    lines = module.text.count("\n")
    if lines >= MODULE_LINES:
        yield f"{module.name}: {lines} lines, expected fewer than {MODULE_LINES}"
    if not ast.get_docstring(module.tree):
        yield f"{module.name}: no docstring"
    for function in module.functions():
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length >= FUNCTION_LINES:
            yield f"{module.name}:{function.lineno} {function.name}: {length} lines, expected fewer"


def verified_values(module: Module) -> Iterator[str]:
    """`open_`, `parse_` and `verify_` give the verified value or raise; they never return a bool."""
    for function in module.functions():
        returns = ast.unparse(function.returns) if function.returns else ""
        if re.match(r"_?(open|parse|verify)_", function.name) and returns == "bool":
            yield f"{module.name}:{function.lineno} {function.name} returns bool"
        if re.match(r"_?is_valid", function.name):
            yield f"{module.name}:{function.lineno} {function.name}: hold the verified value instead"


RULES: tuple[Rule, ...] = (layers, doors, known_dependencies, narrow_handlers, glanceable, verified_values)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    modules = load_modules()
    assert len(modules) > 15
    assert [violation for module in modules for violation in rule(module)] == []


def test_the_floor_is_all_there() -> None:
    names = {module.name for module in load_modules()}
    floor = {name for name in names if name.count(".") == 1 and name.startswith("bundler.")} - {"bundler.__init__"}
    assert floor == FLOOR


def test_no_module_imports_itself_in_a_circle() -> None:
    modules = {module.name.removesuffix(".__init__"): module for module in load_modules()}
    needs = {
        name: {entry.target for entry in module.imports()} & set(modules) - {name} for name, module in modules.items()
    }
    # A package's __init__ is no step of its own: importing `a.b` for `a.b.c` adds nothing.
    needs = {name: {need for need in wanted if not modules[need].is_package} for name, wanted in needs.items()}
    while ready := {name for name, wanted in needs.items() if not wanted}:
        needs = {name: wanted - ready for name, wanted in needs.items() if name not in ready}
    assert needs == {}


def padded(lines: int) -> str:
    return '"""Rules."""\n' + "X = 1\n" * lines


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (layers, "bundler.errors", "from bundler.oci import reference"),
        (layers, "bundler.oci.manifest", "from bundler.identity import keys"),
        (layers, "bundler.oci.manifest", "from ..identity.keys import PublicKey"),
        (layers, "bundler.oci.manifest", "from bundler import identity"),
        (layers, "bundler.oci.manifest", "def late():\n    import bundler.evidence.kind"),
        (layers, "bundler.verify.pipeline", "from bundler.network.layout import open_layout"),
        (layers, "bundler.verify.pipeline", "from bundler.report import as_text"),
        (layers, "bundler.report.as_text", "from bundler.network import layout"),
        (layers, "bundler.archive.reader", "import trust_root.client"),
        (layers, "bundler.export.pipeline", "from bundler.deliver import inspection"),
        (layers, "bundler.export.pipeline", "from bundler.cli import console"),
        (layers, "trust_root.client", "from bundler.oci.descriptor import Descriptor"),
        (layers, "bundler.attic.box", "X = 1"),
        (doors, "bundler.verify.pipeline", "import subprocess"),
        (doors, "bundler.verify.pipeline", "import socket as s"),
        (doors, "bundler.verify.pipeline", "from urllib import request"),
        (doors, "bundler.verify.pipeline", "import urllib.request"),
        (doors, "bundler.verify.pipeline", "from http.client import HTTPSConnection"),
        (doors, "bundler.verify.pipeline", "from datetime import datetime\nAT = datetime.now()"),
        (doors, "bundler.verify.pipeline", "import datetime\nAT = datetime.datetime.now(datetime.UTC)"),
        (doors, "bundler.verify.pipeline", "from time import time"),
        (doors, "bundler.network.skopeo", "import time\nNOW = time.time()"),
        (doors, "bundler.verify.pipeline", "import os\nos.execv('x', ['x'])"),
        (doors, "bundler.network.skopeo", "import os\nos.system('x')"),
        (doors, "bundler.verify.pipeline", "__import__('socket')"),
        (doors, "bundler.verify.pipeline", "exec('x = 1')"),
        (doors, "bundler.value", "eval('1')"),
        (doors, "bundler.oci.manifest", "from dataclasses import dataclass"),
        (doors, "bundler.verify.pipeline", "from importlib import import_module"),
        (doors, "bundler.archive.reader", "import zstandard"),
        (doors, "bundler.archive.reader", "import tarfile"),
        (doors, "bundler.export.sign", "from securesystemslib.signer import Signer"),
        (doors, "trust_root.client", "from tuf.api.metadata import Root"),
        (doors, "trust_root.client", "from securesystemslib.signer import Key"),
        (doors, "trust_root.tuf_library", "from tuf.ngclient import Updater"),
        (doors, "bundler.report.as_text", "import rich"),
        (doors, "bundler.cli.verify", "from rich.table import Table"),
        (doors, "trust_root.repository", "import click"),
        (known_dependencies, "bundler.verify.policy", "import yaml"),
        (narrow_handlers, "bundler.oci.manifest", "try:\n    x()\nexcept Exception:\n    pass"),
        (narrow_handlers, "bundler.oci.manifest", "try:\n    x()\nexcept:\n    raise ValueError"),
        (narrow_handlers, "bundler.oci.manifest", "try:\n    x()\nexcept (KeyError, SealiftError):\n    pass"),
        (glanceable, "bundler.oci.manifest", "X = 1"),
        (glanceable, "bundler.oci.manifest", padded(MODULE_LINES)),
        (glanceable, "bundler.oci.manifest", '"""Rules."""\ndef f():\n' + "    x = 1\n" * FUNCTION_LINES),
        (verified_values, "bundler.oci.manifest", "def verify_note(raw) -> bool: ..."),
        (verified_values, "bundler.oci.manifest", "def is_valid(raw): ..."),
    ],
)
def test_a_planted_violation_is_seen(rule: Rule, name: str, text: str) -> None:
    assert list(rule(Module(name, text))) != []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bundler.oci.manifest", "from bundler.errors import MalformedError\nfrom bundler.oci import descriptor"),
        ("bundler.oci.manifest", "from bundler import limits, strict_json"),
        ("bundler.oci.manifest", "from .descriptor import Descriptor"),
        ("bundler.network.skopeo", "import subprocess\nfrom bundler.oci import reference"),
        ("bundler.verify.pipeline", "from urllib.parse import urlsplit\nimport trust_root.client"),
        ("bundler.cli.main", "import click, time\nfrom datetime import datetime\nNOW = datetime.now()"),
        (
            "trust_root.tuf_library",
            "from tuf.api.metadata import Root\nfrom bundler.strict_json import parse_canonical",
        ),
        ("bundler.safe_file", "try:\n    x()\nexcept BaseException:\n    y()\n    raise"),
    ],
)
def test_what_the_plan_allows_passes(name: str, text: str) -> None:
    module = Module(name, f'"""Rules."""\n{text}\n')
    assert [violation for rule in RULES for violation in rule(module)] == []
