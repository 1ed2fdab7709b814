"""The ``ro-crate-metadata.json`` of a run: a Workflow Run RO-Crate, made of nothing but the record and the files.

Profiles: https://w3id.org/ro/wfrun/workflow/0.5 on RO-Crate 1.1; a run without its manifest is a Process Run Crate,
https://w3id.org/ro/wfrun/process/0.5.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from mlproj.files import finite
from mlproj.manifest.finding import MANIFEST_NAME
from mlproj.runs.record import OutputRecord, RunRecord
from mlproj.sharing.contents import RECORD_NAME, Contents, SharedFile
from mlproj.text import plural

METADATA_NAME = "ro-crate-metadata.json"
PROCESS_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
WORKFLOW_PROFILE = "https://w3id.org/ro/wfrun/workflow/0.5"
WORKFLOW_CRATE_PROFILE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
LINK_FORMAT = "inode/symlink"
_TERMS = "https://w3id.org/ro/terms/workflow-run#"
_FORMAL_PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
_WORKFLOW = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_PROFILES = {
    PROCESS_PROFILE: ("Process Run Crate", "0.5"),
    WORKFLOW_PROFILE: ("Workflow Run Crate", "0.5"),
    WORKFLOW_CRATE_PROFILE: ("Workflow RO-Crate", "1.0"),
}
RECORD_TITLE = "The run's record, as mlproj keeps it"
_NAMES = {
    RECORD_NAME: (RECORD_TITLE, "application/json"),
    "output.log": ("What the command wrote to stdout and stderr", "text/plain"),
    "metrics.jsonl": ("The metrics over time, as JSON lines", "application/jsonl"),
    "resources.jsonl": ("What the processes took over time, as JSON lines", "application/jsonl"),
}
_LICENSE = re.compile(r"(?i)source/(LICEN[CS]E|COPYING)(\.[a-z]+)?")


def metadata_of(contents: Contents, record_sha256: str) -> bytes:
    """The metadata's JSON: the same bytes whenever and wherever it is made of the same contents."""
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms = {name: f"{_TERMS}{name}" for name in ("sha256", "environment", "containerImage")}
    manifest = _manifest_of(contents)
    files = {
        RECORD_NAME: _file(crate, RECORD_NAME, len(contents.record_bytes), record_sha256),
        **{each.path: _shared_file(crate, each, manifest) for each in contents.files},
    }
    _describe_root(crate, contents, manifest)
    instrument = _workflow(crate, contents.record, manifest, files) if manifest else _application(crate, contents)
    _describe_action(crate, contents, instrument, files)
    # Written here: of the same entities one version of the library makes other bytes than the next.
    return (json.dumps(crate.metadata.generate(), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _manifest_of(contents: Contents) -> str | None:
    from pathlib import PurePosixPath

    names = [each.path for each in contents.files if each.path.count("/") == 1 and each.path.startswith("source/")]
    if f"source/{MANIFEST_NAME}" in names:
        return f"source/{MANIFEST_NAME}"
    return next((name for name in names if PurePosixPath(name).name.lower() == "mlproject"), None)


def _file(crate: Any, path: str, size: int, sha256: str, **properties: Any) -> Any:
    name, encoding = _NAMES.get(path, (path.rpartition("/")[2], None))
    described = {"name": name, "contentSize": str(size), "sha256": sha256, **properties}
    if encoding is not None:
        described["encodingFormat"] = encoding
    return crate.add_file(dest_path=path, properties=described)


def _shared_file(crate: Any, shared: SharedFile, manifest: str | None) -> Any:
    properties: dict[str, Any] = {"encodingFormat": LINK_FORMAT} if shared.target else {}
    if shared.path == manifest:
        properties["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    return _file(crate, shared.path, shared.size, shared.sha256, **properties)


def _describe_root(crate: Any, contents: Contents, manifest: str | None) -> None:
    record, root = contents.record, crate.root_dataset
    profiles = [PROCESS_PROFILE, *([WORKFLOW_PROFILE, WORKFLOW_CRATE_PROFILE] if manifest else [])]
    root["conformsTo"] = [
        _thing(crate, each, "CreativeWork", name=_PROFILES[each][0], version=_PROFILES[each][1]) for each in profiles
    ]
    root["name"] = record.name or f"{record.project or 'run'}: {record.entry_point} {record.id[:12]}"
    root["description"] = " ".join([_summary(record), *_lacking(contents, manifest)])
    root["datePublished"] = _time(record.ended_at or record.started_at or "1970-01-01T00:00:00Z")
    if record.user:
        root["author"] = _person(crate, record.user)
    license_file = next((each.path for each in contents.files if _LICENSE.fullmatch(each.path)), None)
    if license_file is not None:
        root["license"] = crate.dereference(quote(license_file))
    else:
        said = "No licence is stated: ask whoever the run comes from."
        root["license"] = _thing(crate, "#licence", "CreativeWork", name="No licence is stated", description=said)
    if record.tags:
        root["keywords"] = [f"{name}: {value}" if value else name for name, value in record.tags.items()]


def _time(text: str) -> str:
    # Both are ISO 8601; this one is what roc-validator knows.
    return text.replace("Z", "+00:00")


def _person(crate: Any, name: str) -> Any:
    return _thing(crate, f"#user-{quote(name, safe='')}", "Person", name=name)


def _summary(record: RunRecord) -> str:
    what = f"entry point {record.entry_point} of {record.project}" if record.entry_point else record.project
    return f"Run {record.id}, {record.status}: {what or 'a command'}."


def _lacking(contents: Contents, manifest: str | None) -> list[str]:
    """What of the run is not in the crate, as its contents themselves tell."""
    there = {each.path for each in contents.files}
    recorded = {f"artifacts/{each.path}" for output in contents.record.outputs for each in output.files}
    lacking = [] if any(each.startswith("source/") for each in there) else ["The project's files are not in it."]
    if lacking == [] and manifest is None:
        lacking.append("The project has no manifest.")
    if missing := recorded - there:
        lacking.append(f"{plural(len(missing), 'file')} of its outputs are not in it, whose digests are in run.json.")
    return lacking


def _thing(crate: Any, identifier: str, kind: str, **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))


def _workflow(crate: Any, record: RunRecord, manifest: str, files: dict[str, Any]) -> Any:
    workflow = files[manifest]
    crate.mainEntity = workflow
    workflow["name"] = record.project or manifest
    workflow["conformsTo"] = {"@id": _WORKFLOW}
    is_own = manifest.endswith(MANIFEST_NAME)
    identifier, name = ("#mlproj", "mlproj") if is_own else ("#MLproject", "MLproject")
    workflow["programmingLanguage"] = _thing(crate, identifier, "ComputerLanguage", name=name)
    if record.source.commit is not None:
        workflow["version"] = record.source.commit
    workflow["input"] = [
        _thing(
            crate,
            _parameter_id(name),
            "FormalParameter",
            name=name,
            additionalType=_kind_of(value),
            conformsTo={"@id": _FORMAL_PARAMETER},
            workExample={"@id": _value_id(name)},
        )
        for name, value in record.parameters.items()
    ]
    workflow["output"] = [_output_parameter(crate, output, files) for output in record.outputs if output.name]
    return workflow


def _output_parameter(crate: Any, output: OutputRecord, files: dict[str, Any]) -> Any:
    there = [files[f"artifacts/{each.path}"] for each in output.files if f"artifacts/{each.path}" in files]
    parameter = _thing(
        crate,
        f"#output-{quote(output.name, safe='')}",
        "FormalParameter",
        name=output.name,
        additionalType="File",
        conformsTo={"@id": _FORMAL_PARAMETER},
    )
    if there:
        parameter["workExample"] = there
        for each in there:
            each.append_to("exampleOfWork", parameter)
    return parameter


def _application(crate: Any, contents: Contents) -> Any:
    """What was executed, where the crate has no manifest to say it."""
    record = contents.record
    name = record.entry_point or record.project or "command"
    return _thing(crate, "#command", "SoftwareApplication", name=name, description=" ".join(record.command.argv))


def _describe_action(crate: Any, contents: Contents, instrument: Any, files: dict[str, Any]) -> None:
    record = contents.record
    action = _thing(crate, f"#run-{record.id}", "CreateAction", name=record.name or f"Run {record.id}")
    crate.root_dataset["mentions"] = [action]
    action["instrument"] = instrument
    if record.user:
        action["agent"] = _person(crate, record.user)
    if record.started_at:
        action["startTime"] = _time(record.started_at)
    if record.ended_at:
        action["endTime"] = _time(record.ended_at)
    action["actionStatus"] = f"http://schema.org/{_STATUSES.get(record.status, 'FailedActionStatus')}"
    if record.status != "finished":
        action["error"] = record.error or f"{record.status}, exit status {record.exit_status}"
    if record.command_line:
        action["description"] = record.command_line
    inputs = [entity for path, entity in files.items() if path.startswith("inputs/")]
    declared = {each.path for each in record.inputs}
    inputs += [files[f"source/{path}"] for path in sorted(declared) if f"source/{path}" in files]
    action["object"] = [*(_parameter(crate, name, value) for name, value in record.parameters.items()), *inputs]
    results = [entity for path, entity in files.items() if path.startswith("artifacts/")]
    results += [files[name] for name in ("output.log", "metrics.jsonl") if name in files]
    action["result"] = [*results, *(_metric(crate, name, value) for name, value in record.metrics.items())]
    action["environment"] = [
        _thing(crate, f"#variable-{quote(name, safe='')}", "PropertyValue", name=name, value=value)
        for name, value in record.variables.items()
    ]
    for name in [name for name in ("object", "result", "environment") if not action.get(name)]:
        del action[name]


_STATUSES = {"finished": "CompletedActionStatus"}


def _parameter(crate: Any, name: str, value: Any) -> Any:
    said = finite(value) if isinstance(value, (str, bool, int, float)) else _as_text(value)
    entity = _thing(crate, _value_id(name), "PropertyValue", name=name, value=said)
    if _parameter_id(name) in crate:
        entity["exampleOfWork"] = {"@id": _parameter_id(name)}
    return entity


def _metric(crate: Any, name: str, value: float) -> Any:
    return _thing(crate, f"#metric-{quote(name, safe='')}", "PropertyValue", name=name, value=finite(value))


def _as_text(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, default=str)


def _parameter_id(name: str) -> str:
    return f"#parameter-{quote(name, safe='')}"


def _value_id(name: str) -> str:
    return f"#value-{quote(name, safe='')}"


def _kind_of(value: Any) -> str:
    """The type of a value as schema.org has it. The manifest's own may say more, and lies beside it."""
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int):
        return "Integer"
    return "Float" if isinstance(value, float) else "Text"
