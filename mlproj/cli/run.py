"""``mlproj run``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mlproj.cli.acceptance import (
    accept,
    acceptance_options,
    judge,
    meet_project,
    reports_asked_for,
    take_acceptance,
    tell_failure,
    verdict_as_json,
)
from mlproj.cli.console import coloured, out, out_json
from mlproj.cli.mlflow_options import mlflow_options, take_mlflow_options
from mlproj.cli.options import (
    WORDS,
    as_json,
    assignments,
    complete_entry_point,
    complete_parameter,
    seconds_option,
    size_option,
)
from mlproj.text import one_line, plural

_EXTRA = "mlproj.extra"
# How an option that gives a value is joined with it in one word.
_JOINED = ("--param=", "--param-list=", "-P")


class _RunCommand(click.Command):
    """Splits what stands after ``--`` off for the entry point's command, before click reads the rest."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = list(args)
        if "--" in args:
            end = args.index("--")
            ctx.meta[_EXTRA] = args[end + 1 :]
            args = args[:end]
        return super().parse_args(ctx, args)


@click.command(cls=_RunCommand, add_help_option=False)
@click.argument("project", required=False, metavar="[PROJECT]")
@click.option(
    "-e",
    "--entry-point",
    metavar="NAME",
    help="What to run.  [default: main, or the only one]",
    shell_complete=complete_entry_point,
)
@click.option(
    "-P",
    "--param",
    "--param-list",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    shell_complete=complete_parameter,
    help="A parameter's value; repeat it for the items of a list. @FILE is the same as --params-file.",
)
@click.option(
    "--params-file",
    "params_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Values from a YAML, JSON or TOML file; -P wins, and a later file over an earlier one.",
)
@click.option(
    "--env-manager",
    metavar="KIND",
    help="Run in another kind of environment: `system` (or `local`) is the one you are in.",
)
@click.option(
    "--rev",
    "--version",
    "-v",
    "revision",
    metavar="REV",
    help="The branch, tag or commit of a git project to run, from a tree of its own.",
)
@click.option("--keep-tree", is_flag=True, help="Keep the tree that a fetched project was run in.")
@click.option(
    "--unpack-limit", metavar="SIZE", help="The most that an archive or a repository may unpack to, such as `50GB`."
)
@click.option(
    "--allowed-signers",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="MLPROJ_ALLOWED_SIGNERS",
    show_envvar=True,
    help="Run no archive but a pack signed by one of these ssh keys.",
)
@click.option("--python-strict", is_flag=True, help="Take the very Python version that an MLproject asks for, or none.")
@click.option(
    "--allow-mount",
    "allowed_mounts",
    multiple=True,
    metavar="PATH",
    help="Let a fetched project's container have this folder or volume; also `privileged`, `network=NAME`, `pid=host`.",
)
@click.option(
    "-A",
    "--docker-args",
    "docker_arguments",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="An argument for the container, as `docker run` has it: `gpus=all`, `memory=8g`.",
)
@click.option(
    "--hermetic/--no-hermetic",
    default=None,
    help="Run with no variable, network or place to write but what is declared; or not, whatever the manifest says.",
)
@click.option(
    "--reuse/--no-reuse",
    default=False,
    help="Take a finished run of the same source, environment, values and inputs for this one.",
)
@click.option("--locked", is_flag=True, help="Fail when the lock is missing or stale.")
@click.option("--frozen", is_flag=True, help="Use the lock as it is, stale or not.")
@click.option("--refresh", is_flag=True, help="Resolve the environment again, and fetch URLs again.")
@click.option("--offline", is_flag=True, help="Use no network.")
@acceptance_options
@click.option("--name", "--run-name", default="", metavar="TEXT", help="A name for the run.")
@click.option(
    "--experiment",
    "--experiment-name",
    default=None,
    metavar="TEXT",
    envvar="MLFLOW_EXPERIMENT_NAME",
    show_envvar=True,
    help="The experiment that the run belongs to.",
)
@click.option(
    "--tracking-uri",
    default=None,
    metavar="URI",
    help="An MLflow server, or store, that the run is to be on too; '' for none.  [default: $MLFLOW_TRACKING_URI]",
)
@mlflow_options
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag of the run; repeatable.")
@click.option("--timeout", metavar="TIME", help="How long it may take: `90s`, `2h`. Wins over the manifest's.")
@click.option("--dry-run", is_flag=True, help="Print what would be run, and run nothing.")
@as_json
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what the command prints, and errors.")
@click.option("--verbose", is_flag=True, help="Say more: where the environment is, what is executed.")
@click.option(
    "-h",
    "--help",
    "wants_help",
    is_flag=True,
    help="Show this; with a project or -e, what that entry point takes.",
)
@click.pass_context
def run(ctx: click.Context, /, project: str | None, wants_help: bool, **options: Any) -> int:
    """Run a project's entry point in its environment, and record the run.

    PROJECT is a folder (by default this one), a git URL or an archive, with `#subdirectory` if the project is not at
    its top. It holds an mlproj.yaml or an MLproject. What stands after `--` is appended to the command. The exit
    status is the command's own; 2 when the manifest or the command line is wrong, 125 when it could not be run.

    \b
    Examples:
      mlproj run                                  this folder's main entry point
      mlproj run wine -e train -P alpha=0.1       another one, with a value
      mlproj run wine -e train --help             what it takes
      mlproj run URL.git#folder --rev v1          from git
      mlproj run ./wine.tar.zst                   from an archive
      mlproj run . -P features=a -P features=b    a list
      mlproj run . --locked --json > run.json     in CI
      mlproj run . -- --fast                      more words for the command
    """
    if wants_help:
        if project is None and options["entry_point"] is None:
            out(ctx.get_help())
        else:
            from mlproj.cli.entry_point_help import entry_point_help

            out(entry_point_help(project or ".", options["entry_point"], options["revision"]))
        return 0
    options["written"] = reports_asked_for(options)
    if options["dry_run"]:
        return _dry_run(_request(ctx, project or ".", options), options)
    return _run(ctx, project or ".", options)


def _request(ctx: click.Context, project: str, options: dict[str, Any]) -> Any:
    from mlproj.api.request import RunRequest
    from mlproj.environments.environment import Policy
    from mlproj.errors import UsageError
    from mlproj.parameters.given import gather

    if options["locked"] and options["frozen"]:
        raise UsageError("--locked and --frozen exclude each other: the one checks the lock, the other does not")
    kind_for_mlflow = take_mlflow_options(options)
    policy = Policy(
        locked=options["locked"],
        frozen=options["frozen"],
        refresh=options["refresh"],
        offline=options["offline"],
    )
    return RunRequest(
        project=project,
        entry_point=options["entry_point"],
        given=gather(options["params"], options["params_files"]),
        arguments=tuple(ctx.meta.get(_EXTRA, ())),
        policy=policy,
        environment_kind=options["env_manager"] or kind_for_mlflow,
        revision=options["revision"],
        keep_tree=options["keep_tree"],
        unpack_limit=size_option(options["unpack_limit"], "--unpack-limit"),
        allowed_signers=options["allowed_signers"],
        python_strict=options["python_strict"],
        allowed_mounts=options["allowed_mounts"],
        docker_arguments=options["docker_arguments"],
        name=options["name"],
        experiment=options["experiment"],
        tracking_uri=options["tracking_uri"],
        tags=assignments(options["tags"], "--tag"),
        timeout_s=seconds_option(options["timeout"], "--timeout"),
        command_line=_command_line(),
        hermetic=options["hermetic"],
        reuse=options["reuse"],
        reports=options["written"],
    )


def _command_line() -> str:
    """The command line for the record. Values of -P are left to the parameters, which know what is a secret."""
    import shlex

    words, value_follows = [], False
    for word in sys.argv[1:]:
        joined = (each for each in _JOINED if word.startswith(each) and len(word) > len(each))
        option = next(joined, "")
        if value_follows or option:
            kept = word.removeprefix(option).partition("=")[0]
            words.append(f"{option}{kept}=…")
        else:
            words.append(word)
        value_follows = word in ("-P", "--param", "--param-list")
    return shlex.join(["mlproj", *words])


def _run(ctx: click.Context, project: str, options: dict[str, Any]) -> int:
    from mlproj.execution.supervise import Streams, stand_by, stand_down

    sys.stdout.flush()
    # The guardian comes up while the rest is imported and read: a tenth of what a warm run costs.
    standby = stand_by(Streams(stdout=2) if options["as_json"] else Streams())
    try:
        acceptance = take_acceptance(options)
        request = _request(ctx, project, options)
        from mlproj.api.ahead import start_client_ahead

        start_client_ahead(request, standby)
        from mlproj.api.interruption import Interrupted
        from mlproj.api.run import execute
        from mlproj.cli.progress import RunDisplay
        from mlproj.errors import MlprojError
    except BaseException:
        stand_down(standby)
        raise
    display = RunDisplay(quiet=options["quiet"], verbose=options["verbose"])

    def meet(name: str, entry_point: str, secrets: Sequence[str]) -> None:
        nonlocal acceptance
        acceptance = meet_project(acceptance, name, entry_point, secrets)

    stood_for: list[str] = []
    try:
        record = execute(request, replace(display.listener(), project=meet, reused=stood_for.append), standby)
    except Interrupted as interrupted:
        return 128 + interrupted.number
    except MlprojError as error:
        tell_failure(acceptance, project, error)
        raise
    finally:
        display.close()
    report = judge(record, acceptance) if acceptance is not None else None
    if options["as_json"]:
        from mlproj.runs.record import to_json

        reuse = {"reused": bool(stood_for)} if request.reuse else {}
        out_json({**to_json(record), **reuse, **(verdict_as_json(report) if report is not None else {})})
    if not options["quiet"]:
        display.ended(record)
    not_accepted = accept(report, acceptance) if report is not None else 0
    return record.exit_status or not_accepted


def _dry_run(request: Any, options: dict[str, Any]) -> int:
    from mlproj.api.dry_run import plan_as_json
    from mlproj.api.projects import abandon
    from mlproj.api.resolution import plan_environment, resolve_request
    from mlproj.cli.progress import RunDisplay

    display = RunDisplay(quiet=options["quiet"], verbose=options["verbose"])
    try:
        resolved = resolve_request(request, display.listener())
        try:
            for notice in resolved.notices:
                display.listener().notice(notice)
            plan = plan_as_json(resolved, plan_environment(resolved))
        finally:
            abandon(resolved.snapshot)
    finally:
        display.close()
    if options["as_json"]:
        out_json(plan)
    else:
        _print_plan(plan)
    return 0


def _print_plan(plan: dict[str, Any]) -> None:
    import shlex

    source, environment = plan["source"], plan["environment"]
    state = "built" if environment["built"] else "to be built"
    # What is in an image is not asked.
    packages = "" if environment["kind"] == "docker" else f", {plural(environment['packages'], 'package')}"
    rows = [
        ("project", plan["project"]),
        ("entry point", plan["entry_point"]),
        ("source", f"{source['remote'] or source['path']}  {source['identity']}"),
        (
            "environment",
            f"{environment['kind']} {environment['key'] or ''} ({state}{packages})",
        ),
        *([("python", f"{environment['python']}  {environment['interpreter']}")] if environment["python"] else []),
        ("command", shlex.join(plan["argv"])),
        ("folder", plan["cwd"]),
    ]
    rows += [("parameter", f"{name} = {value!r}") for name, value in plan["parameters"].items()]
    rows += [("variable", f"{name}={value}") for name, value in plan["environment_variables"].items()]
    rows += [("input", path) for path in plan["inputs"]]
    rows += [("output", f"{name}: {path}") for name, path in plan["outputs"].items()]
    if plan["timeout_s"] is not None:
        rows.append(("timeout", f"{plan['timeout_s']:g} s"))
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        out(f"{coloured(label.ljust(width), sys.stdout, dim=True)}  {one_line(text)}")
