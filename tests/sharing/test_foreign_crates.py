"""Crates of other tools: taken as far as they describe a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.errors import UsageError
from mlproj.runs.metric_history import metric_history
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, close_store, load, open_store
from mlproj.sharing.importing import import_crate

Write = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = open_store(tmp_path / "store")
    yield opened
    close_store(opened)


@pytest.fixture
def crate(tmp_path: Path) -> Write:
    """Write a crate as a folder: its entities, and its files by name."""

    def write(*entities: dict[str, Any], files: dict[str, str] | None = None, **root: Any) -> Path:
        folder = tmp_path / "crate"
        folder.mkdir()
        descriptor = {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        }
        graph = [descriptor, {"@id": "./", "@type": "Dataset", **root}, *entities]
        document = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}
        (folder / "ro-crate-metadata.json").write_text(json.dumps(document))
        for name, text in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    return write


def ref(*identifiers: str) -> list[dict[str, str]]:
    return [{"@id": each} for each in identifiers]


# As the Process Run Crate's own example has it: an image made sepia by ImageMagick.
PROCESS = (
    {
        "@id": "#SepiaConversion_1",
        "@type": "CreateAction",
        "name": "Convert dog image to sepia",
        "description": "convert -sepia-tone 80% pics/2017-06-11%2012.56.14.jpg pics/sepia_fence.jpg",
        "startTime": "2024-05-17T01:04:50+01:00",
        "endTime": "2024-05-17T01:04:52+01:00",
        "instrument": {"@id": "https://www.imagemagick.org/"},
        "object": ref("pics/2017-06-11%2012.56.14.jpg", "#tone"),
        "result": ref("pics/sepia_fence.jpg"),
        "agent": {"@id": "https://orcid.org/0000-0001-9842-9718"},
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
    },
    {"@id": "https://www.imagemagick.org/", "@type": "SoftwareApplication", "name": "ImageMagick", "version": "6.9.7"},
    {"@id": "#tone", "@type": "PropertyValue", "name": "sepia-tone", "value": "80%"},
    {"@id": "pics/2017-06-11%2012.56.14.jpg", "@type": "File", "name": "Original image"},
    {"@id": "pics/sepia_fence.jpg", "@type": "File", "name": "Edited image"},
    {"@id": "https://orcid.org/0000-0001-9842-9718", "@type": "Person", "name": "Stian Soiland-Reyes"},
)
PICTURES = {"pics/2017-06-11 12.56.14.jpg": "dog", "pics/sepia_fence.jpg": "brown dog"}


def imported(store: Store, path: Path) -> RunRecord:
    (arrived,) = import_crate(store, path)
    return load(store, arrived.id)


def test_a_process_run_crate(store: Store, crate: Write) -> None:
    run = imported(store, crate(*PROCESS, files=PICTURES, name="Dog pictures"))
    assert (run.name, run.project, run.entry_point) == ("Convert dog image to sepia", "Dog pictures", "ImageMagick")
    assert (run.status, run.user) == ("finished", "Stian Soiland-Reyes")
    assert (run.started_at, run.duration_s) == ("2024-05-17T00:04:50.000Z", 2.0)
    assert run.parameters == {"sepia-tone": "80%"}
    assert [each.path for each in run.inputs] == ["pics/2017-06-11 12.56.14.jpg"]
    assert [(each.name, each.files[0].path) for each in run.outputs] == [("Edited image", "pics/sepia_fence.jpg")]
    folder = store.folder / "runs" / run.id
    assert (folder / "artifacts/pics/sepia_fence.jpg").read_text() == "brown dog"
    assert (folder / "inputs/pics/2017-06-11 12.56.14.jpg").read_text() == "dog"
    assert run.notices == [
        "taken from a crate of another tool: 1 parameter, 0 metrics, 1 input, 1 output; it cannot be reproduced here"
    ]
    assert run.imported is not None


def test_again_brings_in_nothing(store: Store, crate: Write) -> None:
    folder = crate(*PROCESS, files=PICTURES)
    assert [each.what for each in import_crate(store, folder)] == ["new"]
    assert [each.what for each in import_crate(store, folder)] == ["same"]


# As cwltool's runs come from runcrate: the workflow's own run, that of a step, and the engine's.
WORKFLOW = (
    {
        "@id": "packed.cwl",
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "revsort",
        "input": ref("#in/reverse"),
        "output": ref("#out/output"),
    },
    {"@id": "#in/reverse", "@type": "FormalParameter", "additionalType": "Boolean", "name": "reverse_sort"},
    {"@id": "#out/output", "@type": "FormalParameter", "additionalType": "File", "name": "output"},
    {"@id": "#out/score", "@type": "FormalParameter", "additionalType": "Float", "name": "score"},
    {
        "@id": "#engine-run",
        "@type": "OrganizeAction",
        "instrument": {"@id": "#engine"},
        "result": ref("#run"),
    },
    {"@id": "#engine", "@type": "SoftwareApplication", "name": "cwltool 3.1"},
    {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "Run of workflow/packed.cwl",
        "startTime": "2018-10-25T15:46:35.211153",
        "endTime": "2018-10-25T15:46:43.020168",
        "instrument": {"@id": "packed.cwl"},
        "object": ref("#value/reverse", "327fc7", "gone.txt"),
        "result": ref("b9214658", "#score", "#verdict"),
    },
    {"@id": "#value/reverse", "@type": "PropertyValue", "exampleOfWork": {"@id": "#in/reverse"}, "value": "True"},
    {"@id": "#score", "@type": "PropertyValue", "exampleOfWork": {"@id": "#out/score"}, "value": "0.75"},
    {"@id": "#verdict", "@type": "PropertyValue", "name": "verdict", "value": "good"},
    {"@id": "327fc7", "@type": "Dataset", "hasPart": ref("327fc7/whale.txt", "327fc7/fish.txt")},
    {"@id": "327fc7/whale.txt", "@type": "File"},
    {"@id": "327fc7/fish.txt", "@type": "File"},
    {"@id": "gone.txt", "@type": "File"},
    {"@id": "b9214658", "@type": "File", "exampleOfWork": {"@id": "#out/output"}},
    {"@id": "#step-run", "@type": "CreateAction", "instrument": {"@id": "#rev"}, "result": ref("b9214658")},
    {"@id": "#rev", "@type": "SoftwareApplication", "name": "rev"},
)


def test_a_provenance_run_crate(store: Store, crate: Write) -> None:
    files = {"packed.cwl": "{}", "327fc7/whale.txt": "w", "327fc7/fish.txt": "f", "b9214658": "sorted"}
    run = imported(store, crate(*WORKFLOW, files=files, mainEntity={"@id": "packed.cwl"}))
    assert (run.entry_point, run.environment.managed_by) == ("revsort", "cwltool 3.1")
    assert run.parameters == {"reverse_sort": "True"}
    assert run.metrics == {"score": 0.75}
    assert [point.value for point in metric_history(store, run.id, "score")] == [0.75]
    assert [each.path for each in run.inputs] == ["327fc7/whale.txt", "327fc7/fish.txt"]
    assert [(each.name, each.path) for each in run.outputs] == [("output", "b9214658")]
    assert run.notices[1:] == [
        "not taken from the crate: 1 step, 1 result that is no number",
        "not in the crate: 1 file that it names (gone.txt)",
    ]


def test_each_action_is_a_run_where_there_is_no_workflow(store: Store, crate: Write) -> None:
    second = {**PROCESS[0], "@id": "#second", "actionStatus": "http://schema.org/FailedActionStatus", "error": "no ink"}
    arrived = import_crate(store, crate(second, *PROCESS, files=PICTURES))
    runs = sorted((load(store, each.id) for each in arrived), key=lambda run: run.status)
    assert [(run.status, run.error) for run in runs] == [("failed", "no ink"), ("finished", None)]


def test_a_crate_that_describes_no_run(store: Store, crate: Write) -> None:
    with pytest.raises(UsageError, match="the crate describes no run: it has no CreateAction"):
        import_crate(store, crate())


@pytest.mark.parametrize(
    "change",
    [
        {"startTime": "yesterday", "endTime": 7},
        {"object": "nothing", "result": 3, "agent": ["x"], "instrument": None},
        {"object": ref("#SepiaConversion_1", "nowhere"), "result": ref("./", "ro-crate-metadata.json")},
        {"name": ["a", "b"], "actionStatus": []},
    ],
)
def test_a_careless_crate_is_taken_as_far_as_it_goes(store: Store, crate: Write, change: dict[str, Any]) -> None:
    run = imported(store, crate({**PROCESS[0], **change}, *PROCESS[1:], files=PICTURES))
    assert run.status == "finished"
    assert load(store, run.id) == run


def test_what_a_crate_does_not_tell_is_not_made_up(store: Store, crate: Write) -> None:
    action = {"@id": "#run", "@type": "CreateAction", "name": "bare", "result": ref("#score")}
    score = {"@id": "#score", "@type": "PropertyValue", "name": "score", "value": "0.5"}
    run = imported(store, crate(action, score))
    assert (run.started_at, run.ended_at, run.duration_s, run.status, run.exit_status) == (
        "",
        None,
        None,
        "finished",
        None,
    )
    (notice,) = run.notices
    assert "; when it ran is not told in full; how it ended is not told; it cannot be reproduced here" in notice
    assert [point.value for point in metric_history(store, run.id, "score")] == [0.5]


@pytest.mark.parametrize("name", ["/data/out.csv", "//server/out.csv", "file:///data/out.csv"])
def test_a_file_of_the_machine_that_it_ran_on(store: Store, crate: Write, name: str) -> None:
    run = imported(
        store, crate({**PROCESS[0], "result": ref(name)}, *PROCESS[1:], {"@id": name, "@type": "File"}, files=PICTURES)
    )
    assert run.outputs == []
    assert run.notices[-1] == f"not in the crate: 1 file that it names ({name})"


def test_files_that_are_not_what_the_crate_says(store: Store, crate: Write) -> None:
    wrong = {**PROCESS[4], "sha256": "0" * 64}
    with pytest.raises(UsageError, match="`pics/sepia_fence.jpg` is damaged"):
        import_crate(store, crate(*PROCESS[:4], wrong, PROCESS[5], files=PICTURES))


def test_names_that_lead_out(store: Store, crate: Write) -> None:
    entity = {"@id": "../../outside", "@type": "File"}
    with pytest.raises(UsageError, match="outside of the project"):
        import_crate(store, crate(entity, {**PROCESS[0], "result": ref("../../outside")}, files={}))
