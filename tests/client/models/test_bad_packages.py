"""Packages that are broken, or made to do harm, end in an error that says what is wrong."""

import os
import pickle
import zipfile

import pytest
import sklearn
import yaml
from sklearn.linear_model import LogisticRegression

import holdfast.models
import holdfast.pyfunc
import holdfast.sklearn
from holdfast.errors import (
    DataLossError,
    HoldfastError,
    InvalidArgumentError,
    NotFoundError,
    UntrustedModelError,
)
from holdfast.models import MLmodel
from holdfast.models._sources import LocalFiles

MODEL = LogisticRegression().fit([[0.0], [1.0]], [0, 1])


@pytest.fixture
def path(tmp_path):
    holdfast.sklearn.save_model(MODEL, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def skops(tmp_path):
    holdfast.sklearn.save_model(MODEL, tmp_path / "skops", serialization_format="skops")
    return tmp_path / "skops"


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def change(path, *, digests=None, **flavor):
    """Rewrite MLmodel as somebody does who can write the package."""
    model = MLmodel.load(path)
    model.flavors["sklearn"].update(flavor)
    model.digests = digests
    model.save(path)


def bomb(path, file="model.pkl"):
    (path / file).write_bytes(pickle.dumps(Bomb(path.parent / "exploded")))


def edit(path, text):
    (path / "MLmodel").write_text(text)


YAML_BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
DEEP_TYPE = '{"type": "array", "items": ' * 300 + "1" + "}" * 300
CASES = {
    "alias bomb": (lambda p: edit(p, YAML_BOMB), InvalidArgumentError, "aliases are not allowed"),
    "duplicate keys": (lambda p: edit(p, "flavors: {}\nflavors: {}\n"), InvalidArgumentError, "'flavors' occurs twice"),
    "python tag": (lambda p: edit(p, "a: !!python/object/apply:os.mkdir [x]\n"), InvalidArgumentError, "not YAML that"),
    "deep nesting": (lambda p: edit(p, "a: " + "[" * 20_000), InvalidArgumentError, "not YAML that"),
    "number to the base of 60": (lambda p: edit(p, "a: 1" + ":59" * 300_000), InvalidArgumentError, "a number or time"),
    "number without end": (lambda p: edit(p, "a: 0x" + "f" * 300_000), InvalidArgumentError, "a number or time"),
    "nested signature": (
        lambda p: edit(p, f"flavors: {{}}\nsignature: {{inputs: '{'[' * 50_000}'}}\n"),
        InvalidArgumentError, "nested too deeply",
    ),
    "nested type": (
        lambda p: edit(p, f"flavors: {{}}\nsignature: {{inputs: '[{DEEP_TYPE}]'}}"),
        InvalidArgumentError, "ignature|type|nested",
    ),
    "no UTF-8": (lambda p: (p / "MLmodel").write_bytes(b"flavors: \xff\xfe"), InvalidArgumentError, "not YAML that"),
    "empty MLmodel": (lambda p: edit(p, ""), InvalidArgumentError, "must hold a mapping"),
    "large MLmodel": (lambda p: os.truncate(p / "MLmodel", (16 << 20) + 1), InvalidArgumentError, "at most 16777216"),
    "no MLmodel": (lambda p: (p / "MLmodel").unlink(), NotFoundError, "holds no model"),
    "no flavors": (lambda p: edit(p, "run_id: x\n"), NotFoundError, r"no flavor .*; it has \[\]"),
    "unknown flavors": (lambda p: edit(p, "flavors: {onnx: {}}\n"), NotFoundError, r"it has \['onnx'\]"),
    "format of the future": (lambda p: edit(p, "mlflow_version: 4.0.1\nflavors: {}\n"), InvalidArgumentError, "newer"),
    "format of nobody": (lambda p: edit(p, "mlflow_version: new\nflavors: {}\n"), InvalidArgumentError, "'new'"),
    "no model file": (lambda p: (p / "model.pkl").unlink(), NotFoundError, r"'model\.pkl', which the package"),
    "directory for a file": (
        lambda p: ((p / "model.pkl").unlink(), (p / "model.pkl").mkdir()), NotFoundError, "does not have",
    ),
    "upwards": (lambda p: change(p, pickled_model="../x.pkl"), InvalidArgumentError, "not a path inside"),
    "absolute": (lambda p: change(p, pickled_model=str(p / "model.pkl")), InvalidArgumentError, "not a path inside"),
    "NUL": (lambda p: change(p, pickled_model="model.pkl\0"), InvalidArgumentError, "not a path inside"),
    "link": (
        lambda p: ((p / "model.pkl").rename(p.parent / "x"), (p / "model.pkl").symlink_to(p.parent / "x")),
        InvalidArgumentError, "not a path inside",
    ),
    "linked MLmodel": (
        lambda p: ((p / "MLmodel").rename(p.parent / "x"), (p / "MLmodel").symlink_to(p.parent / "x")),
        InvalidArgumentError, "not a path inside",
    ),
    "code upwards": (lambda p: change(p, code="../"), InvalidArgumentError, "not a path inside"),
    "unknown serialization": (lambda p: change(p, serialization_format="dill"), InvalidArgumentError, "'dill'"),
    "serialization of no text": (lambda p: change(p, serialization_format=["pickle"]), InvalidArgumentError, "Unknown"),
    "types of no list": (lambda p: change(p, skops_trusted_types="os.system"), InvalidArgumentError, "must be a list"),
    "no digest of the model": (lambda p: change(p, digests={}), DataLossError, "not among the files"),
    "other content": (bomb, DataLossError, "its digest differs"),
    "no pickle": (
        lambda p: (change(p), (p / "model.pkl").write_bytes(b"hello")), InvalidArgumentError, "does not load",
    ),
    "empty pickle": (lambda p: (change(p), (p / "model.pkl").write_bytes(b"")), InvalidArgumentError, "does not load"),
    "half a pickle": (
        lambda p: (change(p), os.truncate(p / "model.pkl", 40)), InvalidArgumentError, "does not load",
    ),
    "class that is not there": (
        lambda p: (change(p), (p / "model.pkl").write_bytes(b"csklearn\nNoSuchThing\n.")),
        InvalidArgumentError, "other versions of its libraries",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_bad_package_says_what_is_wrong(path, name):
    spoil, error, message = CASES[name]
    spoil(path)
    with pytest.raises(error, match=message) as caught:
        holdfast.sklearn.load_model(path)
    assert isinstance(caught.value, HoldfastError)
    with pytest.raises(HoldfastError):
        holdfast.pyfunc.load_model(path)
    assert not (path.parent / "exploded").exists()


def test_a_pickle_that_is_declared_as_skops_is_not_loaded(skops):
    bomb(skops, "model.skops")
    change(skops)
    for trusted in (None, ["posix.mkdir", "os.mkdir"]):
        with pytest.raises(InvalidArgumentError, match="declared as skops and is none: it looks like a pickle"):
            holdfast.sklearn.load_model(skops, skops_trusted_types=trusted)
    assert not (skops.parent / "exploded").exists()


def test_a_pickle_by_another_name_is_still_a_pickle(skops):
    bomb(skops, "model.skops")
    change(skops, serialization_format="cloudpickle")
    with pytest.raises(UntrustedModelError, match=r"Unpickling model\.skops"):
        holdfast.sklearn.load_model(skops, allow_pickle=False)
    assert not (skops.parent / "exploded").exists()


def test_skops_that_is_declared_as_a_pickle_is_not_loaded(skops):
    change(skops, serialization_format="pickle")
    with pytest.raises(InvalidArgumentError, match="declared as pickle and is none: it looks like a zip"):
        holdfast.sklearn.load_model(skops)


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"PK\x03\x04" + b"x" * 100])
def test_a_broken_skops_archive_is_a_clear_error(skops, content):
    (skops / "model.skops").write_bytes(content)
    change(skops)
    with pytest.raises(InvalidArgumentError, match="does not load"):
        holdfast.sklearn.load_model(skops)


def test_an_archive_that_fills_the_memory_is_refused_unless_it_is_trusted(skops, monkeypatch):
    with zipfile.ZipFile(skops / "model.skops") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(skops / "model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, "zeros": bytes(1 << 20)}.items():
            archive.writestr(name, content)
    change(skops)
    monkeypatch.setattr("holdfast.models._unpickle._MAX_UNPACKED", 1 << 10)
    with pytest.raises(InvalidArgumentError, match=r"model\.skops has .* bytes, and unpacked 1,0"):
        holdfast.sklearn.load_model(skops, allow_pickle=False)
    assert holdfast.sklearn.load_model(skops).coef_.tolist() == MODEL.coef_.tolist()


@pytest.fixture
def reads(monkeypatch):
    """The files of packages that are read."""
    names, read = [], LocalFiles.read

    def reading(self, path):
        names.append(path)
        return read(self, path)

    monkeypatch.setattr(LocalFiles, "read", reading)
    return names


def test_a_pickle_that_is_not_trusted_is_not_even_read(path, reads):
    with pytest.raises(UntrustedModelError, match=r"Unpickling model\.pkl"):
        holdfast.sklearn.load_model(path, allow_pickle=False)
    assert reads == ["MLmodel"]


def test_a_large_archive_that_is_not_trusted_is_not_even_read(skops, reads, monkeypatch):
    monkeypatch.setattr("holdfast.models._unpickle._MAX_UNTRUSTED", 100)
    with pytest.raises(InvalidArgumentError, match=r"at most 100 are read of a package that is not trusted.*pickle"):
        holdfast.sklearn.load_model(skops, allow_pickle=False)
    assert reads == ["MLmodel"]
    assert holdfast.sklearn.load_model(skops).coef_.tolist() == MODEL.coef_.tolist()


class Loadable(LogisticRegression):
    loads = 0

    def __setstate__(self, state):
        type(self).loads += 1
        super().__setstate__(state)


def test_what_skops_writes_is_checked_without_loading_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Loadable, "loads", 0)
    with pytest.warns(UserWarning, match="no installed distribution"):
        holdfast.sklearn.save_model(
            Loadable(), tmp_path / "m", serialization_format="skops", skops_trusted_types=[f"{__name__}.Loadable"]
        )
    assert Loadable.loads == 0
    assert isinstance(holdfast.sklearn.load_model(tmp_path / "m"), Loadable)
    assert Loadable.loads == 1


def test_another_version_of_scikit_learn_is_warned_about_by_both_names(path):
    change(path, sklearn_version="0.1.2")
    with pytest.warns(UserWarning, match=rf"scikit-learn 0\.1\.2, and this is scikit-learn {sklearn.__version__}"):
        holdfast.sklearn.load_model(path)


def test_the_list_in_the_package_is_believed_only_where_the_package_is(tmp_path):
    with pytest.warns(UserWarning, match="no installed distribution"):
        holdfast.sklearn.save_model(
            Mine(), tmp_path / "m", serialization_format="skops", skops_trusted_types=[f"{__name__}.Mine"]
        )
    assert isinstance(holdfast.sklearn.load_model(tmp_path / "m"), Mine)
    with pytest.raises(InvalidArgumentError, match=r"skops_trusted_types=\[.*Mine.*own list is not believed"):
        holdfast.sklearn.load_model(tmp_path / "m", allow_pickle=False)
    named = holdfast.sklearn.load_model(tmp_path / "m", allow_pickle=False, skops_trusted_types=[f"{__name__}.Mine"])
    assert isinstance(named, Mine)
    assert holdfast.pyfunc.load_model(tmp_path / "m", skops_trusted_types=[f"{__name__}.Mine"]).get_raw_model()


class Mine(LogisticRegression):
    pass


def test_allowing_is_said_by_the_call_or_else_by_the_environment(path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_ALLOW_PICKLE", "0")
    with pytest.raises(UntrustedModelError, match="HOLDFAST_ALLOW_PICKLE=0"):
        holdfast.pyfunc.load_model(path)
    assert holdfast.pyfunc.load_model(path, allow_pickle=True)
    with pytest.raises(InvalidArgumentError, match="allow_pickle must be"):
        holdfast.sklearn.load_model(path, allow_pickle="yes")
    with pytest.raises(InvalidArgumentError, match="must be a list"):
        holdfast.sklearn.load_model(path, skops_trusted_types="a.b")


def test_the_bytes_that_were_checked_are_those_that_are_loaded(path, monkeypatch):
    from holdfast.models import _reader

    def swap(data):
        digest = real(data)
        bomb(path)  # after it was read, before it is loaded
        return digest

    real = _reader.bytes_digest
    monkeypatch.setattr(_reader, "bytes_digest", swap)
    assert holdfast.sklearn.load_model(path).coef_.tolist() == MODEL.coef_.tolist()
    assert not (path.parent / "exploded").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"\xff\xfe", "is not UTF-8"), (b"#" * ((1 << 20) + 1), "more than 1048576 bytes")],
)
def test_odd_requirements_are_a_problem_of_the_package(path, content, problem):
    (path / "requirements.txt").write_bytes(content)
    assert any(problem in text for text in holdfast.models.inspect_model(path).problems)


def test_a_requirements_file_of_no_encoding_is_named(tmp_path):
    (tmp_path / "r.txt").write_bytes(b"numpy\n\xff\xfe")
    with pytest.raises(InvalidArgumentError, match=r"r\.txt is not UTF-8"):
        holdfast.sklearn.save_model(MODEL, tmp_path / "m", pip_requirements=str(tmp_path / "r.txt"))


def test_mlmodel_is_what_yaml_says_it_is(path):
    assert yaml.safe_load((path / "MLmodel").read_text())["flavors"]["sklearn"]["pickled_model"] == "model.pkl"


@pytest.mark.parametrize("value", [5, LogisticRegression], ids=["a number", "a class"])
def test_a_pickle_that_holds_no_python_model_is_told(tmp_path, value):
    holdfast.pyfunc.save_model(tmp_path / "model", python_model=len)
    model = MLmodel.load(tmp_path / "model")
    model.digests = None
    model.save(tmp_path / "model")
    (tmp_path / "model" / "python_model.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(InvalidArgumentError, match=r"python_model\.pkl holds .* and no Python model"):
        holdfast.pyfunc.load_model(tmp_path / "model")
