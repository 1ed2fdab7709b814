"""Pages from templates: everything that is put into one is escaped, and shows what would act unseen."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from mlproj.files import human_size
from mlproj.text import duration, plural, printable
from mlproj.version import __version__
from mlproj.web.security import csrf_token
from mlproj.web.stores import Site

STATIC = Path(__file__).parent / "static"


def page(site: Site, template: str, status: int = 200, **values: Any) -> Response:
    """A page from a template."""
    access = site.access
    given = {
        "read_only": access.read_only,
        "csrf": "" if access.read_only else csrf_token(access),
        "version_of_mlproj": __version__,
        "offered": None,
        "groupable": (),
    }
    text = _environment().get_template(template).render({**given, **values})
    return HTMLResponse(text, status_code=status, headers={"vary": "HX-Request"})


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    environment.filters |= {
        "duration": duration,
        "size": human_size,
        "number": number_text,
        "value": value_text,
        "plural": plural,
        "quoted": quoted_path,
        "exact": exact_text,
    }
    return environment


def _finalized(value: Any) -> Any:
    """Characters that act unseen, such as those that turn the reading direction around, as their escapes."""
    if value is None:
        return ""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def number_text(value: float | None) -> str:
    """A number with the six digits that people compare."""
    if value is None:
        return ""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.6g}"


def exact_text(text: str) -> Markup:
    """A name as it is, for what scripts and forms read: what is shown has its unseen characters as escapes."""
    return escape(text.encode("utf-8", "replace").decode())


def quoted_path(path: str) -> str:
    """A file's path for an address, also one whose bytes are no UTF-8."""
    return quote(path.encode("utf-8", "surrogateescape"))


def value_text(value: Any) -> str:
    """A parameter's value as it would be written: texts as they are, anything else as JSON."""
    import json

    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
