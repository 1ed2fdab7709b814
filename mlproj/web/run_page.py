"""The pages of one run: overview, metrics, log, source, environment, artifacts, resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from mlproj.runs.curve_points import metric_summaries
from mlproj.runs.database import explained
from mlproj.runs.find import find
from mlproj.runs.identifiers import is_run_id
from mlproj.runs.index import number_of
from mlproj.runs.layout import RunFiles
from mlproj.runs.record import RunRecord
from mlproj.runs.samples import read_samples
from mlproj.runs.spark import spark_path
from mlproj.runs.store import Store, files_of, load, shown_id
from mlproj.runs.table import TableRun, sampled_curves
from mlproj.tracking.remote.address import page_of
from mlproj.web.artifacts import Entry, artifact_tree, files_in, open_artifact, read_chunks, zip_chunks
from mlproj.web.errors import PageError
from mlproj.web.pages import page
from mlproj.web.patches import patch_lines
from mlproj.web.previews import preview_of, shown_type
from mlproj.web.run_facts import command_again, commit_address, parameters_of
from mlproj.web.security import ARTIFACT_POLICY
from mlproj.web.stores import Site, reading

TABS = ("overview", "metrics", "log", "source", "environment", "artifacts", "resources")
_MOST_CHILDREN = 100
_MOST_PATCH = 2 * 1024 * 1024


def record_of(store: Store | None, run_id: str) -> RunRecord:
    """The record of a run by its whole id. Raises PageError when there is none, StoreError."""
    if store is None or not is_run_id(run_id) or number_of(store.connection, run_id) == -1:
        raise PageError(404, "There is no such run.", "It may have been removed for good by `mlproj gc`.")
    return load(store, run_id)


def go_to_run(site: Site, request: Request) -> Response:
    """To the page of the run that a text means, as on the command line: an id's beginning, a name, ``@last``."""
    name = request.query_params.get("run", "").strip()
    with reading(site) as store:
        if store is None or not name:
            return RedirectResponse("/", status_code=303)
        return RedirectResponse(f"/runs/{find(store, name).id}", status_code=303)


def run_page(site: Site, request: Request) -> Response:
    """One of the pages of a run."""
    tab = request.path_params.get("tab", "overview")
    if tab not in TABS:
        raise PageError(404, "There is no such page of a run.", f"There are {', '.join(TABS)}.")
    with reading(site) as store:
        record = record_of(store, request.path_params["run"])
        assert store is not None
        files = files_of(store, record.id)
        # While it runs the artifacts are on their way, and the record does not have them yet.
        return page(
            site,
            f"run_{tab}.html",
            title=record.name or record.id[:12],
            run=record,
            short=shown_id(store, record.id),
            tab=tab,
            tabs=TABS,
            again=command_again(record),
            **_OF_TAB[tab](store, record, files, request),
        )


def _overview(store: Store, record: RunRecord, _files: RunFiles, _request: Request) -> dict[str, Any]:
    summaries = metric_summaries(store, record.id)
    return {
        "parameters": parameters_of(record),
        "metrics": summaries,
        "sparks": _sparks(store, record, [each.name for each in summaries]),
        "drawn": [each.name for each in summaries if each.points > 1][:6],
        "children": _children(store, record),
        "parent": _parent(store, record),
        "counterpart": _counterpart(record),
    }


def _sparks(store: Store, record: RunRecord, names: list[str]) -> dict[str, str]:
    run = TableRun(number_of(store.connection, record.id), record.id, {})
    return {name: spark_path(sampled_curves(store, [run], name).get(run.number, [])) for name in names[:200]}


def _children(store: Store, record: RunRecord) -> list[tuple[str, str, str]]:
    with explained(store.folder):
        statement = "SELECT id, name, status FROM runs WHERE parent = ? AND deleted_at IS NULL ORDER BY id LIMIT ?"
        return store.connection.execute(statement, (record.id, _MOST_CHILDREN)).fetchall()


def _parent(store: Store, record: RunRecord) -> str | None:
    if record.parent is None or number_of(store.connection, record.parent) == -1:
        return None
    with explained(store.folder):
        name = store.connection.execute("SELECT name FROM runs WHERE id = ?", (record.parent,)).fetchone()[0]
    return name or shown_id(store, record.parent)


def _counterpart(record: RunRecord) -> str | None:
    """Where else the run is: a page's address, or the store's URI and the id there."""
    return page_of(record.tracking) if record.tracking is not None and record.tracking.run_id else None


def _metrics(store: Store, record: RunRecord, _files: RunFiles, _request: Request) -> dict[str, Any]:
    return {"metrics": metric_summaries(store, record.id)}


def _log(_store: Store, _record: RunRecord, files: RunFiles, _request: Request) -> dict[str, Any]:
    return {"size": files.log.stat().st_size if files.log.exists() else 0}


def _source(_store: Store, record: RunRecord, files: RunFiles, _request: Request) -> dict[str, Any]:
    remote = record.source.remote or ""
    web = remote if urlsplit(remote).scheme in ("http", "https") else None
    patch = own_text(files, record.source.patch, _MOST_PATCH)
    return {
        "commit_address": commit_address(record.source),
        "remote_address": web,
        "patch": patch_lines(patch) if patch is not None else None,
        "cut": patch is not None and len(patch) >= _MOST_PATCH,
    }


def _environment(_store: Store, record: RunRecord, files: RunFiles, _request: Request) -> dict[str, Any]:
    return {"lock": own_text(files, record.environment.lock, _MOST_PATCH)}


def own_text(files: RunFiles, name: str | None, most: int) -> str | None:
    """The text of one of the run's own files, such as its patch, by the name that its record has."""
    if name is None:
        return None
    try:
        with open_artifact(files.folder, name) as stream:
            return stream.read(most).decode("utf-8", "replace")
    except PageError:
        return None


def _artifacts(_store: Store, record: RunRecord, files: RunFiles, request: Request) -> dict[str, Any]:
    tree = artifact_tree(files.artifacts)
    listed = list(files_in(tree))
    # A name of bytes that are no UTF-8 is known here by what Python has for such bytes.
    asked = parse_qs(request.scope["query_string"].decode("latin-1"), errors="surrogateescape").get("path")
    path = asked[0] if asked else listed[0].path if listed else ""
    preview, size = None, 0
    if path:
        with open_artifact(files.artifacts, path) as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            preview = preview_of(path, stream, size)
    digests = {file.path: file.sha256 for output in record.outputs for file in output.files}
    return {
        "tree": tree,
        "path": path,
        "preview": preview,
        "size": size,
        "sha256": digests.get(path),
        "total": sum(each.size for each in listed),
        "count": len(listed),
    }


def _resources(_store: Store, _record: RunRecord, files: RunFiles, _request: Request) -> dict[str, Any]:
    return {"samples": len(read_samples(files.samples))}


_OF_TAB: dict[str, Callable[[Store, RunRecord, RunFiles, Request], dict[str, Any]]] = {
    "overview": _overview,
    "metrics": _metrics,
    "log": _log,
    "source": _source,
    "environment": _environment,
    "artifacts": _artifacts,
    "resources": _resources,
}


def artifact_file(site: Site, request: Request) -> Response:
    """The bytes of an artifact: to keep, or, with ``show`` in the address, to be seen where it can do nothing."""
    path = request.path_params["path"]
    stream = open_artifact(_folder(site, request).artifacts, path)
    kind = "text/html; charset=utf-8" if path.lower().endswith((".html", ".htm")) else shown_type(path)
    shown = "show" in request.query_params and kind is not None
    headers = {
        "content-security-policy": ARTIFACT_POLICY,
        "content-disposition": _disposition("inline" if shown else "attachment", path.rpartition("/")[2]),
        "x-frame-options": "SAMEORIGIN",
    }
    return _ranged(stream, request, kind if shown and kind else "application/octet-stream", headers)


def _ranged(stream: Any, request: Request, kind: str, headers: dict[str, str]) -> Response:
    """The bytes of an open file, or the one range of them that was asked for: films and sounds are sought in."""
    size = stream.seek(0, 2)
    start, end, status = 0, size, 200
    unit, _, asked = request.headers.get("range", "").partition("=")
    first, dash, last = asked.partition("-")
    if unit == "bytes" and dash and (first.isdigit() or (not first and last.isdigit())):
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last.isdigit() else size
        if start >= end:
            stream.close()
            return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
        status = 206
        headers = {**headers, "content-range": f"bytes {start}-{end - 1}/{size}"}
    headers = {**headers, "accept-ranges": "bytes", "content-length": str(end - start)}
    if request.method == "HEAD":
        stream.close()
        return Response(status_code=status, headers=headers, media_type=kind)
    return StreamingResponse(read_chunks(stream, start, end), status, headers, media_type=kind)


def _disposition(how: str, name: str) -> str:
    # RFC 6266: the name in UTF-8, where nothing of it can end the header.
    return f"{how}; filename*=UTF-8''{quote(name.encode('utf-8', 'surrogateescape'), safe='')}"


def artifacts_zip(site: Site, request: Request) -> Response:
    """All artifacts of a run, or those below a folder, as a zip that is made as it is sent."""
    folder = _folder(site, request).artifacts
    below = request.query_params.get("path", "").strip("/")
    entries: list[Entry] = artifact_tree(folder)
    for part in below.split("/") if below else ():
        found = next((each for each in entries if each.name == part and each.kind == "folder"), None)
        if found is None:
            raise PageError(404, "There is no such folder.")
        entries = found.entries
    name = f"{request.path_params['run'][:12]}-{below.replace('/', '-') or 'artifacts'}.zip"
    return StreamingResponse(
        zip_chunks(folder, entries),
        headers={"content-disposition": _disposition("attachment", name)},
        media_type="application/zip",
    )


def own_file(site: Site, request: Request) -> Response:
    """One of a run's own files to keep: its log, its record, its patch, its lock."""
    with reading(site) as store:
        record = record_of(store, request.path_params["run"])
        assert store is not None
        files = files_of(store, record.id)
    names = {"output.log", "run.json", record.source.patch, record.environment.lock}
    name = request.path_params["name"]
    if name not in names:
        raise PageError(404, "There is no such file.")
    headers = {"content-security-policy": ARTIFACT_POLICY, "content-disposition": _disposition("attachment", name)}
    return _ranged(open_artifact(files.folder, name), request, "text/plain; charset=utf-8", headers)


def _folder(site: Site, request: Request) -> RunFiles:
    with reading(site) as store:
        record_of(store, request.path_params["run"])
        assert store is not None
        return files_of(store, request.path_params["run"])
