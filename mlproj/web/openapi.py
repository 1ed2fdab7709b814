"""The description of ``/api`` in OpenAPI 3.1, made from the table of its calls."""

from __future__ import annotations

import json
from typing import Any

from mlproj.runs.record import run_schema
from mlproj.version import __version__
from mlproj.web.calls import CALLS, Call

_ERRORS = {
    "400": "What was asked for cannot be",
    "401": "The token is missing",
    "403": "Not allowed",
    "404": "There is no such run",
    "503": "The store cannot be read",
}


def document() -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    # The record's schema names its parts below itself; here they are below the components.
    run = json.loads(json.dumps(run_schema()).replace('"#/$defs/', '"#/components/schemas/'))
    parts = run.pop("$defs", {})
    run.pop("$schema")
    error = {
        "type": "object",
        "properties": {"error": {"type": "string"}, "hint": {"type": ["string", "null"]}},
        "required": ["error"],
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mlproj ui",
            "version": __version__,
            "description": "What the pages of `mlproj ui` show, as JSON. Not-a-number and infinities are the texts "
            "`nan`, `inf`, `-inf`. Where a token is asked for, send it as `Authorization: Bearer TOKEN`. Changes "
            "take `Content-Type: application/json`.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Run": run, **parts, "Error": error},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(call: Call) -> dict[str, Any]:
    name = call.path.removeprefix("/api/").replace("/{run}", "_of_run").replace("/", "_")
    answers = {code: _json(text, {"$ref": "#/components/schemas/Error"}) for code, text in _ERRORS.items()}
    operation: dict[str, Any] = {
        "operationId": f"{call.method.lower()}_{name}",
        "summary": call.summary,
        "parameters": [
            {
                "name": each.name,
                "in": "path" if f"{{{each.name}}}" in call.path else "query",
                "required": each.required,
                "description": each.description,
                "schema": each.schema,
            }
            for each in call.parameters
        ],
        "responses": {"200": _json("The answer", call.gives), **answers},
    }
    if call.body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": call.body}}}
    return operation


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
