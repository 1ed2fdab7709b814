"""The ``mlproj`` command: its table of commands, each imported when it is asked for, and how it ends."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from mlproj.cli.console import complain, flush, say
from mlproj.errors import MlprojError
from mlproj.signals import raising
from mlproj.text import did_you_mean, one_line, printable
from mlproj.version import __version__

# Name → module, and its section in the help. A command lives in the module's attribute of its
# name, with `_` for `-`; one that Python reserves has a `_` behind it.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("mlproj.cli.run", "Projects"),
    "check": ("mlproj.cli.check", "Projects"),
    "init": ("mlproj.cli.init", "Projects"),
    "migrate": ("mlproj.cli.migrate", "Projects"),
    "lock": ("mlproj.cli.lock", "Projects"),
    "pack": ("mlproj.cli.pack", "Sharing"),
    "build": ("mlproj.cli.build", "Sharing"),
    "runs": ("mlproj.cli.runs", "Runs"),
    "show": ("mlproj.cli.show", "Runs"),
    "logs": ("mlproj.cli.logs", "Runs"),
    "artifacts": ("mlproj.cli.artifacts", "Runs"),
    "diff": ("mlproj.cli.diff", "Runs"),
    "compare": ("mlproj.cli.compare", "Runs"),
    "plot": ("mlproj.cli.plot", "Runs"),
    "top": ("mlproj.cli.top", "Runs"),
    "reproduce": ("mlproj.cli.reproduce", "Reproducing"),
    "verify": ("mlproj.cli.verify", "Reproducing"),
    "why": ("mlproj.cli.why", "Reproducing"),
    "report": ("mlproj.cli.report", "Runs"),
    "sync": ("mlproj.cli.servers", "Tracking servers"),
    "import-mlflow": ("mlproj.cli.servers", "Tracking servers"),
    "export-mlflow": ("mlproj.cli.servers", "Tracking servers"),
    "export": ("mlproj.cli.crates", "Sharing"),
    "import": ("mlproj.cli.crates", "Sharing"),
    "remote": ("mlproj.cli.remotes", "Sharing"),
    "push": ("mlproj.cli.remotes", "Sharing"),
    "pull": ("mlproj.cli.remotes", "Sharing"),
    "ui": ("mlproj.cli.ui", "Runs"),
    "tag": ("mlproj.cli.change", "Runs"),
    "stop": ("mlproj.cli.change", "Runs"),
    "delete": ("mlproj.cli.change", "Runs"),
    "restore": ("mlproj.cli.change", "Runs"),
    "gc": ("mlproj.cli.change", "Runs"),
    "envs": ("mlproj.cli.envs", "Housekeeping"),
    "cache": ("mlproj.cli.cache", "Housekeeping"),
    "ci-cache-key": ("mlproj.cli.cache", "Housekeeping"),
    "store": ("mlproj.cli.store", "Housekeeping"),
    "schema": ("mlproj.cli.schema", "Housekeeping"),
    "completion": ("mlproj.cli.completion", "Housekeeping"),
}
SUMMARIES: dict[str, str] = {
    "run": "Run a project's entry point and record it.",
    "check": "Find what is wrong with a manifest.",
    "init": "Write a first manifest from what a folder holds.",
    "migrate": "Write the mlproj.yaml of an MLproject.",
    "lock": "Write the lock of a project's environment.",
    "pack": "Write a project into one file that runs elsewhere.",
    "build": "Make an image of a project.",
    "runs": "List the runs.",
    "show": "Show one run, whole.",
    "logs": "Print what a run wrote.",
    "artifacts": "List and fetch what a run left behind.",
    "diff": "Show what differs between runs.",
    "compare": "Put runs side by side, with curves.",
    "plot": "Draw a run's metrics as curves.",
    "top": "Show the runs that are going on.",
    "reproduce": "Run a recorded run again, and say whether it was the same.",
    "verify": "Check that a run's files are what was recorded.",
    "why": "Say why two runs differ.",
    "report": "Write a report on a run.",
    "sync": "Send what a tracking server has not got yet.",
    "import-mlflow": "Bring an MLflow store's runs in.",
    "export-mlflow": "Send runs to an MLflow store.",
    "export": "Write a run as an RO-Crate.",
    "import": "Bring runs in from RO-Crates.",
    "remote": "Name the places that runs are shared by.",
    "push": "Send runs to a remote.",
    "pull": "Bring runs of a remote in.",
    "ui": "Look at the runs in a browser.",
    "tag": "Set and remove a run's tags.",
    "stop": "Stop a running run.",
    "delete": "Move runs to the trash.",
    "restore": "Take runs out of the trash.",
    "gc": "Empty the trash.",
    "envs": "List and remove built environments.",
    "cache": "Say where what can be made again is kept.",
    "ci-cache-key": "Print the key of a project's environments for a CI cache.",
    "store": "Check, rebuild and locate the store of runs.",
    "schema": "Print a JSON Schema.",
    "completion": "Print a shell's completion script.",
}


class _Commands(click.Group):
    """A group whose commands are imported one by one, so that none pays for another."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_") + "_" * iskeyword(cmd_name)
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f"No such command `{one_line(args[0])}`.{near}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's signature
        for section in dict.fromkeys(section for _, section in COMMANDS.values()):
            rows = [(name, SUMMARIES[name]) for name, (_, own) in COMMANDS.items() if own == section]
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="mlproj", message="%(prog)s %(version)s")
def app() -> None:
    """Run machine-learning projects from a declaration, and keep a record of every run.

    \b
    Examples:
      mlproj run . -P alpha=0.1           run the project in this folder
      mlproj run . --help                 what its entry point takes
      mlproj runs --filter 'metrics.rmse < 60'
      mlproj show @last
    """


def run_to_the_end() -> None:
    """Run the command line and end the process with its exit status.

    It ends without taking Python's world down piece by piece: that costs a tenth of a short run, and closing the
    store's connection would wait for the disk to hold all that the command has printed (SQLite syncs as it closes).
    Nothing is lost: every file is closed where it is written, and the store is safe at any moment.
    """
    _open_standard_streams()
    status = main()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)


def _annotate(error: MlprojError) -> None:
    """Have GitHub Actions show the findings about a manifest beside its lines, and any other error with the job."""
    from mlproj.reporting.github import beside_lines, of_the_job

    findings = getattr(error, "diagnostics", ())
    for line in [*beside_lines(findings, os.environ.get("GITHUB_WORKSPACE"))] or [of_the_job("mlproj", error.message)]:
        say(line)


def _have_interrupts_raised() -> None:
    """Have Ctrl-C be told of as an exception, unless whoever started this process had it ignored."""
    is_ours = signal.getsignal(signal.SIGINT) in (signal.SIG_DFL, signal.default_int_handler)
    if is_ours and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, raising(lambda _: KeyboardInterrupt()))


def _open_standard_streams() -> None:
    """Open what a caller has closed (cron, a daemon): else the next file opened would become stdout."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  it stays open for as long as the process lives
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115  it stays open for as long as the process lives


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit status.

    2 for what cannot be as asked, 125 when mlproj could not do it, 128 + n for signal n, else the command's own.
    """
    # Nothing that mlproj makes on its way is garbage before it ends; looking for it costs a twentieth of a warm run.
    gc.disable()
    _have_interrupts_raised()
    try:
        status = app.main(args=None if arguments is None else list(arguments), standalone_mode=False)
        flush()
        return status if isinstance(status, int) else 0
    except MlprojError as error:
        complain(error.message, error.hint)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            _annotate(error)
        return error.exit_status
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return 2
    except click.UsageError as error:
        context = error.ctx
        path = context.command_path if context is not None else "mlproj"
        complain(printable(error.format_message()), f"Try `{path} --help`.")
        return 2
    except click.ClickException as error:
        complain(printable(error.format_message()))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        return 128 + signal.SIGINT
    except SystemExit as ended:
        # Click ends so when stdout's reader is gone; nothing of ours does.
        return 128 + signal.SIGPIPE if ended.code == 1 else int(ended.code or 0)
    except BrokenPipeError:
        # Python would complain once more when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:  # a bug: its traceback goes into a file that the message names
        from mlproj.cli.crash import write_crash_report

        complain(*write_crash_report(error))
        return 125
