"""Conda environments as a project asks for them: solved, installed, activated, found again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.environments import Policy, list_environments, prune
from mlproj.errors import EnvironmentBuildError, UsageError
from tests.environments import conda_channel as conda_files
from tests.environments.conda_channel import PYTHON

pytestmark = pytest.mark.usefixtures("own_conda")


def test_an_environment_is_installed_and_runs(conda: Any, run_in: Callable[..., str]) -> None:
    conda.file("python", "pear", "fig", "damson")
    found = conda.prepare()
    assert conda.said == ["resolving 4 specifications", "installing 5 packages"]
    assert found.packages == {"apple": "2.0", "damson": "1.0", "fig": "1.0", "pear": "1.0", "python": PYTHON}
    assert found.kind == "conda" and found.python == PYTHON and not found.reused
    assert found.lock_name == "conda-lock.yml" and "name: pear" in found.lock_text

    # A real Python, its noarch packages' commands, and the prefix in text and in a binary file.
    assert run_in(found, "python", "-c", "import sys; print(sys.prefix)") == str(found.folder)
    assert run_in(found, "pear") == "pear 1.0"
    assert run_in(found, "python", "-c", "import sys, ssl, sqlite3; print(sys.damson)") == "ripe"
    assert run_in(found, "fig") == f"{found.folder}/share"
    assert f"{found.folder}/share/fig\0".encode() in (found.folder / "share" / "fig.bin").read_bytes()

    again = conda.prepare()
    assert again.reused and again.key == found.key and again.packages == found.packages and conda.said == []
    (built,) = list_environments()
    assert built.kind == "conda" and built.projects == (str(conda.folder),) and built.size > 1_000_000
    assert prune().removed == (found.key,)


def test_what_stands_in_the_manifest_is_the_same_environment(conda: Any) -> None:
    conda.file("fig")
    assert conda.prepare().key == conda.prepare("fig", channels=["conda-forge"]).key


def test_no_python_is_fine(conda: Any, run_in: Callable[..., str]) -> None:
    found = conda.prepare("fig", channels=["conda-forge"])
    assert found.python is None and found.interpreter is None
    assert run_in(found, "fig") == f"{found.folder}/share"


def test_a_warm_run_imports_nothing_of_conda(conda: Any) -> None:
    conda.file("fig")
    conda.prepare()
    script = (
        "import sys; from pathlib import Path; from mlproj import environments as e; "
        "from mlproj.manifest.models import Conda, EnvironmentSpec; "
        "found = e.prepare(EnvironmentSpec(conda=Conda(file='environment.yml')), None, Path(sys.argv[1]), e.Policy(), print); "
        "print(found.reused, [name for name in ('rattler', 'conda_lock', 'yaml', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, conda.folder], capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"


def test_what_is_declared_decides(conda: Any) -> None:
    conda.file("apple=1.0")
    first = conda.prepare()
    assert first.packages["apple"] == "1.0"
    conda.file("apple")
    second = conda.prepare()
    assert second.packages["apple"] == "2.0" and second.key != first.key
    conda.file("apple=1.0")
    assert conda.prepare().reused and conda.said == []


@pytest.mark.parametrize(
    ("dependencies", "reason", "hint"),
    [
        (["medlar", "quince"], "quince 1.0 would require", None),
        (["nectarine"], "no package was found for nectarine.", None),
        (["appel"], "no package was found for appel.", "Did you mean `apple`?"),
        (["apple >=3"], "no package was found for apple >=3.", "the channels have apple 1.0, 2.0"),
        (
            ["conda-forge::apple >=3"],
            "no package was found for apple >=3 of file://",
            "the channels have apple 1.0, 2.0",
        ),
    ],
)
def test_an_unsolvable_set_shows_the_solvers_reason(
    conda: Any, dependencies: list[str], reason: str, hint: str | None
) -> None:
    with pytest.raises(EnvironmentBuildError, match="cannot be solved for") as failure:
        conda.prepare(*dependencies)
    assert reason in failure.value.message and "Cannot solve the request" not in failure.value.message
    assert failure.value.hint == hint
    assert list_environments() == []


def test_what_the_machine_has_not_can_be_said_to_be_there(conda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "")
    with pytest.raises(EnvironmentBuildError, match="__cuda >=12") as failure:
        conda.prepare("cherry")
    assert failure.value.hint is not None and "CONDA_OVERRIDE_CUDA" in failure.value.hint
    assert conda.prepare("cherry", virtual_packages={"__cuda": "12.4"}).packages["cherry"] == "1.0"
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "12.4")
    assert conda.prepare("cherry").packages["cherry"] == "1.0"


@pytest.mark.parametrize("specification", ["apple >>> 1", "apple=1=2=3=4", "apple[version=", "apple >=1 <"])
def test_what_is_no_specification_is_refused(conda: Any, specification: str) -> None:
    with pytest.raises((UsageError, EnvironmentBuildError), match="apple"):
        conda.prepare(specification)


# Each twice the one before.
_DOUBLED = [
    ("a", "1"),
    *((name, f"*{before}, *{before}") for before, name in zip("abcdefghijklmnop", "bcdefghijklmnopq")),
]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a list", "expected a mapping"),
        ("dependencies: [{pop: [x]}]", "is no dependency"),
        ("dependencies: {python: 3}", "expected a list under `dependencies`"),
        ("dependencies: [python\n", "not YAML"),
        ("dependancies: [python]", "Did you mean `dependencies`"),
        ("channels: conda-forge\ndependencies: [fig]", "expected a list of texts under `channels`"),
        ("platforms: [linux-65]\ndependencies: [fig]", "Did you mean `linux-64`"),
        (f"dependencies: {'[' * 900_000}", "nested more than 50 levels deep"),
        (f"dependencies: {'[' * 20_000}{']' * 20_000}", "nested more than 50 levels deep"),
        (f"name: {'x' * 2_000_000}", "larger than 1 MiB"),
        (f"dependencies: [{'x' * 100_000}]", "longer than any dependency"),
        (
            "\n".join(f"{name}: &{name} [{before}]" for name, before in _DOUBLED) + "\ndependencies: [*q]",
            "aliases expand to more than",
        ),
    ],
)
def test_a_file_that_is_no_environment_file_is_refused(conda: Any, text: str, complaint: str) -> None:
    (conda.folder / "environment.yml").write_text(text)
    with pytest.raises(UsageError, match=complaint):
        conda.prepare()


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ("{A: null}", "the variable `A` is no text"),
        ("{A: [1]}", "the variable `A` is no text"),
        ('{A: "x\\0y"}', "the variable `A` has a value that cannot be set"),
        ('{"ZZ=B": x}', "the variable `ZZ=B` has no name that can be set"),
        ('{"": x}', "the variable `` has no name that can be set"),
        ("{MLPROJ_RUN_ID: x}", "the variable `MLPROJ_RUN_ID` is mlproj's own"),
    ],
)
def test_a_variable_that_cannot_be_set_is_refused(conda: Any, variables: str, complaint: str) -> None:
    conda.file("fig", variables=variables)
    with pytest.raises(UsageError, match=complaint):
        conda.prepare()


@pytest.mark.parametrize("key", ["channel", "url"])
def test_a_channel_in_brackets_is_refused_and_not_shown(conda: Any, key: str) -> None:
    conda.file(f"\"apple[{key}='http://host/t/tk-secret/mine']\"")
    with pytest.raises(UsageError, match="in a dependency is not understood") as failure:
        conda.prepare()
    assert "tk-secret" not in str(failure.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_user_without_a_home_is_fine() -> None:
    # By a number that no user has; what is imported later may be where only root can read.
    script = (
        "import os, platformdirs, pwd, rattler, yaml; from pathlib import Path; "
        "from mlproj.environments.prefixes import channels, condarc; "
        "[os.environ.pop(name, None) for name in ('HOME', 'XDG_CONFIG_HOME', 'CONDARC')]; os.setuid(54321); "
        "print(channels.find_channels(['http://host/x'], condarc.read_condarc(), Path('/')).sources[0].urls)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("('http://host/x',)\n", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chanels: [x]\ndependencies: [fig]",
        "dependencies: [/etc/passwd]",
        "dependencies: ['::apple']",
        "dependencies: ['conda-forge::']",
        "platforms: [linux-65]",
        "platforms: linux-64",
        "variables: {A: null}",
    ],
)
def test_what_no_run_accepts_is_a_problem_to_check(conda: Any, text: str) -> None:
    from mlproj.environments import conda as kind

    (conda.folder / "environment.yml").write_text(text)
    (told,) = kind.problems(conda.spec(), conda.folder)
    with pytest.raises(UsageError) as failure:
        conda.prepare()
    assert failure.value.message == told


def test_a_virtual_package_without_a_version_is_a_problem_to_check(conda: Any) -> None:
    from mlproj.environments import conda as kind

    (told,) = kind.problems(conda.spec("fig", virtual_packages={"__cuda": "junk!?"}), conda.folder)
    assert "`__cuda: junk!?` has no version" in told


def test_channels_that_are_folders_are_read_of_an_mlproject(conda: Any) -> None:
    from mlproj.manifest.mlproject_environments import read_conda_file

    (conda.folder / "environment.yml").write_text("channels: [., ~/x, conda-forge]\ndependencies: [fig]")
    assert read_conda_file(conda.folder, "environment.yml").channels == [".", "~/x", "conda-forge"]


def test_a_missing_file_is_named(conda: Any) -> None:
    with pytest.raises(UsageError, match=r"cannot read the environment file `.*environment.yml`"):
        conda.prepare()


def test_a_comment_costs_no_more_than_it_is_long(conda: Any) -> None:
    conda.file(f"fig {'#' * 100_000}", f"plum {'# [' * 100_000}")
    assert conda.prepare().packages == {"fig": "1.0", "plum": "1.0"}


def test_selectors_choose_by_platform(conda: Any) -> None:
    conda.file("fig  # [unix]", "nectarine  # [win]", "plum  # [linux64]", "plum  # [osx]")
    assert "fig" in conda.prepare().packages


class TestActivation:
    def test_scripts_and_variables_take_effect(
        self, conda: Any, run_in: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONDA_PREFIX", "/elsewhere")
        monkeypatch.setenv("CONDA_PREFIX_1", "/elsewhere-before")
        monkeypatch.setenv("CONDA_PROMPT_MODIFIER", "(base) ")
        monkeypatch.setenv("PYTHONPATH", "/elsewhere")
        conda.file("pear", variables="{SEASON: autumn}")
        for _ in range(2):
            found = conda.prepare()
            assert run_in(found, "sh", "-c", "echo $PEAR_HOME $PEAR_COLOUR $SEASON") == (
                f"{found.folder}/share/pear green autumn"
            )
            assert found.path_entries == (f"{found.folder}/share/pear/bin", f"{found.folder}/bin")
            seen = run_in(found, "sh", "-c", "env | grep -E '^(CONDA_P|CONDA_S|PYTHONPATH)' | sort")
            assert seen == f"CONDA_PREFIX={found.folder}\nCONDA_PROMPT_MODIFIER=\nCONDA_SHLVL=1"

    def test_a_variable_of_the_project_changes_without_a_new_environment(
        self, conda: Any, run_in: Callable[..., str]
    ) -> None:
        first = conda.prepare("fig", variables={"SEASON": "spring"})
        second = conda.prepare("fig", variables={"SEASON": "winter"})
        assert second.reused and second.key == first.key
        assert run_in(second, "sh", "-c", "echo $SEASON") == "winter"

    @pytest.mark.parametrize(
        ("script", "said"),
        [
            ("exit 3", "exit status 3"),
            ("echo the license is missing >&2; return 1", "the license is missing"),
            ("if", "syntax error"),
        ],
    )
    def test_a_script_that_fails_is_named(self, conda: Any, tmp_path: Path, script: str, said: str) -> None:
        channel = self._with_script(tmp_path, script)
        with pytest.raises(EnvironmentBuildError, match="etc/conda/activate.d/lime.sh` failed") as failure:
            conda.prepare("lime", channels=[channel])
        assert said in failure.value.message
        # It is let go, and can be removed.
        assert len(prune().removed) == 1

    def test_a_script_may_end_in_a_test_that_is_false(self, conda: Any, tmp_path: Path) -> None:
        channel = self._with_script(tmp_path, "echo sour\nexport LIME=1\n[ -n '' ] && export LIME=2")
        assert conda.prepare("lime", channels=[channel]).variables["LIME"] == "1"

    def test_a_script_may_take_variables_away_and_print(
        self, conda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BITTER", "1")
        monkeypatch.setenv("name", "kept")
        channel = self._with_script(tmp_path, "echo hello; unset BITTER; export LINES_OF=$'a\\nb'")
        found = conda.prepare("lime", channels=[channel])
        assert "name" not in {*found.variables, *found.removed_variables}
        assert "BITTER" in found.removed_variables and found.variables["LINES_OF"] == "a\nb"

    @pytest.mark.parametrize(
        "script",
        [
            "IFS=:_",
            "set -euo pipefail; set -f",
            "printf() { echo hacked; }",
            "compgen() { echo; }",
            "unset PATH",
            "export UNSET_BUT_EXPORTED",
            "export MLPROJ_RUN_ID=another",
            "sleep 271 &",
        ],
    )
    def test_a_script_may_leave_the_shell_as_it_likes(self, conda: Any, tmp_path: Path, script: str) -> None:
        channel = self._with_script(tmp_path, f"export LIME_A=1 LIME_B=2\n{script}")
        found = conda.prepare("lime", channels=[channel])
        assert (found.variables["LIME_A"], found.variables["LIME_B"]) == ("1", "2")
        assert "MLPROJ_RUN_ID" not in found.variables

    @pytest.mark.parametrize(
        ("script", "said"),
        [
            ("exit 0", "lime.sh` ended the shell"),
            ("exec true", "lime.sh` ended the shell"),
            ("declare -rx _mlproj_name=5", "leave a shell in which nothing can be read"),
            ('printf /etc/passwd > "$_mlproj_output.number"; echo x >&2; exit 3', "nothing can be read"),
            ('rm -rf "$(dirname "$_mlproj_output")"', "nothing can be read"),
            ("kill -9 $$", r"lime.sh` failed \(exit status 137\)"),
        ],
    )
    def test_what_a_script_did_to_the_shell_is_told(self, conda: Any, tmp_path: Path, script: str, said: str) -> None:
        with pytest.raises(EnvironmentBuildError, match=said):
            conda.prepare("lime", channels=[self._with_script(tmp_path, script)])

    def test_a_script_that_does_not_end_is_ended(
        self, conda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
    ) -> None:
        from mlproj.environments.prefixes import activation

        monkeypatch.setattr(activation, "_PATIENCE_S", 0.1)
        monkeypatch.setattr(activation, "_LIMIT_S", 1.0)
        with pytest.raises(EnvironmentBuildError, match="lime.sh` did not end within 1 s"):
            conda.prepare("lime", channels=[self._with_script(tmp_path, "sleep 300")])
        assert "waiting for the activation scripts of the environment" in conda.said
        assert list((cache / "scratch").iterdir()) == []

    def test_the_caller_s_shell_has_no_say(self, conda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "startup").write_text("exit 7\n")
        monkeypatch.setenv("BASH_FUNC_printf%%", "() {  echo hacked\n}")
        monkeypatch.setenv("BASH_ENV", str(tmp_path / "startup"))
        assert conda.prepare("lime", channels=[self._with_script(tmp_path, "export LIME=1")]).variables["LIME"] == "1"

    @pytest.mark.parametrize(
        ("path", "content", "said"),
        [
            ("etc/conda/env_vars.d/x.json", b"[" * 200_000, "cannot be read"),
            ("etc/conda/env_vars.d/x.json", b'{"ZZ": "\\ud800"}', "`ZZ` in .* has a value that cannot be set"),
            ("etc/conda/env_vars.d/x.json", b'{"ZZ": "a\\u0000b"}', "`ZZ` in .* has a value that cannot be set"),
            ("etc/conda/env_vars.d/x.json", b'{"A=B": "y"}', "`A=B` in .* has no name that can be set"),
            ("etc/conda/env_vars.d/x.json", b'{"MLPROJ_RUN_ID": "y"}', "is mlproj's own"),
            ("conda-meta/state", b"[" * 200_000, "cannot be read"),
        ],
    )
    def test_variables_that_cannot_be_set_are_refused(
        self, conda: Any, tmp_path: Path, path: str, content: bytes, said: str
    ) -> None:
        folder = tmp_path / "lime"
        conda_files.write_package(folder, "lime", "1.0", {path: content})
        conda_files.index_channel(folder)
        with pytest.raises(EnvironmentBuildError, match=said):
            conda.prepare("lime", channels=[f"file://{folder}"])

    @pytest.mark.parametrize("kept", [None, {"scripts": "x", "variables": {}}, {"scripts": [], "variables": []}])
    def test_a_record_that_somebody_wrote_into_is_told(self, conda: Any, kept: Any) -> None:
        path = conda.prepare("fig").folder / "environment.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "activation": kept}))
        with pytest.raises(EnvironmentBuildError, match="is not what mlproj wrote"):
            conda.prepare("fig")

    @staticmethod
    def _with_script(tmp_path: Path, script: str) -> str:
        folder = tmp_path / "lime"
        conda_files.write_package(folder, "lime", "1.0", {"etc/conda/activate.d/lime.sh": script.encode()})
        conda_files.index_channel(folder)
        return f"file://{folder}"


class TestPostLinkScripts:
    def test_they_are_left_out_and_that_is_said(self, conda: Any) -> None:
        found = conda.prepare("plum")
        assert not (found.folder / "plum-was-here").exists()
        assert "not run: the post-link scripts of plum (`post_link_scripts: true` allows them)" in conda.said

    def test_they_run_where_the_environment_will_be(self, conda: Any, tmp_path: Path) -> None:
        folder = tmp_path / "kiwi"
        script = b'echo "$PREFIX" > "$PREFIX/share/kiwi-is-in"\n'
        conda_files.write_package(folder, "kiwi", "1.0", {"bin/.kiwi-post-link.sh": script, "share/kiwi": b""})
        conda_files.index_channel(folder)
        found = conda.prepare("kiwi", channels=[f"file://{folder}"], post_link_scripts=True)
        assert (found.folder / "share" / "kiwi-is-in").read_text().strip() == str(found.folder)
        assert not found.folder.is_symlink()
        assert conda.prepare("kiwi", channels=[f"file://{folder}"], post_link_scripts=True).reused

    def test_one_that_fails_fails_the_build(self, conda: Any, tmp_path: Path) -> None:
        conda_files.write_package(tmp_path / "kiwi", "kiwi", "1.0", {"bin/.kiwi-post-link.sh": b"exit 3\n"})
        conda_files.index_channel(tmp_path / "kiwi")
        with pytest.raises(EnvironmentBuildError, match="post-link scripts of kiwi failed"):
            conda.prepare("kiwi", channels=[f"file://{tmp_path}/kiwi"], post_link_scripts=True)
        assert list_environments() == []


class TestPipPart:
    def test_it_is_installed_beside_what_conda_provides(
        self, conda: Any, index: Path, write_wheel: Callable[..., Path], run_in: Callable[..., str]
    ) -> None:
        write_wheel(index, "lemon", "1.0", ["apple>=1"])
        conda.file("python", "apple=1.0", "pip: [lemon]")
        found = conda.prepare()
        # Of conda's own apple, pip installs no other.
        assert found.packages == {"apple": "1.0", "lemon": "1.0", "pip": "24.0", "python": PYTHON}
        assert run_in(found, "lemon") == "lemon 1.0" and run_in(found, "apple") == "apple 1.0"
        assert "/scratch/" not in (found.folder / "bin" / "lemon").read_text()
        assert "manager: pip" in found.lock_text
        assert conda.prepare().reused

    def test_what_does_not_go_with_conda_is_refused(
        self, conda: Any, index: Path, write_wheel: Callable[..., Path]
    ) -> None:
        write_wheel(index, "lemon", "1.0", ["apple>=2"])
        with pytest.raises(EnvironmentBuildError, match="does not go with what conda provides") as failure:
            conda.prepare("python", "apple=1.0", pip=["lemon"])
        assert "lemon" in failure.value.message and "apple" in failure.value.message

    def test_folders_of_the_project(
        self, conda: Any, source_project: Callable[..., Path], run_in: Callable[..., str]
    ) -> None:
        source_project(conda.folder / "lemon", "lemon", requires=["apple"])
        source_project(conda.folder / "orange", "orange")
        conda.file("python", "pip: [./lemon, -e orange]")
        found = conda.prepare()
        assert found.packages["apple"] == "2.0" and run_in(found, "lemon") == "lemon as it was"
        (conda.folder / "orange" / "orange.py").write_text("def main():\n    print('another orange')\n")
        assert run_in(found, "python", "-c", "import orange; orange.main()") == "another orange"
        (conda.folder / "lemon" / "lemon.py").write_text("def main():\n    print('another lemon')\n")
        changed = conda.prepare()
        assert changed.key != found.key and run_in(changed, "lemon") == "another lemon"

    def test_a_requirements_file_is_read_again_when_it_changes(self, conda: Any) -> None:
        (conda.folder / "requirements.txt").write_text("apple==1.0\n")
        conda.file("python", "pip: [-r requirements.txt]")
        assert conda.prepare().packages["apple"] == "1.0"
        (conda.folder / "requirements.txt").write_text("apple\n")
        assert conda.prepare().packages["apple"] == "2.0"

    def test_what_no_index_has_is_told_by_uv(self, conda: Any) -> None:
        with pytest.raises(EnvironmentBuildError, match="pip part could not be resolved") as failure:
            conda.prepare("python", pip=["nectarine"])
        assert "nectarine" in failure.value.message and failure.value.hint is not None


class TestOffline:
    def test_a_warm_cache_is_enough(self, conda: Any) -> None:
        first = conda.prepare("fig", "apple")
        prune()
        again = conda.prepare("fig", "apple", policy=Policy(offline=True))
        assert again.key == first.key and not again.reused and conda.said == ["installing 3 packages"]
