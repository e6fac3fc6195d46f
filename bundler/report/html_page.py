"""Pages that stand alone: one file, nothing loaded from anywhere, opened from a disk as well as from a server.

Rules of this module:
- Every text is data. What a template prints goes through `escape` (controls and overrides become visible), is cut when
  it is huge, and is then escaped for HTML; a template has no way around it but the parts made here.
- A strict content security policy: nothing is allowed but this page's own style and script, named by their hashes.
- Data for the script is JSON in a block of its own that can neither end the block nor run.
- Equal values give equal bytes: no clock, no random number, no address of this machine.
- jinja2 is an optional dependency: it is imported when a page is made, and its absence is a usage error.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bundler import limits
from bundler.digest import Digest
from bundler.errors import UsageError
from bundler.escaping import escape
from bundler.moment import format_moment
from bundler.report.row_pool import RowPool
from bundler.report.sizes import readable_size
from bundler.version import TOOL

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent / "html"
FIRST_ROWS = 10  # of a long table; the script has all
_STYLE, _SCRIPT = "page.css", "page.js"


def require_renderer() -> None:
    """Fail before any work is done where no page can be made.

    Raises:
        UsageError: jinja2 is not installed (code ``html``).
    """
    _environment()


def render(template: str, values: Mapping[str, Any]) -> str:
    """One page.

    Args:
        template: a file of `html/`.
        values: what it prints.

    Raises:
        UsageError: jinja2 is not installed (code ``html``).
    """
    policy = (
        f"default-src 'none'; style-src '{_hash(_STYLE)}'; script-src '{_hash(_SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return _environment().get_template(template).render(values, policy=policy, tool=TOOL, pool=RowPool())


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  only where a page is made
        from markupsafe import Markup  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "html", "option", "--html", got="no jinja2 in this installation", want="the extra `report`",
            hints=["python3 -m pip install 'sealift[report]', or install from the kit, which has it"],
        ) from error  # fmt: skip
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: _shown(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(time=_time, size=readable_size, short=short, number=told_number, shown_json=_shown_json)

    def ours(text: str) -> Markup:
        return Markup(text)  # noqa: S704  only for this package's own files, and for JSON made safe by embedded_json

    environment.globals.update(
        first_rows=FIRST_ROWS,
        style=ours(_part(_STYLE)),
        script=ours(_part(_SCRIPT)),
        block=lambda value: ours(embedded_json(value)),
    )
    return environment


def _shown(text: str) -> str:
    more = len(text) - limits.PAGE_TEXT_CHARACTERS
    return escape(text if more <= 0 else text[: limits.PAGE_TEXT_CHARACTERS]) + (
        f"… ({more} more characters: --json)" if more > 0 else ""
    )


def embedded_json(value: Any) -> str:
    """JSON that is safe inside a script element: ASCII only, and no character that HTML could read as its own.

    Text in it is escaped and cut like all other text.
    """
    text = json.dumps(_cleaned(value), ensure_ascii=True, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _shown(value)
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _cleaned(item) for key, item in value.items()}
    return value


def short(digest: Digest | str) -> str:
    """`sha256:` and the first twelve digits, for people; never for comparing."""
    text = str(digest)
    return f"{text[:19]}…" if text.startswith("sha256:") else text


def _shown_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(name: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(_part(name).encode()).digest()).decode()


def _time(moment: datetime | None) -> str:
    return "" if moment is None else format_moment(moment.replace(microsecond=0)).replace("T", " ").replace("Z", " UTC")


def told_number(value: int) -> str:
    """12 345 with narrow spaces that do not break."""
    return f"{value:,}".replace(",", "\u202f")
