"""What pages change: tags, the trash, a run that is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mlproj.api.request import check_labels
from mlproj.api.stop import stop_run
from mlproj.runs import trash
from mlproj.runs.experiments import DEFAULT_EXPERIMENT
from mlproj.runs.store import Store
from mlproj.runs.tags import change_tags
from mlproj.text import is_text
from mlproj.web.errors import PageError
from mlproj.web.run_page import record_of
from mlproj.web.security import check_change
from mlproj.web.stores import Site, changing

_STOP_PATIENCE_S = 15.0


@dataclass(frozen=True)
class Change:
    """What is to be changed: of which runs, and for a tag its name and value."""

    runs: Sequence[str]
    tag: str = ""
    value: str = ""


def set_tag(store: Store, change: Change) -> None:
    """Set a tag of runs. Raises UsageError for one that cannot be."""
    for run_id in change.runs:
        record = record_of(store, run_id)
        if not change.tag.strip():
            raise PageError(400, "A tag needs a name.")
        if not is_text(change.tag + change.value):
            raise PageError(400, "A tag is text: this one holds half of a character.")
        check_labels(record.name, record.experiment or DEFAULT_EXPERIMENT, {change.tag.strip(): change.value})
        change_tags(store, run_id, {change.tag.strip(): change.value})


def remove_tag(store: Store, change: Change) -> None:
    """Remove a tag of runs, where they have it."""
    for run_id in change.runs:
        record_of(store, run_id)
        change_tags(store, run_id, {}, [change.tag])


def delete(store: Store, change: Change) -> None:
    """Move runs to the trash. Raises UsageError for one that runs."""
    for run_id in change.runs:
        if record_of(store, run_id).deleted_at is None:
            trash.delete(store, run_id)


def restore(store: Store, change: Change) -> None:
    """Take runs out of the trash."""
    for run_id in change.runs:
        record_of(store, run_id)
        trash.restore(store, run_id)


def stop(store: Store, change: Change) -> None:
    """Stop runs that run, and wait for their end. Raises UsageError for one that cannot be stopped from here."""
    for run_id in change.runs:
        stop_run(store, record_of(store, run_id), _STOP_PATIENCE_S)


CHANGES: dict[str, Callable[[Store, Change], None]] = {
    "tag": set_tag,
    "untag": remove_tag,
    "delete": delete,
    "restore": restore,
    "stop": stop,
}


def change_by_form(site: Site, request: Request, form: Mapping[str, Sequence[str]]) -> Response:
    """A change that a page's form asks for, and back to the page."""
    check_change(request, site.access, {name: values[0] for name, values in form.items() if values})
    changed = CHANGES.get(request.path_params["what"])
    if changed is None:
        raise PageError(404, "There is no such change.")
    runs = list(dict.fromkeys(form.get("run", ())))
    if not runs:
        raise PageError(400, "No run was selected.")
    with changing(site) as store:
        changed(store, Change(runs, _one(form, "tag"), _one(form, "value")))
    return RedirectResponse(_local(_one(form, "back")), status_code=303)


def _one(form: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(form.get(name, ())), "")


def _local(address: str) -> str:
    """The address, if it is one on this server; else that of the table."""
    parts = urlsplit(address.replace("\\", "/"))
    local = not parts.scheme and not parts.netloc and address.startswith("/") and not address.startswith("//")
    return address if local and address.isprintable() else "/"
