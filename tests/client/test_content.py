"""What users log, as the bytes of files."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
import yaml

from holdfast import _content
from holdfast.errors import InvalidArgumentError


@pytest.mark.parametrize("file", ["a.yaml", "dir/a.YML"])
def test_dictionaries_become_yaml_by_their_ending(file):
    value = {"b": 1, "a": ["x", {"ü": None}]}
    assert yaml.safe_load(_content.dict_bytes(value, file)) == value


@pytest.mark.parametrize("file", ["a.json", "a", "a.txt"])
def test_other_dictionaries_become_json(file):
    value = {"b": 1, "a": ["x", {"ü": None}]}
    assert json.loads(_content.dict_bytes(value, file)) == value


@pytest.mark.parametrize("file", ["a.yaml", "a.json"])
@pytest.mark.parametrize("value", [{"a": object()}, {"a": np.float64}], ids=["object", "class"])
def test_what_a_format_cannot_express_is_refused(file, value):
    with pytest.raises(InvalidArgumentError, match="cannot be written"):
        _content.dict_bytes(value, file)


def test_a_dictionary_inside_itself_is_refused():
    value: dict[str, object] = {}
    value["a"] = value
    with pytest.raises(InvalidArgumentError, match="cannot be written"):
        _content.dict_bytes(value, "a.json")


def test_texts_are_texts():
    assert _content.text_bytes("ü") == "ü".encode()
    with pytest.raises(InvalidArgumentError, match="log_bytes"):
        _content.text_bytes(b"x")
    with pytest.raises(InvalidArgumentError, match="Unicode"):
        _content.text_bytes("\ud800")


def test_tables_are_pandas_split_orient():
    data = {"n": [1, 2], "s": ["a", "b"], "f": np.array([0.5, 1.5])}
    table = _content.table_bytes(data, "t.json", None)
    pd.testing.assert_frame_equal(
        pd.read_json(io.BytesIO(table), orient="split", dtype=False), pd.DataFrame(data), check_dtype=False
    )
    assert json.loads(_content.table_bytes(pd.DataFrame(data), "t.json", None)) == json.loads(table)


def test_a_dict_of_scalars_is_one_row():
    assert json.loads(_content.table_bytes({"a": 1, "b": "x"}, "t.json", None)) == {
        "columns": ["a", "b"],
        "data": [[1, "x"]],
    }


def test_tables_are_appended_by_column():
    first = _content.table_bytes({"a": [1], "b": [2]}, "t.json", None)
    second = _content.table_bytes({"b": [3], "c": [4]}, "t.json", first)
    assert json.loads(second) == {"columns": ["a", "b", "c"], "data": [[1, 2, None], [None, 3, 4]]}


@pytest.mark.parametrize(
    ("data", "file", "message"),
    [
        pytest.param({"a": [1], "b": [1, 2]}, "t.json", "'b': 2", id="uneven"),
        pytest.param({}, "t.json", "DataFrame or a dict", id="empty"),
        pytest.param([1], "t.json", "DataFrame or a dict", id="list"),
        pytest.param({"a": [object()]}, "t.json", "as JSON", id="object"),
        pytest.param({"a": [1]}, "t.csv", ".json or .parquet", id="format"),
    ],
)
def test_other_tables_are_refused(data, file, message):
    with pytest.raises(InvalidArgumentError, match=message):
        _content.table_bytes(data, file, None)


def test_parquet_tables_are_appended():
    pytest.importorskip("pyarrow")
    first = _content.table_bytes(pd.DataFrame({"a": [1]}), "t.parquet", None)
    second = _content.table_bytes({"a": [2]}, "t.parquet", first)
    assert pd.read_parquet(io.BytesIO(second))["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("array", "pixels"),
    [
        pytest.param(np.array([[True, False]]), [[255, 0]], id="booleans"),
        pytest.param(np.array([[0.0, 0.5, 1.0]]), [[0, 128, 255]], id="floats"),
        pytest.param(np.array([[0, 255]], dtype=np.int64), [[0, 255]], id="integers"),
        pytest.param(np.array([[[7]]]), [[7]], id="one channel"),
    ],
)
def test_arrays_become_pixels(array, pixels):
    result = _content._pixels(array)
    assert result.dtype == np.uint8
    assert result.tolist() == pixels


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros(3), id="one dimension"),
        pytest.param(np.zeros((2, 2, 2)), id="two channels"),
        pytest.param(np.zeros((0, 2)), id="empty"),
        pytest.param(np.array([[256]]), id="large integer"),
        pytest.param(np.array([[-1]]), id="negative"),
        pytest.param(np.array([[1.5]]), id="large float"),
        pytest.param(np.array([[np.nan]]), id="nan"),
        pytest.param(np.array([["a"]]), id="text"),
    ],
)
def test_other_arrays_are_no_images(array):
    with pytest.raises(InvalidArgumentError):
        _content._pixels(array)


def test_images_are_saved_by_their_ending():
    image = pytest.importorskip("PIL.Image")
    data = _content.image_bytes(np.zeros((2, 3, 3), np.uint8), "a.PNG")
    assert image.open(io.BytesIO(data)).size == (3, 2)
    with pytest.raises(InvalidArgumentError, match="no image format"):
        _content.image_bytes(np.zeros((2, 3)), "a.xyz")
    with pytest.raises(InvalidArgumentError, match="cannot be saved"):
        _content.image_bytes(np.zeros((2, 3, 4), np.uint8), "a.jpg")


def test_matplotlib_figures_are_saved_by_their_ending():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    figure.subplots().plot([1, 2])
    assert _content.figure_bytes(figure, "a.png", {"dpi": 50}).startswith(b"\x89PNG")
    assert _content.figure_bytes(figure, "a.svg", {}).startswith(b"<?xml")
    with pytest.raises(InvalidArgumentError, match="cannot be saved"):
        _content.figure_bytes(figure, "a.xyz", {})


def test_plotly_figures_become_html():
    figure = pytest.importorskip("plotly.graph_objects").Figure()
    assert b"<html>" in _content.figure_bytes(figure, "a.html", {})
    with pytest.raises(InvalidArgumentError, match=r"\.html"):
        _content.figure_bytes(figure, "a.txt", {})


def test_other_figures_are_refused():
    with pytest.raises(InvalidArgumentError, match="matplotlib or plotly"):
        _content.figure_bytes("figure", "a.png", {})


def test_steps_of_a_series_have_names_of_their_own():
    path = _content.series_path("val/images", 3, 1_700_000_000_000)
    assert path.startswith("images/val#images+step+3+timestamp+1700000000000+")
    assert path.endswith(".png")
    assert path != _content.series_path("val/images", 3, 1_700_000_000_000)
