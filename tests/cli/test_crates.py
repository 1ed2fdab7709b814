"""`mlproj export` and `mlproj import`: a run goes to another machine in a file, and is the same there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.sources.digest import MOST_KEPT_BYTES


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Go to another machine: one with a store of its own, and without the project."""

    def go() -> Path:
        home = tmp_path / f"home-{len(list(tmp_path.glob('home-*')))}"
        monkeypatch.setenv("MLPROJ_HOME", str(home))
        return home

    return go


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def committed(wine: Path) -> Path:
    """The project in a repository, with a change, a new file, a script to execute and a link."""
    (wine / "run.sh").write_text("#!/bin/sh\n")
    (wine / "run.sh").chmod(0o755)
    (wine / "newest.py").symlink_to("train.py")
    (wine / ".gitignore").write_text("data/\nmodel/\n")
    git(wine, "init", "-q")
    git(wine, "add", "-A")
    git(wine, "commit", "-qm", "First")
    (wine / "train.py").write_text((wine / "train.py").read_text() + "# changed\n")
    (wine / "added.txt").write_text("new\n")
    return wine


def names_in(crate: Path) -> list[str]:
    with zipfile.ZipFile(crate) as archive:
        return archive.namelist()


def metadata_in(crate: Path) -> dict[str, Any]:
    with zipfile.ZipFile(crate) as archive:
        graph = json.loads(archive.read("ro-crate-metadata.json"))["@graph"]
    return {each["@id"]: each for each in graph}


def test_there_and_back_gives_the_same_bytes(committed: Path, cli: Any, elsewhere: Any, tmp_path: Path) -> None:
    record = cli("run", "-e", "train", "-P", "alpha=0.1", "--name", "first", "--json").json
    first, second = tmp_path / "first.crate.zip", tmp_path / "second.crate.zip"
    assert cli("export", "@last", "-o", first).status == 0
    elsewhere()
    committed.rename(tmp_path / "gone")
    done = cli("import", first)
    assert (done.status, done.out) == (0, f"{record['id'][:12]} is imported\n"), done.err
    assert cli("export", "first", "-o", second).status == 0
    assert first.read_bytes() == second.read_bytes()
    shown = cli("show", "first", "--json").json
    assert shown.pop("imported")["origin"] == str(first)
    assert record.pop("imported") is None
    assert shown == record
    assert cli("store", "check").out == "the store is sound\n"
    assert cli("runs", "--columns", "id,curve.rmse").out.splitlines()[1].split()[1]


def test_the_source_is_the_one_that_ran(committed: Path, cli: Any, elsewhere: Any, tmp_path: Path) -> None:
    cli("run", "-e", "train", "-q")
    (committed / "train.py").write_text("raise SystemExit('another')\n")
    git(committed, "add", "-A")
    git(committed, "commit", "-qm", "Second")
    cli("export", "-o", tmp_path / "run.crate.zip")
    home = elsewhere()
    cli("import", tmp_path / "run.crate.zip")
    source = next(home.glob("runs/*/source"))
    assert (source / "train.py").read_text().endswith("# changed\n")
    assert (source / "added.txt").read_text() == "new\n"
    assert os.access(source / "run.sh", os.X_OK)
    assert (source / "newest.py").readlink() == Path("train.py")
    assert not (source / ".git").exists()


def test_a_folder_that_has_changed_is_not_taken_for_the_source(wine: Path, cli: Any, tmp_path: Path) -> None:
    cli("run", "-e", "train", "-q")
    whole = tmp_path / "whole.crate.zip"
    assert cli("export", "-o", whole).err == ""
    assert "source/train.py" in names_in(whole)
    assert "source/model/weights.txt" not in names_in(whole)
    was = (wine / "train.py").read_bytes()
    (wine / "train.py").write_text("raise SystemExit\n")
    cli("export", "-o", tmp_path / "kept.crate.zip")
    assert (tmp_path / "kept.crate.zip").read_bytes() == whole.read_bytes()
    (wine / "train.py").write_bytes(was)
    (wine / "weights.bin").write_bytes(bytes(MOST_KEPT_BYTES))
    cli("run", "-e", "train", "-q")
    (wine / "train.py").write_text("raise SystemExit\n")
    done = cli("export", "-o", tmp_path / "bare.crate.zip")
    assert done.status == 0
    assert "without its source: " in done.err
    assert f"the folder {wine} has changed since" in done.err
    described = metadata_in(tmp_path / "bare.crate.zip")["./"]
    assert "The project's files are not in it." in described["description"]
    assert [each["@id"] for each in described["conformsTo"]] == ["https://w3id.org/ro/wfrun/process/0.5"]


def test_inputs_that_are_no_part_of_the_source(project: Any, cli: Any, elsewhere: Any, tmp_path: Path) -> None:
    manifest = """
        environment: {system: {}}
        entry_points:
          main:
            command: [python, -c, pass]
            inputs: [data/, kept.csv, other.csv]
        """
    folder = project(manifest, {"data/a.csv": "1\n", "data/b.csv": "2\n", "kept.csv": "3\n", "other.csv": "4\n"})
    (folder / ".gitignore").write_text("data/\nother.csv\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "First")
    cli("run", folder, "-q")
    crate = tmp_path / "run.crate.zip"
    cli("export", "-o", crate)
    assert [name for name in names_in(crate) if name.startswith("inputs/")] == [
        "inputs/data/a.csv",
        "inputs/data/b.csv",
        "inputs/other.csv",
    ]
    (folder / "other.csv").write_text("5\n")
    done = cli("export", "-o", tmp_path / "later.crate.zip")
    assert "the input other.csv is left out: it is gone, or has changed since" in done.err
    cli("export", "--no-inputs", "-o", tmp_path / "less.crate.zip")
    assert not any(name.startswith("inputs/") for name in names_in(tmp_path / "less.crate.zip"))
    home = elsewhere()
    cli("import", crate)
    assert next(home.glob("runs/*/inputs/data/a.csv")).read_text() == "1\n"


def test_a_file_outside_of_the_project_is_told(project: Any, cli: Any, tmp_path: Path) -> None:
    manifest = """
        environment: {system: {}}
        entry_points:
          main: {command: [python, -c, pass, "{data}"], parameters: {data: {type: path}}}
        """
    data = tmp_path / "data.csv"
    data.write_text("1\n")
    assert cli("run", project(manifest), "-P", f"data={data}", "-q").status == 0
    for command in (("export", "-o", tmp_path / "run.crate.zip"), ("push", tmp_path / "remote")):
        assert f"the input {data} is left out: it is outside of the project" in cli(*command).err
    assert cli("export", "--no-inputs", "-o", tmp_path / "less.crate.zip").err == ""


def test_without_artifacts_and_with_them_later(trained: list[str], cli: Any, elsewhere: Any, tmp_path: Path) -> None:
    bare, whole = tmp_path / "bare.crate.zip", tmp_path / "whole.crate.zip"
    cli("export", "better", "--no-artifacts", "-o", bare)
    cli("export", "better", "-o", whole)
    assert "artifacts/model/weights.txt" not in names_in(bare)
    assert "1 file of its outputs are not in it" in metadata_in(bare)["./"]["description"]
    elsewhere()
    cli("import", bare)
    verified = cli("verify", "--all")
    assert (verified.status, "1 file not brought when it was imported" in verified.out) == (0, True)
    assert cli("verify", "better", "--json").json[0]["not_brought"] == ["artifacts/model/weights.txt"]
    assert cli("store", "check").out == "the store is sound\n"
    cli("export", "better", "-o", tmp_path / "again.crate.zip")
    assert (tmp_path / "again.crate.zip").read_bytes() == bare.read_bytes()
    assert "was here already, and got files that it lacked" in cli("import", whole).out
    assert cli("import", whole).out == f"{trained[1][:12]} is here already, and is the same\n"
    cli("export", "better", "-o", tmp_path / "full.crate.zip")
    assert (tmp_path / "full.crate.zip").read_bytes() == whole.read_bytes()
    assert cli("verify", "better", "--json").json[0]["not_brought"] == []
    next((Path(os.environ["MLPROJ_HOME"]) / "runs").glob("*/artifacts/model/weights.txt")).unlink()
    assert cli("verify", "better").status == 1
    cli("import", bare)
    assert cli("verify", "better").status == 1  # what it had once is lost, and not one that never came


def test_artifacts_that_are_too_large(trained: list[str], cli: Any, tmp_path: Path) -> None:
    done = cli("export", "better", "--max-artifact-size", "5B", "-o", tmp_path / "run.crate.zip")
    assert "left out, larger than 5 B: model/weights.txt" in done.err
    assert "artifacts/model/weights.txt" not in names_in(tmp_path / "run.crate.zip")
    assert cli("export", "better", "--max-artifact-size", "much").status == 2


def test_what_is_written_where(trained: list[str], cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("export", "better", "--json")
    path = Path(done.json["path"])
    assert path.name.endswith(".crate.zip")
    assert trained[1].startswith(path.name.partition(".")[0])
    refused = cli("export", "better", "-o", path)
    assert (refused.status, "--force replaces it" in refused.err) == (2, True)
    before = path.read_bytes()
    assert cli("export", "better", "-o", path, "--force").status == 0
    assert path.read_bytes() == before
    assert cli("export", "better", "-o", "folder/").status == 0
    assert json.loads(Path("folder/run.json").read_text())["id"] == trained[1]
    assert Path("folder/source/train.py").exists()
    assert cli("export", "better", "-o", "folder", "--force").status == 0
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("years of work")
    refused = cli("export", "better", "-o", "mine", "--force")
    assert (refused.status, "no crate that could be replaced" in refused.err) == (2, True)
    assert Path("mine/thesis.tex").exists()
    assert [each for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with things in it that no export made."""
    folder = tmp_path / "mine"
    (folder / "crate-of-another-tool").mkdir(parents=True)
    (folder / "crate-of-another-tool/ro-crate-metadata.json").write_text("{}")
    (folder / "notes.txt").write_text("years of work")
    (folder / "photos.zip").write_text("years of work")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("empty")
    (folder / "link.zip").symlink_to("photos.zip")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.zip")
    with socket.socket(socket.AF_UNIX) as listener:
        folder.chmod(0o700)
        listener.bind(os.path.relpath(folder / "socket"))
    return folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("notes.txt", "is a file, and no crate that could be replaced"),
        ("photos.zip", "is a file, and no crate that could be replaced"),
        ("crate-of-another-tool", "is a folder, and no crate that could be replaced"),
        ("link", "is a link"),
        ("link.zip", "is a link"),
        ("dangling", "is a link"),
        ("pipe", "is no regular file"),
        ("pipe.zip", "is no regular file"),
        ("socket", "is no regular file"),
        (".", "names no file or folder of its own"),
        ("", "names no file or folder of its own"),
        ("..", "names no file or folder of its own"),
        ("-", "is not written to stdout"),
        ("run.tar.gz", "named like an archive that crates are not written as"),
    ],
)
def test_what_is_never_replaced(
    trained: list[str], cli: Any, mine: Path, monkeypatch: pytest.MonkeyPatch, tree: Any, name: str, said: str
) -> None:
    monkeypatch.chdir(mine)
    before = {each.name: each.lstat().st_mode for each in mine.iterdir()}
    refused = cli("export", "better", "-o", name, "--force")
    assert (refused.status, said in refused.err) == (2, True), refused.err
    assert {each.name: each.lstat().st_mode for each in mine.iterdir()} == before
    assert Path("notes.txt").read_text() == Path("photos.zip").read_text() == "years of work"


def test_an_empty_folder_and_a_crate_of_the_other_form_are_replaced(
    trained: list[str], cli: Any, tmp_path: Path
) -> None:
    folder, archive = tmp_path / "run", tmp_path / "run.zip"
    folder.mkdir()
    assert cli("export", "better", "-o", folder, "--force").status == 0
    assert cli("export", "better", "-o", archive).status == 0
    folder.rename(tmp_path / "x")
    archive.rename(folder)
    (tmp_path / "x").rename(archive)
    assert cli("export", "better", "-o", folder, "--force").status == 0
    assert cli("export", "better", "-o", archive, "--force").status == 0
    assert (folder.is_dir(), archive.is_file()) == (True, True)


def test_a_folder_and_a_zip_are_the_same_crate(trained: list[str], cli: Any, elsewhere: Any, tmp_path: Path) -> None:
    cli("export", "better", "-o", tmp_path / "a.crate.zip")
    cli("export", "better", "-o", tmp_path / "folder")
    elsewhere()
    assert cli("import", tmp_path / "folder").status == 0
    assert "is the same" in cli("import", tmp_path / "a.crate.zip").out


def test_a_run_that_is_here_with_other_content(trained: list[str], cli: Any, tmp_path: Path) -> None:
    crate = tmp_path / "run.crate.zip"
    cli("export", "better", "-o", crate)
    cli("tag", "better", "stage=final")
    refused = cli("import", crate)
    assert (refused.status, "is here already, and is not the same" in refused.err) == (2, True)
    cli("tag", "better", "stage=candidate")
    assert cli("import", crate).status == 0
    cli("delete", trained[1])
    refused = cli("import", crate)
    assert (refused.status, "is in the trash" in refused.err) == (2, True)


def test_a_run_that_goes_on_is_not_exported(wine: Path, cli: Any, start: Any, tmp_path: Path) -> None:
    process = start("run", "-e", "wait")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready")
    refused = cli("export", "-o", tmp_path / "run.crate.zip")
    assert (refused.status, "is still running" in refused.err) == (2, True)


def test_no_secret_leaves(project: Any, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINE_API_KEY", "hunter2hunter2")
    manifest = """
        environment: {system: {}}
        entry_points:
          main:
            command: [python, -c, "import os; print(os.environ['WINE_API_KEY'])"]
            parameters: {api_key: {type: secret, env: WINE_API_KEY}}
        """
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n"
    files = {".env": "TOKEN=hunter2hunter2\n", "deploy": key, ".env.example": "TOKEN=\n", "notes.md": "ours\n"}
    folder = project(manifest, files)
    assert cli("run", folder, "-q").status == 0
    done = cli("export", "-o", tmp_path / "run.crate.zip")
    assert "left out, as they hold secrets: source/.env, source/deploy" in done.err
    names = names_in(tmp_path / "run.crate.zip")
    assert {"source/.env.example", "source/notes.md"} < set(names)
    assert not {"params.json", "alive.lock", "source/.env", "source/deploy"}.intersection(names)
    assert b"hunter2" not in (tmp_path / "run.crate.zip").read_bytes()


def test_no_secret_leaves_in_a_patch_or_an_artifact(
    project: Any, cli: Any, elsewhere: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINE_API_KEY", "hunter2hunter2")
    script = """
import os
os.mkdir("out")
open("out/.env", "w").write("TOKEN=of-" + "the-run")
open("out/id_rsa", "w").write("of-" + "the-run")
open("out/large.bin", "wb").write(bytes(11 << 20) + os.environ["WINE_API_KEY"].encode())
open("out/model.txt", "w").write("alpha=0.1")
"""
    manifest = """
        environment: {system: {}}
        entry_points:
          main:
            command: [python, write.py]
            parameters: {api_key: {type: secret, env: WINE_API_KEY}}
            outputs: {out: out/}
        """
    folder = project(manifest, {"write.py": script, ".netrc": "password first\n"})
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "First")
    (folder / ".netrc").write_text("password of-the-run\n")
    (folder / ".env").write_text("TOKEN=of-the-run\n")
    record = cli("run", folder, "--json").json
    first, again, remote = tmp_path / "run.crate.zip", tmp_path / "again.crate.zip", tmp_path / "remote"
    done = cli("export", "-o", first)
    said = "left out, as they hold secrets: artifacts/out/.env, artifacts/out/id_rsa, artifacts/out/large.bin"
    assert said in done.err
    assert "source.patch is left out, as it holds secrets; the project's files go along as they ran" in done.err
    assert cli("push", remote).status == 0
    for content in (first.read_bytes(), *(each.read_bytes() for each in remote.rglob("*") if each.is_file())):
        assert b"of-the-run" not in content
        assert b"hunter2" not in content
    elsewhere()
    folder.rename(tmp_path / "gone")
    assert cli("import", first).status == 0
    assert "source.patch" in cli("verify", "@last", "--json").json[0]["not_brought"]
    assert cli("verify", "--all").status == 0
    assert cli("export", "-o", again).status == 0
    assert first.read_bytes() == again.read_bytes()
    done = cli("reproduce", record["id"][:12], "--json")
    assert (done.status, done.json["verdict"]) == (0, "identical"), done.err


@pytest.mark.parametrize("what", ["pylock.toml", "source.patch", "artifacts/model/weights.txt"])
def test_a_run_of_which_something_is_lost_is_not_shared(
    committed: Path, cli: Any, own_home: Path, tmp_path: Path, what: str
) -> None:
    run_id = cli("run", "-e", "train", "--json").json["id"]
    folder = own_home / "runs" / run_id
    if what == "pylock.toml":
        record = json.loads((folder / "run.json").read_text())
        record["environment"] |= {"lock": what, "lock_sha256": "0" * 64}
        (folder / "run.json").write_text(json.dumps(record))
    else:
        (folder / what).unlink()
    for command in (("export", "-o", tmp_path / "run.crate.zip"), ("push", tmp_path / "remote")):
        refused = cli(*command)
        assert (refused.status, f"{what} is lost" in refused.err) == (125, True)
    assert not (tmp_path / "run.crate.zip").exists()
    assert not list(tmp_path.glob("remote/runs/*"))
    if what.startswith("artifacts"):
        assert cli("export", "--no-artifacts", "-o", tmp_path / "run.crate.zip").status == 0


def test_outputs_of_names_that_only_this_machine_keeps(project: Any, cli: Any, elsewhere: Any, tmp_path: Path) -> None:
    names = [b"back\\..\\slash", b"new\nline", b"tab\there", b"\x1b[2J", b"\xff", b"plain"]
    script = f"import os\nos.mkdir('out')\nfor each in {names!r}: open(b'out/' + each, 'w').write('x')\n"
    manifest = "environment: {system: {}}\nentry_points: {main: {command: [python, write.py], outputs: {out: out/}}}\n"
    record = cli("run", project(manifest, {"write.py": script.replace("back\\\\..", "back")}), "--json").json
    assert len(record["outputs"][0]["files"]) == len(names)
    first, again, remote = tmp_path / "run.crate.zip", tmp_path / "again.crate.zip", tmp_path / "remote"
    assert cli("export", "-o", first).status == 0
    assert cli("push", remote).status == 0
    for command in (("import", first), ("pull", remote)):
        home = elsewhere()
        done = cli(*command)
        assert done.status == 0, done.err
        assert [each.name for each in home.glob("runs/*/artifacts/out/*")] == ["plain"]
        assert len(cli("verify", "@last", "--json").json[0]["not_brought"]) == len(names) - 1
        assert cli("store", "check").out == "the store is sound\n"
        assert cli("show", "@last").status == 0
    assert cli("export", "-o", again).status == 0
    assert first.read_bytes() == again.read_bytes()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


@pytest.fixture
def large(project: Any, cli: Any) -> str:
    """A run whose artifact takes a while to be copied."""
    command = "open('big.bin', 'wb').truncate(300_000_000)"
    manifest = f"""
        environment: {{system: {{}}}}
        entry_points: {{main: {{command: [python, -c, "{command}"], outputs: {{big: big.bin}}}}}}
        """
    return str(cli("run", project(manifest), "--json").json["id"])


def test_a_killed_export_leaves_no_crate(large: str, cli: Any, start: Any, tmp_path: Path) -> None:
    target = tmp_path / "run.crate.zip"
    process = start("export", large, "-o", target)
    wait_until(lambda: any(tmp_path.glob(".*.part")), process)
    kill(process)
    assert not target.exists()
    assert any(tmp_path.glob(".*.part"))
    (tmp_path / ".mine.part").write_text("not an export's")
    assert cli("export", large, "-o", tmp_path / "another.crate.zip").status == 0
    assert [each.name for each in tmp_path.glob(".*.part")] == [".mine.part"]
    assert cli("export", large, "-o", target).status == 0


def test_a_killed_import_leaves_no_run(large: str, cli: Any, start: Any, elsewhere: Any, tmp_path: Path) -> None:
    crate = tmp_path / "run.crate.zip"
    cli("export", large, "-o", crate)
    home = elsewhere()
    process = start("import", crate)
    wait_until(lambda: any(home.glob("runs/.new-*/crate/artifacts/big.bin")), process)
    kill(process)
    assert cli("runs", "--json").json == []
    assert "1 run died before they began: `mlproj gc` removes what is left" in cli("store", "check").out
    assert cli("import", crate).status == 0
    assert [each.name for each in (home / "runs").iterdir()] == [large]
    assert cli("store", "check").out == "the store is sound\n"


def test_gc_removes_what_a_killed_import_left(large: str, cli: Any, start: Any, elsewhere: Any, tmp_path: Path) -> None:
    crate = tmp_path / "run.crate.zip"
    cli("export", large, "-o", crate)
    home = elsewhere()
    process = start("import", crate)
    wait_until(lambda: any(home.glob("runs/.new-*/crate/artifacts/big.bin")), process)
    assert cli("gc").status == 0
    assert any(home.glob("runs/.new-*/crate"))  # it lives yet
    kill(process)
    assert cli("gc").status == 0
    assert list((home / "runs").iterdir()) == []


def test_several_crates_one_of_them_none(trained: list[str], cli: Any, elsewhere: Any, tmp_path: Path) -> None:
    cli("export", trained[0], "-o", tmp_path / "a.zip")
    (tmp_path / "b.zip").write_text("nothing")
    cli("export", trained[2], "-o", tmp_path / "c.zip")
    elsewhere()
    done = cli("import", tmp_path / "a.zip", tmp_path / "b.zip", tmp_path / "c.zip", "--json")
    assert done.status == 2
    assert [each["id"] for each in done.json] == [trained[0], trained[2]]
    assert "b.zip cannot be imported: it is no archive" in done.err


def test_a_run_of_another_tool_of_which_little_is_told(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "crate").mkdir()
    graph = [
        {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}},
        {"@id": "./", "@type": "Dataset"},
        {"@id": "#run", "@type": "CreateAction", "name": "bare", "result": [{"@id": "#score"}]},
        {"@id": "#score", "@type": "PropertyValue", "name": "score", "value": 0.5},
    ]
    document = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}
    (tmp_path / "crate/ro-crate-metadata.json").write_text(json.dumps(document))
    assert cli("import", tmp_path / "crate").status == 0
    shown = cli("show", "bare").out
    assert [line.split(None, 1) for line in shown.splitlines() if "not told" in line][:2] == [
        ["started", "not told"],
        ["by", "not told"],
    ]
    for untrue in ("1970", "running", "exit status", "None"):
        assert untrue not in shown
    refused = cli("reproduce", "bare")
    assert (refused.status, "another tool ran it, whose command and environment are not known" in refused.err) == (
        125,
        True,
    )
    assert cli("runs").status == 0
    assert cli("plot", "bare", "score", "--x", "time").status == 0


VALIDATOR = Path(sys.executable).parent / "rocrate-validator"


def says(crate: Path, profile: str, cache: Path) -> subprocess.CompletedProcess[str]:
    options = ["--offline", "--cache-path", str(cache), "-l", "required", "--no-paging", "-v"]
    command = [str(VALIDATOR), "-y", "validate", *options, "-p", profile, str(crate)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The validator's cache of what it fetches, filled with RO-Crate's context as `rocrate` ships it.

    That one is of RO-Crate 1.3. What is meant is 1.1's, where these four terms have other addresses.
    """
    from io import BytesIO

    import requests
    import rocrate
    from requests.adapters import BaseAdapter
    from requests_cache import CachedSession
    from urllib3 import HTTPResponse

    context = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text())
    bioschemas = "https://bioschemas.org/"
    context["@context"] |= {
        "ComputationalWorkflow": f"{bioschemas}ComputationalWorkflow",
        "FormalParameter": f"{bioschemas}FormalParameter",
        "input": f"{bioschemas}ComputationalWorkflow#input",
        "output": f"{bioschemas}ComputationalWorkflow#output",
    }
    kind = {"Content-Type": "application/ld+json"}

    class Shipped(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response.url, response.request = 200, str(request.url), request
            response.headers.update(kind)
            body = BytesIO(json.dumps(context).encode())
            response.raw = HTTPResponse(body, kind, 200, preload_content=False, request_url=request.url)
            return response

        def close(self) -> None:
            pass

    cache = tmp_path_factory.mktemp("validator") / "http"
    session = CachedSession(cache_name=str(cache), backend="sqlite", expire_after=-1)
    session.mount("https://", Shipped())
    session.get("https://w3id.org/ro/crate/1.1/context")
    session.close()
    return cache


@pytest.mark.parametrize("run", ["better", "@last"])
def test_roc_validator_passes_it(trained: list[str], cli: Any, contexts: Path, tmp_path: Path, run: str) -> None:
    crate = tmp_path / "run.crate.zip"
    cli("export", run, "-o", crate)
    done = says(crate, "workflow-run-crate", contexts)
    assert (done.returncode, "RO-Crate is a valid workflow-run-crate" in done.stdout) == (0, True), done.stdout


def test_roc_validator_passes_a_run_without_its_source(trained: Any, cli: Any, contexts: Path, tmp_path: Path) -> None:
    Path("train.py").write_text("# another\n")
    crate = tmp_path / "run.crate.zip"
    cli("export", "better", "--no-artifacts", "-o", crate)
    done = says(crate, "process-run-crate", contexts)
    assert (done.returncode, "RO-Crate is a valid process-run-crate" in done.stdout) == (0, True), done.stdout


def test_roc_validator_finds_what_is_wrong(trained: list[str], cli: Any, contexts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "crate"
    cli("export", "better", "-o", folder)
    (folder / "source" / "mlproj.yaml").unlink()
    assert says(folder, "workflow-run-crate", contexts).returncode != 0


def test_an_imported_run_is_reproduced(committed: Path, cli: Any, elsewhere: Any, tmp_path: Path) -> None:
    record = cli("run", "-e", "train", "-P", "alpha=0.2", "--json").json
    cli("export", "-o", tmp_path / "run.crate.zip")
    elsewhere()
    committed.rename(tmp_path / "gone")
    cli("import", tmp_path / "run.crate.zip")
    done = cli("reproduce", record["id"][:12], "--json")
    assert (done.status, done.json["verdict"]) == (0, "identical"), done.err


def test_imports_at_once(trained: list[str], cli: Any, start: Any, elsewhere: Any, tmp_path: Path) -> None:
    cli("export", "better", "-o", tmp_path / "run.crate.zip")
    elsewhere()
    processes = [start("import", tmp_path / "run.crate.zip") for _ in range(4)]
    said = sorted(process.communicate(timeout=60)[0].split(" ", 1)[1] for process in processes)
    assert said == ["is here already, and is the same\n"] * 3 + ["is imported\n"]
    assert cli("store", "check").out == "the store is sound\n"
