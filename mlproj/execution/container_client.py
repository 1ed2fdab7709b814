"""The process that stands for a command in a container: creates it, passes its streams and signals on, removes it.

``python -m mlproj.execution.container_client CHANNEL``, by the plan of ``container.waiting_client`` and never by hand.
What to do comes through a pipe, the descriptor CHANNEL. The exit status is the command's; what else there is to know
goes into the file that the order calls ``findings``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import docker.errors
from docker.types import LogConfig, Mount
from docker.utils.socket import frames_iter

from mlproj.environments.images.engine import connect_to, explanation
from mlproj.errors import MlprojError
from mlproj.execution.container import RUN_LABEL, STORE_LABEL, Findings, write_findings
from mlproj.execution.container_files import (
    ENGINE_TROUBLE,
    Copies,
    foreign_files,
    give_back,
    volume_name,
    writable_folders,
)
from mlproj.locks import try_shared
from mlproj.runs.layout import live_files
from mlproj.text import one_line

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
_GRACE_ALONE_S = 3.0
_WATCHED = {*_PASSED_ON, signal.SIGPIPE, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH}
_COULD_NOT_RUN = 125
_REMOVAL_S = 0.3
_CALM_S = 0.5
# All that there is to read when tini, the init that engines put before a command, cannot start it.
_INITS_REFUSAL = re.compile(rb"\[FATAL tini \(\d+\)\] exec (.*) failed: ([^\n]*?)\r?\n", re.DOTALL)
_LONGEST_REFUSAL = 4000
# What the engine says of a program that is not there.
_ENGINES_REFUSAL = re.compile(r'exec: \\?"(.+?)\\?": (?:stat .*?: )?(.*?)(?:: unknown)?$')


class _NotRunError(Exception):
    """The container could not be made or started: what to tell, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class _NoInitError(Exception):
    """The engine has no init to put before a command."""


def main() -> int:
    """Run the command in its container to the end; gives its exit status."""
    order = _order(int(sys.argv[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    findings, status = Findings(), _COULD_NOT_RUN
    try:
        engine = connect_to(order["engine"])
        with contextlib.closing(engine.client):
            # An init passes signals on: as process 1 a command would not hear of them.
            try:
                status, findings = _run(engine.client, {**order, "init": True})
            except _NoInitError:
                status, findings = _run(engine.client, {**order, "init": False})
    except _NotRunError as error:
        findings = Findings(failed=[str(error), error.hint])
    except MlprojError as error:
        findings = Findings(failed=[error.message, error.hint])
    except ENGINE_TROUBLE as error:
        findings = Findings(failed=[f"the Docker engine could not be asked to run it: {one_line(error)}", None])
    except Exception:
        import traceback

        findings = Findings(crash=traceback.format_exc())
    write_findings(Path(order["findings"]), findings)
    return status


def _order(channel: int) -> dict[str, Any]:
    with os.fdopen(channel, "rb") as stream:
        length = int.from_bytes(stream.read(4), "big")
        data = stream.read(length)
    if not data:  # the run has come to nothing
        sys.exit(_COULD_NOT_RUN)
    order: dict[str, Any] = json.loads(data)
    return order


def _run(client: Any, order: dict[str, Any]) -> tuple[int, Findings]:
    tty = os.isatty(1) and os.isatty(2)
    caller = f"{os.getuid()}:{os.getgid()}"
    # Before it runs, what is there of others is none of its doing.
    foreign = foreign_files(writable_folders(order).values()) if order["user"] != caller else None
    identifier = _create(client, order, tty)
    try:
        copies = None if order["shares_folders"] else Copies(client, identifier, order)
        if copies is not None:
            copies.send()
        stream = client.attach_socket(identifier, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1, "logs": 0})
        _start(client, identifier)
        usage = _Usage()
        _in_background(_pass_signals, order, identifier, tty)
        # What can wait does: most of what a short command costs is the engine's.
        _in_background(usage.watch, order["engine"], identifier, after_s=_CALM_S)
        _in_background(_end_orphans, order["engine"], Path(order["store"]), order["labels"], after_s=_CALM_S)
        if copies is not None:
            _in_background(copies.follow_metrics)
        with _raw_terminal(tty):
            if tty:
                _resize(client, identifier)
            _in_background(_feed, stream)
            said = _pass_output(client, identifier, stream, tty)
            status, findings = _ended(client, identifier, usage)
        if status in (126, 127) and (refusal := _INITS_REFUSAL.fullmatch(said)):
            raise _not_there(*(part.decode(errors="replace") for part in refusal.groups()))
        if copies is not None:
            return status, replace(findings, not_brought_back=copies.fetch())
        return status, replace(findings, notices=give_back(client, order, foreign) if foreign is not None else [])
    finally:
        with contextlib.suppress(*ENGINE_TROUBLE):
            client.remove_container(identifier, force=True, v=True)
        if not order["shares_folders"]:
            with contextlib.suppress(*ENGINE_TROUBLE):
                client.remove_volume(volume_name(order), force=True)


def _in_background(target: Callable[..., None], *arguments: Any, after_s: float = 0.0) -> None:
    thread = threading.Timer(after_s, target, arguments) if after_s else threading.Thread(target=target, args=arguments)
    thread.daemon = True
    thread.start()


def _create(client: Any, order: dict[str, Any], tty: bool) -> str:
    more: dict[str, Any] = {}
    host = dict(order["host"])
    if order["platform"] is not None:
        more["platform"] = order["platform"]
    if order["shares_folders"]:
        shared = [*order["own_volumes"], *order["volumes"]]
    else:
        client.create_volume(volume_name(order), labels=order["labels"])
        shared = [*order["volumes"], {"source": volume_name(order), "target": order["project_at"], "read_only": False}]
    mounts = [
        Mount(each["target"], each["source"], type="bind" if each["source"].startswith("/") else "volume",
              read_only=each["read_only"])
        for each in shared
    ]  # fmt: skip
    variables = {"TINI_KILL_PROCESS_GROUP": "1", **order["variables"]}
    if order["home"] is not None:
        host["tmpfs"] = {order["home"]: "mode=1777,exec"}
        variables.setdefault("HOME", order["home"])
    try:
        created = client.create_container(
            order["image"],
            command=order["argv"],
            name=order["name"],
            labels=order["labels"],
            user=order["user"],
            environment=variables,
            tty=tty,
            stdin_open=True,
            working_dir=order["workdir"],
            entrypoint=order["entrypoint"],
            ports=[(int(port), protocol) for port, _, protocol in (each.partition("/") for each in order["ports"])],
            # The log is mlproj's: the engine's own would cost the time and the disk once more.
            host_config=client.create_host_config(
                init=order["init"], mounts=mounts, log_config=LogConfig(type="none"), **host
            ),
            **more,
        )
    except docker.errors.APIError as error:
        raise _refused(error, "the container could not be created") from None
    return str(created["Id"])


def _start(client: Any, identifier: str) -> None:
    try:
        client.start(identifier)
    except docker.errors.APIError as error:
        text = one_line(explanation(error))
        if "docker-init" in text:
            raise _NoInitError from None
        if refusal := _ENGINES_REFUSAL.search(text):
            raise _not_there(refusal[1], refusal[2]) from None
        raise _refused(error, "the container could not be started") from None


def _not_there(program: str, why: str) -> _NotRunError:
    return _NotRunError(
        f"the command `{one_line(program)}` cannot be run in the image: {one_line(why)}",
        "It has to be a program of the image, or a file of the project that may be executed.",
    )


def _refused(error: docker.errors.APIError, what: str) -> _NotRunError:
    return _NotRunError(f"{what}: {one_line(explanation(error))}")


def _pass_output(client: Any, identifier: str, stream: Any, tty: bool) -> bytes:
    """Write on what the container writes, and give the beginning of it: of stdout, and after it of stderr.

    The engine passes the two on as they come, in no certain order. When nobody reads any more the command is told to
    end, as SIGPIPE would have it.
    """
    gone: set[int] = set()
    said = {1: b"", 2: b""}
    try:
        for number, chunk in frames_iter(stream, tty):
            descriptor = 2 if number == 2 and not tty else 1
            if len(said[descriptor]) < _LONGEST_REFUSAL:
                said[descriptor] += chunk[:_LONGEST_REFUSAL]
            if descriptor in gone:
                continue
            rest = memoryview(chunk)
            try:
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            except OSError:
                gone.add(descriptor)
                with contextlib.suppress(*ENGINE_TROUBLE):
                    client.kill(identifier, signal="SIGTERM")
    except OSError:  # the engine has gone: what became of the container is asked next
        pass
    return said[1] + said[2]


def _feed(stream: Any) -> None:
    """Pass stdin on, and its end."""
    connection = getattr(stream, "_sock", stream)
    connection.settimeout(None)
    try:
        while chunk := os.read(0, 1 << 16):
            connection.sendall(chunk)
        import socket

        connection.shutdown(socket.SHUT_WR)
    except OSError:  # no stdin, or the container has ended
        return


def _pass_signals(order: dict[str, Any], identifier: str, tty: bool) -> None:
    """Hand signals to the container, and have it killed when it has not ended by one; a suspended client pauses it."""
    while True:
        number = signal.sigwait(_WATCHED)
        if number in _ENDING:
            # Without its mlproj there is no reason to wait long.
            grace_s = order["grace_s"] if _is_there(order["runner"]) else min(order["grace_s"], _GRACE_ALONE_S)
            _in_background(_tell, order, partial(_kill, identifier, int(signal.SIGKILL)), after_s=grace_s)
        if number == signal.SIGTSTP:
            _tell(order, lambda client: client.pause(identifier))
            os.kill(os.getpid(), signal.SIGSTOP)
        elif number == signal.SIGCONT:
            _tell(order, lambda client: client.unpause(identifier))
        elif number != signal.SIGWINCH:
            # Most programs ignore SIGPIPE, since a write that fails tells them; here none does.
            passed = int(signal.SIGTERM if number == signal.SIGPIPE else number)
            _tell(order, partial(_kill, identifier, passed))
        elif tty:
            _tell(order, lambda client: _resize(client, identifier))


def _kill(identifier: str, number: int, client: Any) -> None:
    client.kill(identifier, signal=number)


def _tell(order: dict[str, Any], action: Callable[[Any], object]) -> None:
    # An engine that cannot be told: after the grace period this process is killed.
    with contextlib.suppress(*ENGINE_TROUBLE), contextlib.closing(connect_to(order["engine"]).client) as client:
        action(client)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is somebody else's, and there
    return True


def _end_orphans(engine: str, store: Path, labels: dict[str, str]) -> None:
    """Remove containers of the store's other runs whose mlproj is gone: their engine could not be reached then."""
    with contextlib.suppress(*ENGINE_TROUBLE), contextlib.closing(connect_to(engine).client) as client:
        for each in client.containers(all=True, filters={"label": f"{STORE_LABEL}={labels[STORE_LABEL]}"}):
            files = live_files(store, each["Labels"].get(RUN_LABEL, ""))
            held = try_shared(files.alive_lock) if files.folder.is_dir() else None
            if held is not None or not files.folder.is_dir():
                client.remove_container(each["Id"], force=True, v=True)
            if held is not None:
                held.release()


def _resize(client: Any, identifier: str) -> None:
    with contextlib.suppress(*ENGINE_TROUBLE):
        size = os.get_terminal_size(1)
        client.resize(identifier, height=size.lines, width=size.columns)


@contextlib.contextmanager
def _raw_terminal(tty: bool) -> Iterator[None]:
    """Have keys reach the container as they are; the keys that make signals still do, to mlproj."""
    if not tty or not os.isatty(0):
        yield
        return
    import termios
    import tty as modes

    before = termios.tcgetattr(0)
    modes.setraw(0, termios.TCSANOW)
    raw = termios.tcgetattr(0)
    raw[3] |= termios.ISIG
    termios.tcsetattr(0, termios.TCSANOW, raw)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)


class _Usage:
    """The container's time and memory, as the engine samples them about once a second."""

    def __init__(self) -> None:
        self.cpu_s: float | None = None
        self.max_memory_bytes: int | None = None

    def watch(self, engine: str, identifier: str) -> None:
        """Take note of every sample, until there are no more."""
        with (
            contextlib.suppress(*ENGINE_TROUBLE, KeyError),
            contextlib.closing(connect_to(engine).client) as client,
        ):
            for sample in client.stats(identifier, decode=True, stream=True):
                memory = sample.get("memory_stats", {})
                used = memory.get("max_usage") or memory.get("usage")
                if used:
                    self.max_memory_bytes = max(used, self.max_memory_bytes or 0)
                if total := sample["cpu_stats"]["cpu_usage"]["total_usage"]:
                    self.cpu_s = round(total / 1e9, 3)


def _ended(client: Any, identifier: str, usage: _Usage) -> tuple[int, Findings]:
    used: dict[str, Any] = {"cpu_s": usage.cpu_s, "max_memory_bytes": usage.max_memory_bytes}
    try:
        status = int(client.wait(identifier, timeout=None)["StatusCode"])
        state = client.inspect_container(identifier)["State"]
        if status == 128 + signal.SIGKILL and not state.get("OOMKilled"):
            # One that is removed is killed first, and is gone a moment later.
            time.sleep(_REMOVAL_S)
            client.inspect_container(identifier)
    except docker.errors.NotFound:
        return 137, Findings(lost="its container was removed while it ran", **used)
    except ENGINE_TROUBLE:
        lost = "the Docker engine went away while it ran; `docker info` tells whether it is back"
        return _COULD_NOT_RUN, Findings(lost=lost, **used)
    if state.get("Error") and status in (126, 127, 128):
        raise _NotRunError(f"the container could not be started: {one_line(state['Error'])}")
    return status, Findings(out_of_memory=bool(state.get("OOMKilled")), **used)


if __name__ == "__main__":
    status = main()
    # Threads that wait for the engine need not be waited for.
    os._exit(status)
