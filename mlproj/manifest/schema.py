"""The JSON Schema of ``mlproj.yaml``, generated from the models, for editors and for other programs."""

from __future__ import annotations

import ast
import inspect
from typing import Any

from mlproj.manifest import form, form_environments

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def manifest_schema() -> dict[str, Any]:
    """The schema (JSON Schema 2020-12) with the models' docstrings as descriptions.

    The docstrings are read here and not by pydantic when it builds the models: reading source code would cost
    every run 40 ms.
    """
    schema = form.Manifest.model_json_schema()
    documented = _attribute_docstrings()
    _describe(schema, documented["Manifest"])
    for name, definition in schema["$defs"].items():
        _describe(definition, documented.get(name, {}))
    environment = schema["$defs"]["EnvironmentSpec"]
    environment.update(minProperties=1, maxProperties=1)
    for kind in list(environment["properties"]):
        reference = environment["properties"][kind]["anyOf"]
        environment["properties"][kind]["anyOf"] = [*reference[:1], {"type": "null"}]
        environment["properties"][kind].pop("default", None)
    return {"$schema": SCHEMA_DIALECT, "$id": "mlproj.schema.json", **schema, "title": "mlproj manifest"}


def _describe(definition: dict[str, Any], documented: dict[str, str]) -> None:
    for name, subschema in definition.get("properties", {}).items():
        if name in documented:
            subschema["description"] = documented[name]
        subschema.pop("title", None)
        if "patternProperties" in subschema:
            subschema["additionalProperties"] = False


def _attribute_docstrings() -> dict[str, dict[str, str]]:
    """For each class of the models its attributes' docstrings, on one line each."""
    found: dict[str, dict[str, str]] = {}
    statements = [each for module in (form, form_environments) for each in ast.parse(inspect.getsource(module)).body]
    for statement in statements:
        if not isinstance(statement, ast.ClassDef):
            continue
        attributes = found.setdefault(statement.name, {})
        for attribute, following in zip(statement.body, statement.body[1:]):
            if (
                isinstance(attribute, ast.AnnAssign)
                and isinstance(attribute.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                attributes[attribute.target.id] = " ".join(str(following.value.value).split())
    return found
