"""The MLmodel file: sorted, strict, and faithful to what it does not understand."""

import datetime as dt

import numpy as np
import pytest

from holdfast.errors import InvalidArgumentError, NotFoundError
from holdfast.models import MLmodel, infer_signature
from holdfast.models._mlmodel import FileDigest
from holdfast.models._yaml import dump_yaml, load_yaml


def test_mlmodel_survives_being_written_and_read(tmp_path):
    model = MLmodel(
        artifact_path="models:/m-1",
        run_id="r",
        model_id="m-1",
        flavors={"sklearn": {"pickled_model": "model.pkl", "code": None}},
        signature=infer_signature(np.zeros((1, 2)), np.zeros(1), {"k": 1}),
        metadata={"unicode": "é日本", "nested": [{"a": None}]},
        model_size_bytes=7,
        digests={"model.pkl": FileDigest(7, "00" * 32)},
    )
    model.save(tmp_path)
    loaded = MLmodel.load(tmp_path)
    assert loaded.signature == model.signature
    assert loaded.digests == model.digests
    assert loaded.metadata == model.metadata
    assert loaded.to_yaml() == model.to_yaml()


def test_keys_are_sorted_and_null_fields_left_out(tmp_path):
    MLmodel(flavors={"b": {}, "a": {"z": 1, "y": 2}}).save(tmp_path)
    text = (tmp_path / "MLmodel").read_text()
    keys = [line.split(":")[0] for line in text.splitlines() if line[0].isalpha()]
    assert keys == sorted(keys)
    assert "run_id" not in keys
    assert text.index("  a:") < text.index("  b:")


def test_shared_values_are_written_without_aliases():
    shared = [1, 2]
    text = dump_yaml({"a": shared, "b": shared})
    assert "&" not in text
    assert load_yaml(text.encode(), "x") == {"a": [1, 2], "b": [1, 2]}


def test_keys_of_other_writers_are_kept(tmp_path):
    (tmp_path / "MLmodel").write_text(
        "flavors: {}\nprompts: null\nenv_vars: [A]\nutc_time_created: 2024-01-02 03:04:05\n"
    )
    model = MLmodel.load(tmp_path)
    assert model.unknown == {"prompts": None, "env_vars": ["A"]}
    assert model.utc_time_created == str(dt.datetime(2024, 1, 2, 3, 4, 5))  # noqa: DTZ001
    assert model.to_dict()["env_vars"] == ["A"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: &x [1]\nb: *x\n", id="alias"),
        pytest.param("a: 1\na: 2\n", id="duplicate key"),
        pytest.param("flavors:\n  s: {x: 1, x: 2}\n", id="duplicate nested key"),
        pytest.param("a: !!python/object/apply:os.system ['true']\n", id="python tag"),
        pytest.param("a: !!python/name:os.system ''\n", id="python name"),
        pytest.param("a: !custom 1\n", id="unknown tag"),
        pytest.param("? [1, 2]\n: 3\n", id="list as key"),
        pytest.param("a: [\n", id="broken"),
        pytest.param("a: 1\n---\nb: 2\n", id="two documents"),
        pytest.param("- 1\n", id="no mapping"),
        pytest.param("flavors: [1]\n", id="flavors as list"),
        pytest.param("flavors: {sklearn: 1}\n", id="flavor as number"),
        pytest.param("model_id: [x]\n", id="id as list"),
        pytest.param("holdfast: {files: {a: 1}}\n", id="digests malformed"),
        pytest.param("signature: {inputs: '{'}\n", id="signature malformed"),
        pytest.param("[" * 5000, id="deep nesting"),
    ],
)
def test_malformed_mlmodel_is_refused(text, tmp_path):
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(InvalidArgumentError):
        MLmodel.load(tmp_path)


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "MLmodel").write_bytes(b"a: \xff\xfe\xfa\n")
    with pytest.raises(InvalidArgumentError):
        MLmodel.load(tmp_path)


def test_directory_without_mlmodel_is_no_model(tmp_path):
    with pytest.raises(NotFoundError, match="holds no model"):
        MLmodel.load(tmp_path)


def test_metadata_that_is_not_plain_data_is_refused():
    with pytest.raises(InvalidArgumentError, match="Only strings, numbers"):
        MLmodel(metadata={"a": object()}).to_yaml()
    circle = []
    circle.append(circle)
    with pytest.raises(InvalidArgumentError, match="Only strings, numbers"):
        MLmodel(metadata={"a": circle}).to_yaml()


@pytest.mark.parametrize("depth", [1, 100, 250, 1_000])
def test_what_is_nested_is_either_refused_or_can_be_read_again(depth):
    metadata = {}
    for _ in range(depth):
        metadata = {"a": [metadata]}
    try:
        text = MLmodel(metadata=metadata).to_yaml()
    except InvalidArgumentError:
        assert depth > 100
    else:
        assert MLmodel.parse(text.encode()).metadata == metadata


def test_numbers_dates_and_texts_are_read_as_yaml_has_them(tmp_path):
    metadata = {"text": "1:59", "yes": "yes", "time": "2024-01-01", "none": None, "float": 2.5, "line": "ü: x\n# y"}
    MLmodel(metadata=metadata).save(tmp_path)
    assert MLmodel.load(tmp_path).metadata == metadata
    assert MLmodel.parse(b"metadata: {a: 1_000, b: 0x1f, c: .inf, d: ~}\n").metadata == {
        "a": 1000, "b": 31, "c": float("inf"), "d": None,
    }  # fmt: skip
