"""Crates and remotes that would do harm, or are not what they say: refused, with nothing written outside."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.errors import UsageError
from mlproj.runs.layout import RunFiles
from mlproj.runs.record import FileRecord, OutputRecord, RunRecord, SourceRecord
from mlproj.runs.store import Store, close_store, open_store
from mlproj.sharing.contents import Choice, ProjectFiles, contents_of
from mlproj.sharing.crate_writing import write_crate
from mlproj.sharing.importing import import_crate

RUN_ID = "0193a1b2c3d47e5f8a9b0c1d2e3f4a5b"
Change = Callable[[dict[str, bytes]], None]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = open_store(tmp_path / "store")
    yield opened
    close_store(opened)


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    """A sound crate of a small run."""
    files = RunFiles(tmp_path / "origin")
    (files.artifacts / "model").mkdir(parents=True)
    (files.artifacts / "model/weights.txt").write_text("alpha=0.1")
    files.log.write_text("trained\n")
    files.patch.write_text("diff --git a/a b/a\n")
    files.source.mkdir()
    (files.source / "mlproj.yaml").write_text("entry_points: {main: {command: [echo]}}\n")
    kept = FileRecord("model/weights.txt", 9, hashlib.sha256(b"alpha=0.1").hexdigest())
    record = RunRecord(
        RUN_ID,
        project="wine",
        entry_point="main",
        status="finished",
        exit_status=0,
        started_at="2026-01-02T03:04:05.678Z",
        ended_at="2026-01-02T03:04:06.678Z",
        parameters={"alpha": 0.1},
        source=SourceRecord(patch="source.patch", patch_sha256=hashlib.sha256(files.patch.read_bytes()).hexdigest()),
        outputs=[OutputRecord("model", "model/", files=[kept])],
    )
    target = tmp_path / "run.crate.zip"
    project = ProjectFiles(files.source, ("mlproj.yaml",))
    write_crate(contents_of(record, files, project, None, Choice()), target, replace=False)
    return target


def changed(crate: Path, change: Change, *, described: bool = True) -> Path:
    """The crate with other files; with ``described`` its metadata gives their digests, as a forger's would."""
    with zipfile.ZipFile(crate) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    if described:
        metadata = json.loads(files["ro-crate-metadata.json"])
        for entity in metadata["@graph"]:
            if entity["@id"] in files and "sha256" in entity:
                content = files[entity["@id"]]
                entity |= {"sha256": hashlib.sha256(content).hexdigest(), "contentSize": str(len(content))}
        files["ro-crate-metadata.json"] = json.dumps(metadata).encode()
    with zipfile.ZipFile(crate, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return crate


def refused(store: Store, crate: Path) -> str:
    """What is said of a crate that is refused, which leaves nothing in the store."""
    with pytest.raises(UsageError) as raised:
        import_crate(store, crate)
    assert list((store.folder / "runs").iterdir()) == []
    assert not list(store.folder.parent.rglob("outside*"))
    return str(raised.value)


def record_with(**values: Any) -> Change:
    """Change values of the record, by their dotted names."""

    def change(files: dict[str, bytes]) -> None:
        record = json.loads(files["run.json"])
        for name, value in values.items():
            *parents, last = name.split("__")
            place = record
            for each in parents:
                place = place[int(each)] if each.isdigit() else place[each]
            place[last] = value
        files["run.json"] = json.dumps(record).encode()

    return change


def test_a_sound_crate_is_imported(store: Store, crate: Path) -> None:
    (arrived,) = import_crate(store, crate)
    assert (arrived.id, arrived.what, arrived.notices) == (RUN_ID, "new", ())
    assert sorted(path.name for path in (store.folder / "runs" / RUN_ID).iterdir()) == [
        *("alive.lock", "artifacts", "output.log", "run.json", "source", "source.patch"),
    ]


@pytest.mark.parametrize("name", ["run.json", "output.log", "artifacts/model/weights.txt", "source/mlproj.yaml"])
def test_a_file_that_was_changed(store: Store, crate: Path, name: str) -> None:
    def change(files: dict[str, bytes]) -> None:
        files[name] = files[name].replace(b"a", b"e", 1)

    assert f"`{name}` is damaged: its SHA-256 is not the one in" in refused(
        store, changed(crate, change, described=False)
    )


@pytest.mark.parametrize("name", ["artifacts/model/weights.txt", "source.patch"])
def test_a_file_that_was_changed_and_described_anew(store: Store, crate: Path, name: str) -> None:
    said = refused(store, changed(crate, lambda files: files.update({name: b"alpha=9.9"})))
    assert f"`{name}` is damaged: its SHA-256 is not the one in the run's record" in said


def test_a_file_that_is_missing(store: Store, crate: Path) -> None:
    said = refused(store, changed(crate, lambda files: files.pop("artifacts/model/weights.txt") and None))
    assert "`artifacts/model/weights.txt` is missing" in said


def test_a_crate_of_ours_without_its_record(store: Store, crate: Path) -> None:
    said = refused(store, changed(crate, lambda files: files.pop("run.json") and None))
    assert "it is damaged: `run.json` is missing" in said


def test_a_crate_of_ours_with_the_record_of_another_run(store: Store, crate: Path) -> None:
    said = refused(store, changed(crate, record_with(id=RUN_ID.replace("0193", "0194"))))
    assert "it is damaged: its run.json is of another run than its ro-crate-metadata.json" in said


def test_a_file_that_is_no_part_of_the_run_is_left_out(store: Store, crate: Path) -> None:
    changed(crate, lambda files: files.update({"notes.txt": b"mine", "artifacts/extra": b"not described"}))
    (arrived,) = import_crate(store, crate)
    assert "2 files of the crate that are no part of the run were left out" in arrived.notices[0]
    assert not (store.folder / "runs" / RUN_ID / "artifacts/extra").exists()


@pytest.mark.parametrize("name", ["source/.git/config", "source/.Git/hooks/post-checkout", "source/lib/.git"])
def test_what_git_would_take_orders_from_is_left_out(store: Store, crate: Path, name: str) -> None:
    def change(files: dict[str, bytes]) -> None:
        metadata = json.loads(files["ro-crate-metadata.json"])
        metadata["@graph"].append({"@id": name, "@type": "File"})
        files["ro-crate-metadata.json"] = json.dumps(metadata).encode()
        files[name] = b"[core]\nfsmonitor = touch outside\n"

    (arrived,) = import_crate(store, changed(crate, change))
    assert name in arrived.notices[0]
    assert not (store.folder / "runs" / RUN_ID / name).exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"id": "../outside"}, "no record"),
        ({"id": "0193"}, "no record: its id"),
        ({"parent": "../outside"}, "no record: its id, or its parent's"),
        ({"parent": RUN_ID}, "the run is its own parent"),
        ({"duration_s": -1}, "duration_s is no length of time: -1"),
        ({"duration_s": float("inf")}, "duration_s is no length of time: inf"),
        ({"duration_s": "nan"}, "duration_s is no length of time: nan"),
        ({"status": "running"}, "its run has not ended"),
        ({"status": "splendid"}, "damaged"),
        ({"id": "f" * 32}, "the time in its id is none"),
        ({"exit_status": 10**30}, "a number of more than 64 bits"),
        ({"duration_s": 10**30}, "a number of more than 64 bits"),
        ({"resources__max_memory_bytes": -(10**30)}, "a number of more than 64 bits"),
        ({"metrics": {"rmse": 10**400}}, "no record"),
        ({"started_at": "yesterday"}, "started_at is no time of ISO 8601: `yesterday`"),
        ({"ended_at": "10000-01-01T00:00:00Z"}, "ended_at is no time of ISO 8601"),
        ({"parameters": ["alpha"]}, "damaged"),
        ({"tags": {"a": ["b"]}}, "damaged: tags.a"),
        ({"source__patch": "../../outside"}, "outside of the project"),
        ({"source__patch": "/etc/passwd"}, "absolute name"),
        ({"source__patch": "run.json"}, "no possible name"),
        ({"environment__lock": "../outside"}, "outside of the project"),
        ({"environment__lock": "output.log"}, "no possible name"),
        ({"environment__lock": "alive.lock"}, "no possible name"),
        ({"outputs__0__files": [{"path": "../../outside", "size": 1, "sha256": "0"}]}, "outside of the project"),
        ({"outputs__0__files": [{"path": "", "size": 1, "sha256": "0"}]}, "no possible name"),
    ],
)
def test_records_that_would_do_harm(store: Store, crate: Path, values: dict[str, Any], said: str) -> None:
    def change(files: dict[str, bytes]) -> None:
        record_with(**values)(files)
        # As a crate of mlproj's, whatever its id.
        was = files["ro-crate-metadata.json"].decode()
        files["ro-crate-metadata.json"] = was.replace(f"#run-{RUN_ID}", f"#run-{values.get('id', RUN_ID)}").encode()

    assert said in refused(store, changed(crate, change))


def test_a_record_of_a_newer_mlproj_is_told(store: Store, crate: Path) -> None:
    (arrived,) = import_crate(store, changed(crate, record_with(schema_version=99, novelty="kept")))
    (notice,) = arrived.notices
    assert notice.startswith("a newer mlproj recorded it (its form is 99, and this mlproj knows those up to 1)")
    assert json.loads((store.folder / "runs" / RUN_ID / "run.json").read_text())["novelty"] == "kept"


@pytest.mark.parametrize("place", [".", ".."])
def test_a_folder_that_holds_the_store(store: Store, place: str) -> None:
    (store.folder / place / "ro-crate-metadata.json").write_text("{}")
    assert "it holds the store that runs are imported into" in refused(store, store.folder / place)
    with pytest.raises(UsageError, match="holds the store"):
        import_crate(store, store.folder / "runs")


def test_a_folder_that_is_no_crate_is_not_read(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "a\\b").touch()  # which no crate may have
    assert "it is no RO-Crate: it has no ro-crate-metadata.json" in refused(store, folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../outside.txt", "outside of the project"),
        ("/tmp/outside.txt", "absolute name"),
        ("artifacts\\outside.txt", "backslash"),
        ("artifacts/MODEL/outside.txt", "differ only in case"),
        ("artifacts/model", "that is a folder"),
        ("artifacts/\x1b[2Jx", "characters in its name"),
    ],
)
def test_names_that_lead_out(store: Store, crate: Path, name: str, said: str) -> None:
    with zipfile.ZipFile(crate, "a") as archive:
        archive.writestr(name, "x")
    said_of_it = refused(store, crate)
    assert "cannot be imported" in said_of_it
    assert said in said_of_it or "is there twice" in said_of_it


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../outside", "../run.json/../../x"])
def test_links_that_lead_out(store: Store, crate: Path, target: str) -> None:
    with zipfile.ZipFile(crate, "a") as archive:
        info = zipfile.ZipInfo("artifacts/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, target)
    assert "points out of the project" in refused(store, crate)


def test_a_link_in_place_of_a_file(store: Store, crate: Path) -> None:
    with zipfile.ZipFile(crate) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(crate, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            if name == "output.log":
                info.external_attr, content = (stat.S_IFLNK | 0o777) << 16, b"run.json"
            archive.writestr(info, content)
    assert "`output.log` is a link, unlike what the crate says" in refused(store, crate)


def test_a_folder_with_a_link_that_leads_out(store: Store, crate: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with zipfile.ZipFile(crate) as archive:
        archive.extractall(folder)
    (tmp_path / "secret").write_text("mine")
    (folder / "output.log").unlink()
    (folder / "output.log").symlink_to(tmp_path / "secret")
    assert "points out of the project" in refused(store, folder)


def test_a_bomb(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("ro-crate-metadata.json", b" " * 510_000_000)
    assert "looks like a bomb" in refused(store, path)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (b"", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b"{}", "is damaged"),
        (b'{"@context": "x", "@graph": [1]}', "is damaged"),
        (b'{"@context": "x", "@graph": [{"@id": "a"}]}', "is damaged"),
        (None, "it is no RO-Crate: it has no ro-crate-metadata.json"),
    ],
)
def test_what_is_no_crate(store: Store, tmp_path: Path, metadata: bytes | None, said: str) -> None:
    path = tmp_path / "crate.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("run.json", "{}")
        if metadata is not None:
            archive.writestr("ro-crate-metadata.json", metadata)
    assert said in refused(store, path)


def test_an_archive_cut_short(store: Store, crate: Path) -> None:
    crate.write_bytes(crate.read_bytes()[:-100])
    assert "cannot be imported: it is damaged" in refused(store, crate)
    buffer = io.BytesIO()
    crate.write_bytes(buffer.getvalue())
    assert "it is empty" in refused(store, crate)
