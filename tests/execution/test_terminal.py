"""On a terminal: the command has one too, with its size; Ctrl-C, Ctrl-Z and keys go through. A real pty is used."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

MANIFEST = "entry_points: {{main: {{command: [{python}, -u, script.py], grace_period: 2s}}}}\n"


class Terminal:
    """A person at a terminal: types, reads the screen, changes the window's size."""

    def __init__(self, folder: Path) -> None:
        self.pid, self.keyboard = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "mlproj", "run", str(folder)])
        self.screen = b""
        self.exit_status: int | None = None

    def type(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def see(self, text: bytes) -> None:
        """Wait until the text is on the screen."""
        deadline = time.monotonic() + 30
        while text not in self.screen:
            assert time.monotonic() < deadline, (text, self.screen)
            if select.select([self.keyboard], [], [], 0.1)[0]:
                try:
                    self.screen += os.read(self.keyboard, 4096)
                except OSError:
                    assert text in self.screen, self.screen
                    return

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self) -> int:
        """The exit status, 128 + n for signal n."""
        while True:
            try:
                self.screen += os.read(self.keyboard, 4096)
            except OSError:
                break
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.exit_status = code if code >= 0 else 128 - code
        return self.exit_status


@pytest.fixture
def terminal(project) -> Iterator:
    opened: list[Terminal] = []

    def begin(script: str) -> Terminal:
        opened.append(Terminal(project(MANIFEST.format(python=sys.executable), {"script.py": script})))
        return opened[-1]

    yield begin
    for each in opened:
        if each.exit_status is None:
            os.kill(each.pid, signal.SIGKILL)
            os.waitpid(each.pid, 0)
        os.close(each.keyboard)


def test_the_command_is_on_a_terminal_of_the_same_size(terminal) -> None:
    person = terminal(
        "import os, signal\n"
        "print([os.isatty(each) for each in range(3)])\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])\n"
        "print('go')\n"
        "signal.sigwait([signal.SIGWINCH])\n"
        "print('size', *os.get_terminal_size())\n"
        "print('now', input('name? '))\n"
    )
    person.see(b"go")
    person.resize(33, 77)
    person.see(b"size 77 33")
    person.see(b"name? ")
    person.type(b"ada\r")
    person.see(b"now ada")
    assert person.wait() == 0
    assert b"[True, True, True]" in person.screen
    assert "✓ finished".encode() in person.screen


def test_keys_are_echoed_once_and_passwords_not_at_all(terminal) -> None:
    person = terminal("import getpass\nprint('got', input('name? '), getpass.getpass('password? '))\n")
    person.see(b"name? ")
    person.type(b"ada\r")
    person.see(b"password? ")
    assert person.screen.count(b"ada") == 1
    person.type(b"secret1\r")
    person.see(b"got ada secret1")
    assert person.screen.count(b"secret1") == 1
    assert person.wait() == 0


def test_control_c_interrupts_the_command_once(terminal) -> None:
    person = terminal(
        "import signal, sys, time\n"
        "count = []\n"
        "def stop(*_):\n    count.append(1); print('interrupted', len(count)); time.sleep(0.3); sys.exit(5)\n"
        "signal.signal(signal.SIGINT, stop)\nprint('go')\nwhile True: signal.pause()\n"
    )
    person.see(b"go")
    person.type(b"\x03")
    assert person.wait() == 5
    assert b"interrupted 1" in person.screen
    assert b"interrupted 2" not in person.screen


def test_control_c_twice_kills(terminal) -> None:
    person = terminal(
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('go')\nwhile True: signal.pause()\n"
    )
    person.see(b"go")
    person.type(b"\x03")
    person.type(b"\x03")
    assert person.wait() == 137


def test_a_terminal_that_goes_away_ends_the_run(terminal, own_home: Path) -> None:
    person = terminal("import signal\nprint('go')\nwhile True: signal.pause()\n")
    person.see(b"go")
    os.close(person.keyboard)
    person.keyboard = os.open(os.devnull, os.O_RDWR)
    code = os.waitstatus_to_exitcode(os.waitpid(person.pid, 0)[1])
    person.exit_status = code
    record = json.loads(next((own_home / "runs").iterdir()).joinpath("run.json").read_text())
    assert (code, record["status"], record["error"]) == (128 + signal.SIGHUP, "killed", "by SIGHUP")


def test_a_command_that_does_not_end_is_told_of(terminal) -> None:
    person = terminal(
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('go')\nwhile True: signal.pause()\n"
    )
    person.see(b"go")
    person.type(b"\x03")
    person.see(b"waiting for the command to end; it is killed in")
    assert person.wait() == 137


def test_control_d_is_the_end_of_input(terminal) -> None:
    person = terminal("import sys\nprint('go')\nprint('read', repr(sys.stdin.read()))\n")
    person.see(b"go")
    person.type(b"abc\r\x04")
    person.see(b"read 'abc\\n'")
    assert person.wait() == 0


def test_a_command_that_takes_control_c_as_a_key_gets_it_as_one(terminal) -> None:
    person = terminal(
        "import sys, tty, os\nprint('go')\ntty.setraw(0)\nprint('raw', flush=True)\nkey = os.read(0, 1)\nprint('key', key)\n"
    )
    person.see(b"raw")
    person.type(b"\x03")
    person.see(b"key b'\\x03'")
    assert person.wait() == 0


def test_a_suspended_run_goes_on(project, tmp_path: Path) -> None:
    """A real shell with job control: Ctrl-Z, then fg."""
    folder = project(
        MANIFEST.format(python=sys.executable),
        {"script.py": "import time\nprint('go')\nfor _ in range(20): time.sleep(0.05)\nprint('done')\n"},
    )
    pid, keyboard = pty.fork()
    if pid == 0:
        os.environ["PS1"] = "PROMPT> "
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    shell = Terminal.__new__(Terminal)
    shell.pid, shell.keyboard, shell.screen, shell.exit_status = pid, keyboard, b"", None
    try:
        shell.see(b"PROMPT> ")
        shell.type(f"{sys.executable} -m mlproj run {folder}\r".encode())
        shell.see(b"\r\ngo")
        shell.type(b"\x1a")
        shell.see(b"Stopped")
        assert b"done" not in shell.screen
        shell.type(b"fg\r")
        shell.see("✓ finished".encode())
        assert b"\r\ndone" in shell.screen
        shell.screen = b""
        shell.type(b"echo ex''it $?\r")
        shell.see(b"exit 0")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(keyboard)
