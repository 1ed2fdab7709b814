"""An engine on another machine, over ssh: as the docker command does it, by the ssh command and nothing else."""

from __future__ import annotations

import socket
import subprocess
from typing import Any
from urllib.parse import urlsplit

from mlproj.errors import EnvironmentBuildError
from mlproj.text import one_line

_CONNECT_SECONDS = 20


def ssh_client(url: str) -> Any:
    """A ``docker.APIClient`` whose every connection is a ``docker system dial-stdio`` on the machine of ``url``.

    Raises ``EnvironmentBuildError`` for a URL that names none.
    """
    import docker
    from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

    words = ssh_words(url)

    class Connection(UnixHTTPConnection):  # type: ignore[misc]
        def connect(self) -> None:
            ours, theirs = socket.socketpair()
            # Of its own process group: Ctrl-C is for mlproj, which has to tell the engine something then.
            with theirs:
                subprocess.Popen(words, stdin=theirs.fileno(), stdout=theirs.fileno(), start_new_session=True)
            ours.settimeout(self.timeout)
            self.sock = ours

    class Pool(UnixHTTPConnectionPool):  # type: ignore[misc]
        def _new_conn(self) -> Any:
            return Connection(self.base_url, self.socket_path, self.timeout)

    class Adapter(UnixHTTPAdapter):  # type: ignore[misc]
        def get_connection(self, url: str, _proxies: Any = None) -> Any:
            with self.pools.lock:
                pool = self.pools.get(url)
                if pool is None:
                    pool = self.pools[url] = Pool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
                return pool

    # paramiko, which the library wants for ssh, knows nothing of the caller's ssh configuration and agents.
    client = docker.APIClient(base_url="unix:///ssh", version="1.30", timeout=_CONNECT_SECONDS)
    client.mount("http+docker://", Adapter("http+unix:///ssh", _CONNECT_SECONDS))
    return client


def ssh_words(url: str) -> list[str]:
    """The command that speaks with the engine of ``ssh://[user@]host[:port]``. Raises ``EnvironmentBuildError``."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or host.startswith("-") or (parts.username or "").startswith("-") or parts.path not in ("", "/"):
        raise EnvironmentBuildError(
            f"no Docker engine can be at `{one_line(url)}`", hint="it is written ssh://user@host or ssh://host:port"
        )
    words = ["ssh", "-o", "ConnectTimeout=10", "-T"]
    words += ["-l", parts.username] if parts.username else []
    words += ["-p", str(port)] if port else []
    return [*words, "--", host, "docker system dial-stdio"]
