"""Files compared by the values in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mlproj.reproduction.contents import Found, differ
from mlproj.reproduction.differences import UnreadableError
from mlproj.reproduction.rules import OutputRule, Rules, Tolerance, same_number


def differ_as(how: str, folder: Path, one: str, other: str, *, name: str = "out.txt", **rule: object) -> Found | None:
    paths = []
    for number, text in enumerate((one, other)):
        place = folder / str(number)
        place.mkdir(exist_ok=True)
        (place / name).write_text(text)
        paths.append(place / name)
    tolerance = Tolerance(float(rule.get("rtol", 0)), float(rule.get("atol", 0)))  # type: ignore[arg-type]
    return differ(*paths, OutputRule(how, tolerance, tuple(rule.get("ignored", ()))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ('{"a": 1, "b": [1, 2]}', '{ "b": [1.0, 2], "a": 1 }', None),
        ('{"a": 1}', '{"a": 2}', Found("a: 1 → 2 (+1, 100.00%)", False)),
        ('{"a": 1}', '{"a": true}', Found("a: 1 → true", False)),
        ('{"a": null}', '{"a": 0}', Found("a: null → 0", False)),
        ('{"a": "1"}', '{"a": 1}', Found('a: "1" → 1', False)),
        ('{"a": 1}', "{}", Found("a is missing; the value is new", False)),
        ("[]", "[1]", Found("the value is missing; [0] is new", False)),
        ('{"a": 100000000000000000000001}', '{"a": 100000000000000000000001}', None),
        (
            '{"deep": {"er": [{"x": 1}]}}',
            '{"deep": {"er": [{"x": 1.5}]}}',
            Found("deep.er[0].x: 1 → 1.5 (+0.5, 50.00%)", False),
        ),
        ('{"l": 1}\n{"l": 2}\n', '{"l": 1}\n{"l": 3}\n', Found("[1].l: 2 → 3 (+1, 50.00%)", False)),
    ],
)
def test_json_by_its_values(tmp_path: Path, one: str, other: str, found: Found | None) -> None:
    assert differ_as("json", tmp_path, one, other) == found


def test_within_the_tolerance_is_allowed_and_told(tmp_path: Path) -> None:
    assert differ_as("json", tmp_path, '{"a": 1.0}', '{"a": 1.0001}', rtol=1e-3) == Found(
        "a: 1 → 1.0001 (+0.0001, 0.01%)", True
    )
    assert differ_as("json", tmp_path, '{"a": 1.0, "b": 1}', '{"a": 1.0001, "b": 2}', rtol=1e-3) == Found(
        "b: 1 → 2 (+1, 100.00%)", False
    )


def test_keys_that_do_not_count_are_left_out_at_any_depth_or_by_their_path(tmp_path: Path) -> None:
    one, other = (
        '{"created": 1, "run": {"created": 1, "host": "a"}}',
        '{"created": 2, "run": {"created": 3, "host": "b"}}',
    )
    assert differ_as("json", tmp_path, one, other, ignored=("created", "run.host")) is None
    assert differ_as("json", tmp_path, one, other, ignored=("created", "host.run")) == Found(
        'run.host: "a" → "b"', False
    )


def test_yaml_is_read_as_yaml(tmp_path: Path) -> None:
    assert differ_as("json", tmp_path, "a: 1\nid: x\n", "id: y\na: 1\n", name="c.yaml", ignored=("id",)) is None
    with pytest.raises(UnreadableError, match="not YAML"):
        differ_as("json", tmp_path, "a: [", "a: 1", name="c.yaml")


@pytest.mark.parametrize(("how", "text"), [("json", "{"), ("numpy", "text"), ("image", "text"), ("csv", 'a\n"b')])
def test_what_is_of_another_form_is_said_to_be(tmp_path: Path, how: str, text: str) -> None:
    with pytest.raises(UnreadableError, match="it is no"):
        differ_as(how, tmp_path, text, text + " ")


def test_csv_by_its_cells(tmp_path: Path) -> None:
    one = "id,score,when\n1,0.5,mon\n2,1,tue\n"
    assert differ_as("csv", tmp_path, one, one.replace("0.5", "0.50")) is None
    assert differ_as("csv", tmp_path, one, one.replace("mon", "sun"), ignored=("when",)) is None
    assert differ_as("csv", tmp_path, one, one.replace("0.5", "0.6")) == Found(
        "line 2, score: 0.5 → 0.6 (+0.1, 20.00%)", False
    )
    assert differ_as("csv", tmp_path, one, one + "3,1,wed\n") == Found(
        "line 4, id is new; line 4, score is new; line 4, when is new", False
    )


class TestNumpy:
    def differ(self, folder: Path, one: object, other: object, rtol: float = 0) -> Found | None:
        paths = [folder / "one.npy", folder / "other.npy"]
        for path, value in zip(paths, (one, other)):
            numpy.save(path, value)
        return differ(*paths, OutputRule("numpy", Tolerance(rtol)))

    def test_arrays_by_their_values(self, tmp_path: Path) -> None:
        one = numpy.array([1.0, 2.0, numpy.nan])
        assert self.differ(tmp_path, one, one.copy()) is None
        other = numpy.array([1.0, 2.5, numpy.nan])
        assert self.differ(tmp_path, one, other) == Found("the array: 1 of 3 values differs, by up to 0.5", False)
        assert self.differ(tmp_path, one, other, rtol=0.3) == Found(
            "the array: 1 of 3 values differs, by up to 0.5", True
        )

    def test_shapes_and_types_count(self, tmp_path: Path) -> None:
        assert self.differ(tmp_path, numpy.zeros(3), numpy.zeros((3, 1))) == Found(
            "the array: float64[3] → float64[3, 1]", False
        )
        assert self.differ(tmp_path, numpy.zeros(1, "f4"), numpy.zeros(1, "f8")) == Found(
            "the array: float32[1] → float64[1]", False
        )

    def test_archives_by_their_arrays(self, tmp_path: Path) -> None:
        for name, values in (("one", {"a": [1, 2], "t": [1]}), ("other", {"a": [1, 2], "t": [2]})):
            numpy.savez(tmp_path / name, **{key: numpy.array(value) for key, value in values.items()})
        paths = [tmp_path / "one.npz", tmp_path / "other.npz"]
        assert differ(*paths, OutputRule("numpy")) == Found("t: 1 of 1 value differs, by up to 1", False)
        assert differ(*paths, OutputRule("numpy", ignored=("t",))) is None

    def test_a_pickle_is_not_loaded(self, tmp_path: Path) -> None:
        for name in ("one.npy", "other.npy"):
            numpy.save(tmp_path / name, numpy.array([{"a": name}], dtype=object), allow_pickle=True)
        with pytest.raises(UnreadableError, match="allow_pickle"):
            differ(tmp_path / "one.npy", tmp_path / "other.npy", OutputRule("numpy"))


def test_images_by_their_pixels(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 3), (10, 20, 30))
    image.save(tmp_path / "one.png")
    image.save(tmp_path / "same.png", compress_level=0)
    image.putpixel((0, 0), (12, 20, 30))
    image.save(tmp_path / "other.png")
    image.resize((5, 3)).save(tmp_path / "large.png")
    one = tmp_path / "one.png"
    assert differ(one, tmp_path / "same.png", OutputRule("image")) is None
    found = Found("1 of 12 pixels differs, by up to 2 of 255", False)
    assert differ(one, tmp_path / "other.png", OutputRule("image")) == found
    assert differ(one, tmp_path / "other.png", OutputRule("image", Tolerance(atol=2))) == Found(found.how, True)
    assert differ(one, tmp_path / "large.png", OutputRule("image")) == Found("4×3 → 5×3 pixels", False)


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(numbers)
def test_a_number_is_the_same_as_itself_without_any_tolerance(number: float) -> None:
    assert same_number(number, number)
    assert Tolerance().allows(number, number)


@given(numbers, numbers)
def test_without_a_tolerance_only_the_same_is_allowed(one: float, other: float) -> None:
    assert Tolerance().allows(one, other) == (same_number(one, other) or one == other)


@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100), st.floats(0, 10), st.floats(0, 10))
def test_a_tolerance_is_numpys(one: float, other: float, rtol: float, atol: float) -> None:
    assert Tolerance(rtol, atol).allows(one, other) == bool(abs(other - one) <= atol + rtol * abs(one))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_written_in_another_way_is_the_same(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    folder = tmp_path_factory.mktemp("json")
    assert differ_as("json", folder, json.dumps(value), json.dumps(value, indent=3, sort_keys=True)) is None


def test_the_rule_of_a_metric_is_of_its_name_then_of_a_glob() -> None:
    rules = Rules(metrics={"val_*": Tolerance(0.1), "val_time": None})
    assert rules.for_metric("val_loss") == Tolerance(0.1)
    assert rules.for_metric("val_time") is None
    assert rules.for_metric("loss") == Tolerance()
    assert rules.for_metric("system/cpu_utilization") is None


@pytest.mark.parametrize(
    ("one", "other"), [("9007199254740993", "9007199254740992"), ("007", "7"), ("1_000", "1000"), ("0x10", "16")]
)
def test_csv_takes_no_other_id_for_the_same(tmp_path: Path, one: str, other: str) -> None:
    found = differ_as("csv", tmp_path, f"id\n{one}\n", f"id\n{other}\n")
    assert found is not None
    assert not found.allowed


@pytest.mark.parametrize(("one", "other"), [("7", "7.0"), ("1e3", "1000"), (".5", "0.50"), ("nan", "NaN"), (" 7", "7")])
def test_csv_takes_another_way_to_write_a_number_for_the_same(tmp_path: Path, one: str, other: str) -> None:
    assert differ_as("csv", tmp_path, f"x\n{one}\n", f"x\n{other}\n") is None


def test_integers_beyond_those_of_floats_have_tolerances_too(tmp_path: Path) -> None:
    one, other = '{"a": 1' + "0" * 400 + "}", '{"a": 2' + "0" * 400 + "}"
    found = differ_as("json", tmp_path, one, other, atol=0.1)
    assert found is not None
    assert not found.allowed
    assert differ_as("json", tmp_path, one, other, rtol=1) == Found(found.how, True)
    assert Tolerance(atol=1).allows(2**53 + 1, 2**53)
    assert not Tolerance(atol=0.5).allows(2**53 + 1, float(2**53))


def differing_arrays(folder: Path, one: object, other: object, **tolerance: float) -> Found | None:
    paths = [folder / "1.npy", folder / "2.npy"]
    for path, array in zip(paths, (one, other)):
        numpy.save(path, array)  # type: ignore[arg-type]
    return differ(*paths, OutputRule("numpy", Tolerance(**tolerance)))


def test_numpys_integers_are_compared_as_they_are(tmp_path: Path) -> None:
    large = numpy.array([2**53 + 1, -(2**63)])
    told = "the array: 1 of 2 values differs, by up to 1"
    assert differing_arrays(tmp_path, large, large - [1, 0]) == Found(told, False)
    assert differing_arrays(tmp_path, large, large - [1, 0], atol=1) == Found(told, True)
    ends = [numpy.array([each]) for each in (-(2**63), 2**63 - 1)]
    assert differing_arrays(tmp_path, *ends, atol=5) == Found(
        "the array: 1 of 1 value differs, by up to 1.84e+19", False
    )


def test_numpys_long_floats_keep_their_digits(tmp_path: Path) -> None:
    one = numpy.array([1], dtype=numpy.longdouble)
    other = numpy.nextafter(one, numpy.longdouble(2))
    found = differing_arrays(tmp_path, one, other)
    assert found is not None
    assert not found.allowed


def saved_images(folder: Path, one: list[Image.Image], other: list[Image.Image], ending: str) -> Found | None:
    paths = [folder / f"{number}.{ending}" for number in (1, 2)]
    for path, frames in zip(paths, (one, other)):
        frames[0].save(path, save_all=True, append_images=frames[1:])
    return differ(*paths, OutputRule("image"))


@pytest.mark.parametrize("ending", ["gif", "tiff"])
def test_every_frame_of_an_image_is_compared(tmp_path: Path, ending: str) -> None:
    black, white, red = (Image.new("RGB", (4, 3), colour) for colour in ("black", "white", "red"))
    assert saved_images(tmp_path, [black, white], [black, red], ending) == Found(
        "frame 2: 12 of 12 pixels differ, by up to 255 of 255", False
    )
    found = saved_images(tmp_path, [black, white], [black], ending)
    assert found == Found("2 frames → 1", False)


@pytest.mark.parametrize(("mode", "one", "other", "by"), [("I", 70000, 80000, "10000"), ("F", 1.5, 1.25, "0.25")])
def test_pixels_of_more_than_8_bits_are_compared_as_they_are(
    tmp_path: Path, mode: str, one: float, other: float, by: str
) -> None:
    images = [[Image.new(mode, (2, 1), value)] for value in (one, other)]  # type: ignore[arg-type]
    assert saved_images(tmp_path, *images, "tiff") == Found(f"2 of 2 pixels differ, by up to {by}", False)


def test_colours_of_16_bits_are_not_taken_for_the_same(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    for path, value in zip(paths, (0x1234, 0x1235)):
        header, row = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0), b"\0" + struct.pack(">3H", value, value, value)
        chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(row)), chunk(b"IEND", b"")]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(UnreadableError, match="more than 8 bits"):
        differ(*paths, OutputRule("image"))
