"""Commands rendered without a shell: what arrives is what was meant, whatever the value."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproj.manifest.models import EntryPoint, Parameter
from mlproj.parameters.config import Config
from mlproj.parameters.render import render
from mlproj.parameters.template import TemplateError, parse_template
from mlproj.parameters.words import flags, overrides

words = st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)


def argv(command: str | list[str], values: dict, *extra: str) -> list[str]:
    entry_point = EntryPoint(command=command, parameters={name: Parameter(type="json") for name in values})
    return list(render(entry_point, Config(values, values), extra).argv)


def test_each_placeholder_is_within_its_word() -> None:
    assert argv(["a", "{x}", "--y={y}", "{x}{y}"], {"x": "1 2", "y": ""}) == ["a", "1 2", "--y=", "1 2"]


def test_a_text_is_split_before_values_go_in() -> None:
    assert argv("run '{x} y' \"a b\" {x}", {"x": "it's; $(a) `b`"}) == [
        "run", "it's; $(a) `b` y", "a b", "it's; $(a) `b`",
    ]  # fmt: skip


def test_doubled_braces_are_braces() -> None:
    assert argv(["a", '{{"k": {x}}}'], {"x": 1}) == ["a", '{"k": 1}']


def test_values_as_text() -> None:
    values = {"t": True, "n": None, "l": ["a", 1], "d": {"k": 0.1}, "f": 1e-7, "s": ""}
    assert argv(["a", *(f"{{{name}}}" for name in values)], values) == [
        "a", "true", "", '["a",1]', '{"k":0.1}', "1e-07", "",
    ]  # fmt: skip


def test_args_are_flags() -> None:
    values = {
        "alpha": 0.1,
        "fast": True,
        "slow": False,
        "none": None,
        "f": ["a", "b"],
        "neg": -1,
        "opt": "--x",
        "e": [],
    }
    assert argv(["a", "{args}", "z"], values) == [
        "a", "--alpha", "0.1", "--fast", "--f", "a", "--f", "b", "--neg=-1", "--opt=--x", "z",
    ]  # fmt: skip


def test_extra_words_come_last() -> None:
    assert argv("a {x}", {"x": 1}, "--more", "x y") == ["a", "1", "--more", "x y"]


@given(words)
def test_any_value_is_one_word(value: str) -> None:
    assert argv(["a", "{x}", "-x={x}"], {"x": value}) == ["a", value, f"-x={value}"]
    assert argv("a '{x}' {x}", {"x": value}) == ["a", value, value]


@given(st.dictionaries(st.sampled_from(["alpha", "beta", "c-d"]), words | st.lists(words, max_size=3)))
def test_argparse_reads_flags_back(values: dict) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    for name in ("alpha", "beta", "c-d"):
        parser.add_argument(f"--{name}", action="append", dest=name)
    found = vars(parser.parse_args(flags(Config(values, values))))
    expected = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    assert {name: value for name, value in found.items() if value} == {k: v for k, v in expected.items() if v}


@given(words)
def test_literal_text_comes_back_when_its_braces_are_doubled(text: str) -> None:
    assert "".join(map(str, parse_template(text.replace("{", "{{").replace("}", "}}")))) == text


@given(words)
def test_any_template_parses_or_is_explained(text: str) -> None:
    try:
        parse_template(text)
    except TemplateError as error:
        assert "literal brace" in str(error)


def test_a_secret_in_the_command_is_masked_where_it_is_shown() -> None:
    entry_point = EntryPoint(command=["a", "--key={key}"], parameters={"key": Parameter(type="secret")})
    rendered = render(entry_point, Config({}, {}, secrets={"key": "hunter2"}))
    assert rendered.argv == ("a", "--key=hunter2")
    assert rendered.shown == ("a", "--key=•••")
    assert "hunter2" not in repr(rendered)


def test_secrets_are_left_out_of_args_and_overrides() -> None:
    config = Config({"x": 1}, {"x": 1}, secrets={"key": "hunter2"})
    assert flags(config) == ["--x", "1"]
    assert overrides(config) == ["x=1"]


HYDRA = """
import json, sys
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
found = []
for line in json.loads(sys.stdin.read()):
    parsed = OverridesParser.create().parse_override(line)
    config = OmegaConf.create({"value": parsed.value()})
    found.append(OmegaConf.to_container(config, resolve=True)["value"])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def hydra_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has the real Hydra."""
    import uv

    folder = tmp_path_factory.mktemp("hydra") / "venv"
    subprocess.run([uv.find_uv_bin(), "venv", "-q", "--python", sys.executable, folder], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run([uv.find_uv_bin(), "pip", "install", "-q", "--python", python, "hydra-core"], check=True)
    return python


def test_real_hydra_reads_overrides_back(hydra_python: str) -> None:
    hostile = [
        "a b",
        "it's",
        'say "x"',
        "a,b",
        "[1]",
        "{a: b}",
        "10",
        "true",
        "null",
        "",
        "\\",
        "\\'",
        "a\\\\'b\\",
        "$x",
        "a=b",
    ]
    hostile += [
        "${oc.env:HOME}",
        "\\${x}",
        "$",
        "${",
        "naïve ü",
        "x: y",
        "#c",
        "@file",
        "--x",
        "+",
        "~",
        "(1)",
        "*",
    ]
    values = [1, -2.5, True, False, None, [1, "a b"], {"k": "v v"}, 1e-7, ["it's", []], *hostile]
    lines = [overrides(Config({"x": value}, {}))[0] for value in values]
    found = subprocess.run([hydra_python, "-c", HYDRA], input=json.dumps(lines), capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == values


@settings(max_examples=3, deadline=None)
@given(st.lists(st.text(alphabet="ab\\'\"${}[],:= ()~@#", max_size=12), min_size=80, max_size=80))
def test_real_hydra_reads_any_text_back(hydra_python: str, values: list[str]) -> None:
    lines = [overrides(Config({"x": value}, {}))[0] for value in values]
    found = subprocess.run([hydra_python, "-c", HYDRA], input=json.dumps(lines), capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == values
