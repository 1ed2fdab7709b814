"""A real sshd on loopback that serves files, for a user who has a key and knows the server's."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def sftp_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its address, ``sftp://user@127.0.0.1:port``. ``$HOME/.ssh`` has what the user needs."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if sshd is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has to have sshd (Debian's openssh-server)")
        pytest.skip("sshd is not installed")
    own = tmp_path / "user" / ".ssh"
    own.mkdir(mode=0o700, parents=True)
    monkeypatch.setenv("HOME", str(own.parent))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    for path in (own / "id_ed25519", own / "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": own / "host",
        "AuthorizedKeysFile": own / "id_ed25519.pub",
        "PidFile": own / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "Subsystem": "sftp internal-sftp",
    }
    (own / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    running = subprocess.Popen([sshd, "-D", "-e", "-f", str(own / "sshd_config")], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            scan = subprocess.run(["ssh-keyscan", "-p", str(port), "127.0.0.1"], capture_output=True, text=True)
            if scan.stdout:
                break
            assert time.monotonic() < deadline, "sshd did not come up"
        (own / "known_hosts").write_text(scan.stdout)
        yield f"sftp://{getpass.getuser()}@127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()
