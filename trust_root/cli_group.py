"""Groups of commands that import a command's module only when that command is called.

Rules of this module: a command is named by module and attribute, with its one-line help, so that `--help` lists a group
and imports none of it (DESIGN section 7: within 100 ms).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

CommandTable = Mapping[str, tuple[str, str, str]]
"""Command name → module, attribute, one-line help; in the order of the listing."""


class LazyGroup(click.Group):
    """A group of commands from a table.

    Args:
        table: the commands.
    """

    def __init__(self, *arguments: Any, table: CommandTable, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names in the order of the table."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in self._table:
            return None
        module, attribute, _ = self._table[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        if ctx.resilient_parsing:  # a shell asks how the line may go on
            _complete_files(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in self._table.items()])


def _complete_files(command: click.Command) -> None:
    """Most words that are typed name files; a shell that asks us first would offer none of them otherwise."""
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = click.Path()
