"""`sealift`: the group of commands, and the one place where errors become exit codes and messages.

Rules of this module:
- Nothing heavy is imported before a command runs (DESIGN section 7: `--help` within 100 ms). A command is named here by
  module and attribute, with its one-line help, so that listing them imports none.
- Results go to stdout, everything else to stderr: `sealift: <what> <which>: <got>, expected <want>`, then `hint:`
  lines. With `--json` the error is also a JSON document on stdout.
- Exit codes are those of DESIGN section 5. What nobody foresaw is exit 70 and never looks like success.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from io import TextIOWrapper
from typing import NoReturn

import click

from bundler.errors import EXIT_BUG, EnvError, SealiftError, UsageError
from bundler.escaping import escape
from bundler.version import FORMAT_VERSION, VERSION
from trust_root.cli_group import LazyGroup

_COMMANDS = {
    "export": ("bundler.cli.export", "export", "Export images with their evidence into one signed bundle file."),
    "patch": ("bundler.cli.patch", "patch", "Scan and patch images, and export both with proof of their lineage."),
    "verify": ("bundler.cli.verify", "verify", "Verify a bundle offline, against the pinned root and your policy."),
    "serve": ("bundler.cli.serve", "serve", "Serve a bundle's images as a read-only registry, without unpacking."),
    "verify-blob": ("bundler.cli.verify_blob", "verify_blob", "Verify one Sigstore bundle for one file or digest."),
    "inspect": ("bundler.cli.inspect", "inspect", "Show what a bundle holds, without reading its layers."),
    "scan": ("bundler.cli.scan", "scan", "Scan a bundle's SBOMs against vulnerability data, offline."),
    "dashboard": ("bundler.cli.dashboard", "dashboard", "Show what is open in everything delivered, over time."),
    "diff": ("bundler.cli.diff", "diff", "Show what differs between two bundles, without reading their layers."),
    "load": ("bundler.cli.load", "load", "Load a bundle's images and evidence into a registry, layout or storage."),
    "data": ("bundler.cli.data", "data", "Show which vulnerability data is there, and how old it is."),
    "triangulate": ("bundler.cli.triangulate", "triangulate", "Print where evidence about an image would lie."),
    "cache": ("bundler.cli.cache", "cache", "Show or prune what exports have fetched from registries."),
    "trust": ("bundler.cli.trust", "trust", "Make, publish, pin and show trust roots."),
    "help": ("bundler.cli.pages", "pages", "Print a manual page: format, policy, export, report, …"),
}
# Objects made before the collector of cycles runs. With Python's 700 it walks everything 75 times while a command
# starts, a tenth of its time, for nothing, since what was imported stays. So many objects are some 10 MB.
_COLLECT_AFTER = 50_000
_COMPLETE = "_SEALIFT_COMPLETE"  # by which a shell asks
_INTERRUPTED = 130  # as shells report SIGINT
_READER_GONE = 141  # as shells report SIGPIPE
_EPILOG = """\b
Examples:
  sealift trust init REPO --keys KEYS --stream plant
  sealift export oci:./image --name registry.example.org/app:1 -o app.bundle.tar --repository REPO --keys KEYS
  sealift trust pin 1.root.json --sha256 HEX --site plant-7
  sealift verify app.bundle.tar --policy policy.toml

Exit codes: 0 verified, 1 rejected, 2 usage, 3 damaged, 4 trust, 5 unsupported, 6 environment, 70 our bug.
"""


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"sealift {VERSION}\nbundle format {FORMAT_VERSION}")
        ctx.exit()


@click.group(cls=LazyGroup, table=_COMMANDS, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print tool and format versions.",
)
def sealift() -> None:
    """Carry container images across an air gap with everything needed to trust them."""


def run() -> NoReturn:
    """Entry point of the console script."""
    gc.set_threshold(_COLLECT_AFTER)
    _fill_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every terminal and locale has every character
    code = main(sys.argv[1:])
    gc.freeze()  # else the interpreter, when it ends, walks everything in search of cycles: a sixteenth of `inspect`
    sys.exit(code)


def _fill_closed() -> None:
    """What was closed (`>&-`) becomes /dev/null, so that no file of ours gets its number and other people's output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  for as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def main(arguments: list[str]) -> int:
    """Run one command line and return its exit code. Errors of every kind end here."""
    try:
        result = sealift.main(args=arguments, prog_name="sealift", standalone_mode=False)
        sys.stdout.flush()
    except SealiftError as error:
        result = _report(error, arguments)
    except click.exceptions.Exit as stop:
        result = stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        result = UsageError.exit_code
    except click.ClickException as error:
        result = _report(_usage(error), arguments)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("sealift: interrupted", err=True)
        result = _INTERRUPTED
    except (BrokenPipeError, SystemExit) as end:
        result = _reader_gone(end)
    except OSError as error:
        # Standard output on a full or failing disk. Files that commands write have errors of their own.
        result = _output_failed(error)
    except Exception as error:  # noqa: BLE001  the last line of defence: what nobody foresaw must not pass as success
        result = _bug(error)
    return result if isinstance(result, int) else 0


def _reader_gone(end: BaseException) -> int:
    """The reader went away (`sealift … | head`). Nothing more can be said; Python must not try at exit either.

    Click ends the program then, with exit code 1, which here would say that something is rejected. It ends it by itself
    in one other place: when it has told a shell how a line may go on.
    """
    if _COMPLETE in os.environ:
        raise end
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _READER_GONE


def _report(error: SealiftError, arguments: list[str]) -> int:
    if "--json" in arguments:
        _print_json(error)
    print_error(error)
    return error.exit_code


def print_error(error: SealiftError) -> None:
    """The error form of DESIGN section 5, on stderr."""
    click.echo(f"sealift: {escape(str(error))} [{error.code}]", err=True)
    for hint in error.hints:
        click.echo(f"hint: {escape(hint)}", err=True)


def _print_json(error: SealiftError) -> None:
    import json

    document = {
        "error": {
            "reason": error.code, "exit_code": error.exit_code, "message": str(error), "what": error.what,
            "which": error.which, "got": error.got, "expected": error.want, "hints": list(error.hints),
        }
    }  # fmt: skip
    click.echo(json.dumps(document, indent=2))


def _usage(error: click.ClickException) -> UsageError:
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "sealift"
    message = " ".join(line.strip() for line in error.format_message().splitlines())  # choices stand one a line
    return UsageError("usage", "command line", got=message, hints=[f"{command} --help"])


def _output_failed(error: OSError) -> int:
    failure = EnvError(
        "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "disk", "output",
        got=error.strerror or str(error), want="success", hints=["what the command had to do may be done: look"],
    )  # fmt: skip
    print_error(failure)
    return failure.exit_code


def _bug(error: BaseException) -> int:
    if os.environ.get("SEALIFT_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    click.echo(f"sealift: bug: {escape(type(error).__name__)}: {escape(str(error))[:400]}", err=True)
    click.echo("hint: please report it; SEALIFT_TRACEBACK=1 shows where it happened", err=True)
    return EXIT_BUG
