"""One call of a client: its fields, read strictly, whether they came in a body, a query or a path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlproj.tracking.gateway.errors import invalid

Answer = Mapping[str, Any]
_VERSION = re.compile(r"mlflow-python-client/(\d+)\.(\d+)")


@dataclass(frozen=True)
class Call:
    """What a client asks for. ``client`` is its major and minor version, the newest when it does not say."""

    fields: Mapping[str, Any]
    client: tuple[int, int] = (99, 0)

    def text(self, name: str, *, default: str | None = None) -> str:
        """A text; one that is missing is ``default``, or an error when there is none."""
        value = self.fields.get(name)
        if value is None or value == "":
            if default is None:
                raise invalid(f"Missing value for required parameter '{name}'.")
            return default
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise invalid(f"Invalid value {value!r} for parameter '{name}': it has to be a string.")
        return str(value)

    def integer(self, name: str, *, default: int | None = None) -> int:
        """A whole number; Java's clients write a large one as text, as protocol buffers have it."""
        value = self.fields.get(name)
        if value is None or value == "":
            if default is None:
                raise invalid(f"Missing value for required parameter '{name}'.")
            return default
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError):
            raise invalid(f"Invalid value {value!r} for parameter '{name}': it has to be a whole number.") from None

    def texts(self, name: str) -> list[str]:
        """A list of texts, empty when it is missing; a query with one value has no list."""
        value = self.fields.get(name)
        items = [] if value is None else value if isinstance(value, list) else [value]
        if not all(isinstance(each, (str, int)) for each in items):
            raise invalid(f"Invalid value {value!r} for parameter '{name}': it has to be a list of strings.")
        return [str(each) for each in items]

    def items(self, name: str) -> list[Call]:
        """A list of messages, each to be read as a call is."""
        value = self.fields.get(name) or []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise invalid(f"Invalid value for parameter '{name}': it has to be a list of objects.")
        return [Call(each, self.client) for each in value]

    def item(self, name: str) -> Call:
        """A message within this one, empty when it is missing."""
        value = self.fields.get(name) or {}
        if not isinstance(value, dict):
            raise invalid(f"Invalid value for parameter '{name}': it has to be an object.")
        return Call(value, self.client)

    def pairs(self, name: str) -> dict[str, str]:
        """A list of ``{"key": …, "value": …}`` as a mapping; the last of a key counts."""
        return {each.text("key"): each.text("value", default="") for each in self.items(name)}

    @property
    def run_id(self) -> str:
        """The run that is meant; clients before 1.0 called it ``run_uuid``."""
        return self.text("run_id", default=self.text("run_uuid", default="")) or self.text("run_id")


def page(call: Call, name: str, items: list[Any], most: int) -> Answer:
    """The part of a list that a call asks for by ``page_token`` and ``max_results``, ``most`` when it does not say."""
    first, most = call.integer("page_token", default=0), call.integer("max_results", default=most)
    if first < 0 or most < 1:
        raise invalid("page_token has to be a token that was given before, and max_results positive.")
    answer = {name: items[first : first + most]}
    return {**answer, "next_page_token": str(first + most)} if len(items) > first + most else answer


def client_version(user_agent: str) -> tuple[int, int]:
    """Major and minor version of a Python client by its ``User-Agent``; of any other the newest."""
    found = _VERSION.search(user_agent)
    return (int(found[1]), int(found[2])) if found else (99, 0)


CallTable = Mapping[tuple[str, str], Callable[[Any, Call], Answer]]
