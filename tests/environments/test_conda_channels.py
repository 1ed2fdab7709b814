"""Where conda's packages come from: names, URLs, folders, the user's condarc, and credentials that nobody gets to see."""

from __future__ import annotations

import base64
import functools
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlproj.environments import Policy
from mlproj.errors import EnvironmentBuildError, UsageError

pytestmark = pytest.mark.usefixtures("own_conda")
TOKEN, USER, PASSWORD = "tk-0123-secret", "me@work", "p@ss:word"


@dataclass
class Server:
    """Serves a folder of channels to those with a token in the path, or a login."""

    port: int
    asked: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    asked: list[str] = []
    login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path.startswith(f"/t/{TOKEN}/"):
                self.path = self.path.removeprefix(f"/t/{TOKEN}")
            elif not self.path.startswith("/open/") and self.headers.get("Authorization") != login:
                self.send_error(401)
                return
            super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path / "channels"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield Server(listening.server_port, asked)
        listening.shutdown()
        thread.join()


def condarc(path: Path, text: str) -> None:
    path.write_text(text)


class TestNames:
    def test_a_folder_of_the_project_and_a_url(
        self, conda: Any, own_channel: Callable[..., str], tmp_path: Path
    ) -> None:
        url = own_channel("mine", "apple 1.5")
        assert conda.prepare("apple", channels=[url]).packages == {"apple": "1.5"}
        (conda.folder / "channel").symlink_to(tmp_path / "channels" / "mine")
        assert conda.prepare("apple", channels=["./channel"]).packages == {"apple": "1.5"}

    def test_the_first_channel_has_the_priority(self, conda: Any, own_channel: Callable[..., str]) -> None:
        old, new = own_channel("old", "apple 1.0"), own_channel("new", "apple 2.0")
        assert conda.prepare("apple", channels=[old, new]).packages == {"apple": "1.0"}
        with pytest.raises(EnvironmentBuildError, match="due to strict channel priority"):
            conda.prepare("apple >=2", channels=[old, new])

    def test_a_specification_may_name_its_channel(
        self, conda: Any, own_channel: Callable[..., str], own_conda: Path
    ) -> None:
        old, new = own_channel("old", "apple 1.0"), own_channel("new", "apple 2.0", "tart 1.0 apple")
        condarc(own_conda, f"custom_channels: {{old: {old[:-4]}, new: {new[:-4]}}}\n")
        assert conda.prepare("new::apple", "tart", channels=["old", "new"]).packages["apple"] == "2.0"
        # Also one that is none of the declared ones.
        assert conda.prepare("new::tart", channels=["old"]).packages == {"apple": "1.0", "tart": "1.0"}

    def test_several_may_count_as_one(self, conda: Any, own_channel: Callable[..., str], own_conda: Path) -> None:
        old, new = own_channel("old", "apple 1.0"), own_channel("new", "apple 2.0")
        condarc(own_conda, f"default_channels: [{old}, {new}]\n")
        assert conda.prepare("apple", channels=["defaults"]).packages == {"apple": "2.0"}
        condarc(own_conda, f"custom_multichannels: {{both: [{old}, {new}]}}\n")
        assert conda.prepare("both::apple", channels=["both"]).packages == {"apple": "2.0"}

    def test_without_channels_they_are_the_users(
        self, conda: Any, own_channel: Callable[..., str], own_conda: Path
    ) -> None:
        condarc(own_conda, f"channels: [{own_channel('mine', 'apple 1.5')}]\n")
        assert conda.prepare("apple").packages == {"apple": "1.5"}

    def test_a_changed_condarc_is_noticed(self, conda: Any, own_channel: Callable[..., str], own_conda: Path) -> None:
        one, other = own_channel("one", "apple 1.0"), own_channel("other", "apple 2.0")
        condarc(own_conda, f"channels: [{one}]\n")
        assert conda.prepare("apple").packages == {"apple": "1.0"}
        condarc(own_conda, f"channels: [{other}]\n")
        assert conda.prepare("apple").packages == {"apple": "2.0"}

    def test_files_of_several_places_are_merged(
        self, conda: Any, own_channel: Callable[..., str], own_conda: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = Path(os.environ["HOME"])
        (home / ".conda" / "condarc.d").mkdir(parents=True)
        (home / ".conda" / "condarc.d" / "team.yml").write_text(f"channels: [{own_channel('team', 'apple 1.0')}]\n")
        monkeypatch.setenv("TEAM_ALIAS", own_channel("more/than", "apple 2.0")[: -len("/than")])
        condarc(own_conda, "channel_alias: ${TEAM_ALIAS}\nchannels: [than]\n")
        assert conda.prepare("apple").packages == {"apple": "2.0"}

    @pytest.mark.parametrize(
        "text",
        [
            "- list",
            "channels: conda-forge",
            "custom_channels: [a]",
            "channels: [\n",
            "channel_alias: [a]",
            "channels: [[a]]",
            "custom_channels: {a: [b]}",
            f"channels: {'[' * 100_000}",
        ],
    )
    def test_a_broken_condarc_is_named(self, conda: Any, own_conda: Path, text: str) -> None:
        condarc(own_conda, text)
        with pytest.raises(UsageError, match=r"conda's settings `.*condarc`"):
            conda.prepare("apple")

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("custom_channels: {mine: mine}", "lead to itself"),
            ("custom_channels: {mine: other, other: mine}", "lead to itself"),
            ("custom_multichannels: {mine: []}", "have no channel in `custom_multichannels: mine`"),
        ],
    )
    def test_settings_that_lead_nowhere(self, conda: Any, own_conda: Path, text: str, complaint: str) -> None:
        condarc(own_conda, text)
        with pytest.raises(UsageError, match=complaint):
            conda.prepare("apple", channels=["mine"])

    @pytest.mark.parametrize(
        ("channel", "complaint"),
        [
            ("http://", "names no host"),
            ("http://[::1/x", "is none"),
            ("http://host:port/x", "is none"),
            ("~nosuchuser/x", "in the home of somebody who has none"),
            ("http://host/x?token=tk-secret", "not used"),
            ("nodefaults", "is the only channel"),
        ],
    )
    def test_what_is_no_channel_is_refused(self, conda: Any, channel: str, complaint: str) -> None:
        with pytest.raises(UsageError, match=complaint) as failure:
            conda.prepare("apple", channels=[channel])
        assert "tk-secret" not in str(failure.value)

    def test_a_channel_that_is_not_there(self, conda: Any, tmp_path: Path) -> None:
        with pytest.raises(EnvironmentBuildError, match="a channel could not be read.*noarch"):
            conda.prepare("apple", channels=[f"file://{tmp_path}/nowhere"])


class TestOverHttp:
    def test_offline_works_with_a_warm_cache(self, conda: Any, own_channel: Callable[..., str], server: Server) -> None:
        own_channel("open/mine", "apple 1.0")
        channel, offline = f"http://{server.host}/open/mine", Policy(offline=True)
        with pytest.raises(EnvironmentBuildError) as failure:
            conda.prepare("apple", channels=[channel], policy=offline)
        assert failure.value.hint is not None and "--offline" in failure.value.hint
        first = conda.prepare("apple", channels=[channel])
        _remove_environments()
        server.asked.clear()
        again = conda.prepare("apple >=1", channels=[channel], policy=offline)
        assert again.packages == first.packages and server.asked == []
        with pytest.raises(EnvironmentBuildError, match="no package was found for banana"):
            conda.prepare("banana", channels=[channel], policy=offline)

    def test_offline_fetches_no_package(self, conda: Any, own_channel: Callable[..., str], server: Server) -> None:
        own_channel("open/mine", "apple 1.0", "banana 1.0")
        channel = f"http://{server.host}/open/mine"
        conda.prepare("apple", channels=[channel])
        with pytest.raises(EnvironmentBuildError, match="`--offline`: not in the cache: banana"):
            conda.prepare("banana", channels=[channel], policy=Policy(offline=True))

    def test_a_forged_package_is_refused(
        self, conda: Any, own_channel: Callable[..., str], server: Server, tmp_path: Path
    ) -> None:
        own_channel("open/mine", "apple 1.0")
        channel = f"http://{server.host}/open/mine"
        conda.lock("apple", channels=[channel])
        path = tmp_path / "channels" / "open" / "mine" / "noarch" / "apple-1.0-0.conda"
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(EnvironmentBuildError, match="hash mismatch"):
            conda.prepare("apple", channels=[channel], policy=Policy(locked=True))


class TestCredentials:
    @pytest.mark.parametrize(
        "alias", ["http://{host}/t/" + TOKEN, "http://me%40work:p%40ss%3Aword@{host}"], ids=["token", "login"]
    )
    def test_they_are_used_and_written_nowhere(
        self,
        conda: Any,
        own_channel: Callable[..., str],
        own_conda: Path,
        server: Server,
        alias: str,
        tmp_path: Path,
    ) -> None:
        own_channel("private", "apple 1.0")
        condarc(own_conda, f"channel_alias: {alias.format(host=server.host)}\n")
        conda.lock("apple", channels=["private"])
        assert f"http://{server.host}/private/noarch/apple-1.0-0.conda" in (conda.folder / "conda-lock.yml").read_text()
        found = conda.prepare("apple", channels=["private"])
        with pytest.raises(EnvironmentBuildError) as failure:
            conda.prepare("banana", channels=["private"])
        told = [str(failure.value), *conda.said, found.lock_text]
        _find_nothing_secret(tmp_path, told, except_for=own_conda)

    def test_a_channels_url_may_carry_them_by_variables(
        self,
        conda: Any,
        own_channel: Callable[..., str],
        server: Server,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        own_channel("private", "apple 1.0")
        monkeypatch.setenv("CHANNEL_TOKEN", TOKEN)
        channel = f"http://{server.host}/t/$CHANNEL_TOKEN/private"
        conda.lock("apple", channels=[channel])
        assert conda.prepare("apple", channels=[channel], policy=Policy(locked=True)).packages == {"apple": "1.0"}
        assert "$CHANNEL_TOKEN" in (conda.folder / "conda-lock.yml").read_text()
        _find_nothing_secret(tmp_path, conda.said)

    def test_a_login_by_variables_does_not_make_the_lock_stale(
        self,
        conda: Any,
        own_channel: Callable[..., str],
        server: Server,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        own_channel("private", "apple 1.0")
        monkeypatch.setenv("CHANNEL_USER", USER)
        monkeypatch.setenv("CHANNEL_PASSWORD", PASSWORD)
        channel = f"http://$CHANNEL_USER:$CHANNEL_PASSWORD@{server.host}/private"
        conda.lock("apple", channels=[channel])
        assert conda.prepare("apple", channels=[channel], policy=Policy(locked=True)).packages == {"apple": "1.0"}
        _find_nothing_secret(tmp_path, conda.said)

    @pytest.mark.parametrize(
        "channel",
        [
            "http://{host}/open/$SECRET",
            "http://$SECRET/x",
            "file:///tmp/$SECRET",
            "x$SECRET",
            "http://{host}/x?$SECRET",
        ],
    )
    def test_a_variable_elsewhere_is_sent_to_nobody(
        self, conda: Any, server: Server, monkeypatch: pytest.MonkeyPatch, channel: str
    ) -> None:
        monkeypatch.setenv("SECRET", TOKEN)
        with pytest.raises(UsageError, match="a variable stands only for a user, a password or a token"):
            conda.prepare("apple", channels=[channel.format(host=server.host)])
        assert server.asked == []

    def test_a_lock_s_variable_is_sent_to_nobody(
        self, conda: Any, own_channel: Callable[..., str], server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own_channel("open/mine", "apple 1.0")
        monkeypatch.setenv("SECRET", TOKEN)
        channel = f"http://{server.host}/open/mine"
        path = conda.lock("apple", channels=[channel]).path
        path.write_text(path.read_text().replace("/open/mine/noarch", "/open/$SECRET/noarch"))
        with pytest.raises(EnvironmentBuildError):
            conda.prepare("apple", channels=[channel], policy=Policy(frozen=True))
        assert not any(TOKEN in asked for asked in server.asked)

    def test_a_lock_that_names_variables_for_them_is_used(
        self, conda: Any, own_channel: Callable[..., str], server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own_channel("private", "apple 1.0")
        monkeypatch.setenv("CHANNEL_TOKEN", TOKEN)
        channel = f"http://{server.host}/t/$CHANNEL_TOKEN/private"
        path = conda.lock("apple", channels=[channel]).path
        # As conda-lock writes it.
        path.write_text(path.read_text().replace("/private/noarch", "/t/${CHANNEL_TOKEN}/private/noarch"))
        assert "t/${CHANNEL_TOKEN}" in path.read_text()
        found = conda.prepare("apple", channels=[channel], policy=Policy(frozen=True))
        assert found.packages == {"apple": "1.0"} and TOKEN not in found.lock_text

    def test_a_wrong_one_is_not_shown(self, conda: Any, own_channel: Callable[..., str], server: Server) -> None:
        own_channel("private", "apple 1.0")
        for url in (f"http://me:{PASSWORD[:4]}-wrong@{server.host}", f"http://{server.host}/t/wrong-{TOKEN}"):
            with pytest.raises(EnvironmentBuildError, match="a channel could not be read") as failure:
                conda.prepare("apple", channels=[f"{url}/private"])
            assert "wrong" not in str(failure.value)

    def test_those_of_anaconda_login_are_found(
        self, conda: Any, own_channel: Callable[..., str], server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own_channel("private", "apple 1.0")
        monkeypatch.setenv("XDG_DATA_HOME", str(Path(os.environ["HOME"]) / "data"))
        folder = Path(os.environ["HOME"]) / "data" / "binstar"
        folder.mkdir(parents=True)
        (folder / f"http%3A%2F%2F{server.host.replace(':', '%3A')}.token").write_text(TOKEN)
        assert conda.prepare("apple", channels=[f"http://{server.host}/private"]).packages == {"apple": "1.0"}

    def test_those_of_netrc_are_found(self, conda: Any, own_channel: Callable[..., str], server: Server) -> None:
        own_channel("private", "apple 1.0")
        netrc = Path(os.environ["HOME"]) / ".netrc"
        netrc.parent.mkdir(exist_ok=True)
        netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
        netrc.chmod(0o600)
        assert conda.prepare("apple", channels=[f"http://{server.host}/private"]).packages == {"apple": "1.0"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/t/tk-1/chan", "https://host/chan"),
        ("https://u:p@host/api/t/tk-1/chan", "https://host/api/chan"),
        ("https://host/t/$TOKEN/chan", "https://host/t/$TOKEN/chan"),
        ("https://$USER:$WORD@host/chan", "https://$USER:$WORD@host/chan"),
        ("file:///home/t/me/chan", "file:///home/t/me/chan"),
        ("conda-forge/label/t/x", "conda-forge/label/t/x"),
    ],
)
def test_what_of_a_channel_is_written_down(url: str, expected: str) -> None:
    from mlproj.environments.prefixes.tokens import without_secrets

    assert without_secrets(url) == expected


def test_a_folder_named_t_is_no_token() -> None:
    from mlproj.environments.prefixes.tokens import without_tokens

    kept = "url: https://files.example/packages/source/t/tabulate/tabulate-0.9.tar.gz file:///tmp/t/chan/noarch"
    assert without_tokens(kept) == kept
    assert without_tokens("https://host/t/tk-1/chan/noarch") == "https://host/chan/noarch"


def _remove_environments() -> None:
    from mlproj.environments import prune

    assert prune().removed


def _find_nothing_secret(folder: Path, told: list[str], except_for: Path | None = None) -> None:
    secrets = [TOKEN, PASSWORD, "p%40ss", "ss%3Aword"]
    for text in told:
        assert not any(secret in text for secret in secrets)
    for path in folder.rglob("*"):
        if path.is_file() and path != except_for:
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path
