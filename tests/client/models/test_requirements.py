"""Requirements: read as pip reads them, inferred without loading the model."""

import importlib.metadata
import pickle
import sys

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

import holdfast.sklearn
from holdfast.errors import InvalidArgumentError
from holdfast.models._distributions import find_distributions
from holdfast.models._pickle_modules import modules_in_pickle
from holdfast.models._requirements import override, parse_requirements, project_name


def pin(name):
    return f"{name}=={importlib.metadata.version(name)}"


def lines(path, file="requirements.txt"):
    return (path / file).read_text().splitlines()


def save(path, model=None, **options):
    holdfast.sklearn.save_model(model or LogisticRegression().fit([[0.0], [1.0]], [0, 1]), path, **options)
    return path


def test_inferred_requirements_are_pinned_to_what_is_installed(tmp_path):
    assert lines(save(tmp_path / "m")) == [pin("cloudpickle"), pin("numpy"), pin("scikit-learn")]
    assert lines(save(tmp_path / "p", serialization_format="pickle")) == [pin("numpy"), pin("scikit-learn")]
    skops = lines(save(tmp_path / "s", serialization_format="skops"))
    assert skops == [pin("numpy"), pin("scikit-learn"), pin("skops")]


def test_model_with_columns_needs_pandas(tmp_path):
    model = LogisticRegression().fit(pd.DataFrame({"a": [0.0, 1.0]}), [0, 1])
    assert pin("pandas") in lines(save(tmp_path / "m", model, input_example=pd.DataFrame({"a": [0.0]})))


def test_library_that_only_a_pickled_function_uses_is_found(tmp_path):
    def tabulate(data):
        return pd.DataFrame(data)

    save(tmp_path / "m", FunctionTransformer(tabulate), pyfunc_predict_fn="transform")
    assert pin("pandas") in lines(tmp_path / "m")


def test_environment_files_follow_the_requirements(tmp_path):
    path = save(tmp_path / "m", pip_requirements=["scikit-learn", "requests >= 2  # comment"])
    assert lines(path) == ["scikit-learn", "requests >= 2"]
    conda = yaml.safe_load((path / "conda.yaml").read_text())
    assert conda["name"] == "mlflow-env"
    assert conda["dependencies"][-1]["pip"][-2:] == ["scikit-learn", "requests >= 2"]
    python_env = yaml.safe_load((path / "python_env.yaml").read_text())
    assert python_env["python"] == ".".join(map(str, sys.version_info[:3]))
    assert python_env["dependencies"][-1] == "-r requirements.txt"


def test_extra_requirements_join_the_inferred_ones_and_win_over_them(tmp_path):
    path = save(tmp_path / "m", extra_pip_requirements=["requests>=2", "NumPy>=1"])
    assert lines(path) == [pin("cloudpickle"), pin("scikit-learn"), "requests>=2", "NumPy>=1"]


def test_requirement_files_and_constraints_are_read_in_place(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "requirements.txt").write_text(
        "a==1\n# comment\n\n-r more/b.txt\n--constraint=c.txt\nd \\\n  >=2 # why\n"
    )
    (tmp_path / "more" / "b.txt").write_text("b @ https://example.org/b.whl#sha256=0\n-c ../c2.txt\n")
    (tmp_path / "c.txt").write_text("numpy<3\n")
    (tmp_path / "c2.txt").write_text("scipy<2\n")
    path = save(tmp_path / "m", pip_requirements=str(tmp_path / "requirements.txt"))
    assert lines(path) == ["a==1", "b @ https://example.org/b.whl#sha256=0", "d >=2", "-c constraints.txt"]
    assert lines(path, "constraints.txt") == ["scipy<2", "numpy<3"]


def test_lines_in_a_list_may_name_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.txt").write_text("a\n")
    (tmp_path / "c.txt").write_text("b<1\n")
    assert parse_requirements(["-r r.txt", "-c c.txt", "z"], "x") == (["a", "z"], ["b<1"])


def test_files_that_include_each_other_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("-r b.txt\n")
    (tmp_path / "b.txt").write_text("-r a.txt\n")
    with pytest.raises(InvalidArgumentError, match="includes itself"):
        parse_requirements(tmp_path / "a.txt", "x")


def test_conda_environment_is_kept_and_its_pip_lines_become_requirements(tmp_path):
    conda = {"name": "mine", "channels": ["c"], "dependencies": ["python=3.11", "gcc", {"pip": ["scikit-learn", "x"]}]}
    path = save(tmp_path / "m", conda_env=conda)
    saved = yaml.safe_load((path / "conda.yaml").read_text())
    assert saved["name"] == "mine"
    assert saved["dependencies"][:2] == ["python=3.11", "gcc"]
    assert lines(path) == ["scikit-learn", "x"]
    (tmp_path / "env.yaml").write_text(yaml.safe_dump(conda))
    assert lines(save(tmp_path / "n", conda_env=tmp_path / "env.yaml")) == ["scikit-learn", "x"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("scikit_learn==1", "scikit-learn"),
        ("Foo.Bar[extra]>=2", "foo-bar"),
        ("a @ https://example.org/a.whl", "a"),
        ("a; python_version<'3'", "a"),
        ("-c constraints.txt", None),
        ("./local/dir", None),
        ("https://example.org/a.whl", None),
        ("git+https://example.org/a", None),
    ],
)
def test_project_of_a_requirement(line, name):
    assert project_name(line) == name


def test_override_keeps_what_is_not_named():
    assert override(["a==1", "b==1"], ["B>=2", "-c x"]) == ["a==1", "B>=2", "-c x"]


def test_modules_are_named_by_every_protocol(tmp_path):
    value = {"array": np.zeros(3), "counter": importlib.metadata.PackageNotFoundError, "again": np.zeros(2)}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        file = tmp_path / f"{protocol}"
        file.write_bytes(pickle.dumps(value, protocol=protocol))
        modules = modules_in_pickle(file)
        assert "importlib.metadata" in modules, protocol
        assert any(module.startswith("numpy") for module in modules), protocol


def test_text_in_a_model_is_not_taken_for_modules(tmp_path):
    file = tmp_path / "m"
    file.write_bytes(cloudpickle.dumps({"pandas": ["scipy.sparse", "torch"]}))
    assert modules_in_pickle(file) == set()


@pytest.fixture
def searches(monkeypatch):
    """How often all distributions were gone through, which costs more than the rest of the inference."""
    made = []
    find = importlib.metadata.distributions

    def counted(**options):
        made.append(options)
        return find(**options)

    monkeypatch.setattr(importlib.metadata, "distributions", counted)
    return made


def test_finding_distributions_does_not_read_them_all(searches):
    found = find_distributions({"numpy.core", "sklearn.tree._tree", "builtins", "__main__"})
    assert found.requirements == [pin("numpy"), pin("scikit-learn")]
    assert found.unowned == []
    assert searches == []


def test_modules_that_come_along_are_not_looked_for(tmp_path, monkeypatch, searches):
    (tmp_path / "hf_carried_scale.py").write_text("import pandas\n\ndef twice(data):\n    return data * 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    import hf_carried_scale

    model = FunctionTransformer(hf_carried_scale.twice)
    path = save(
        tmp_path / "m", model, pyfunc_predict_fn="transform", code_paths=[str(tmp_path / "hf_carried_scale.py")]
    )
    assert pin("pandas") in lines(path)
    assert searches == []


def test_module_of_a_distribution_with_another_name_is_found():
    found = find_distributions({"_pytest.config", "dateutil.parser", "no_such_module_here.x"})
    assert found.requirements == [pin("pytest"), pin("python-dateutil")]
    assert found.unowned == ["no_such_module_here"]
