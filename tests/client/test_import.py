"""What the package offers, and that offering it costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast

HEAVY = ["grpc", "numpy", "pandas", "google.protobuf", "yaml", "click", "tqdm", "asyncio", "sklearn", "psutil"]


def in_fresh_interpreter(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "statement",
    ["import holdfast", "import holdfast; holdfast.log_metric", "from holdfast import entities, errors, start_run"],
)
def test_importing_loads_nothing_heavy(statement):
    loaded = in_fresh_interpreter(f"import sys; {statement}; print(*sys.modules)").split()
    assert [name for name in HEAVY if name in loaded] == []


def test_names_are_sorted_unique_and_there():
    assert holdfast.__all__ == sorted(set(holdfast.__all__))
    for name in holdfast.__all__:
        assert getattr(holdfast, name) is not None
    assert set(holdfast.__all__) <= set(dir(holdfast))


def test_names_for_type_checkers_are_the_names_at_run_time():
    tree = ast.parse(Path(holdfast.__file__).read_text())
    typed = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    typed -= {"annotations", "TYPE_CHECKING", "Any", "version"}
    assert sorted({*typed, "__version__"}) == holdfast.__all__


def test_fluent_functions_are_all_offered():
    from holdfast import fluent

    assert set(fluent.__all__) <= set(holdfast.__all__)
    assert fluent.__all__ == sorted(fluent.__all__)


@pytest.mark.parametrize("name", ["artifacts", "entities", "errors"])
def test_submodules_keep_their_names_sorted_and_true(name):
    module = getattr(holdfast, name)
    assert sorted(module.__all__) == list(module.__all__)
    for public in module.__all__:
        assert hasattr(module, public)


def test_what_the_contract_lists_is_there():
    wanted = {
        "set_tracking_uri",
        "get_tracking_uri",
        "connect",
        "set_experiment",
        "create_experiment",
        "get_experiment",
        "get_experiment_by_name",
        "search_experiments",
        "delete_experiment",
        "restore_experiment",
        "rename_experiment",
        "set_experiment_tag",
        "set_experiment_tags",
        "start_run",
        "end_run",
        "active_run",
        "last_active_run",
        "get_run",
        "delete_run",
        "search_runs",
        "log_param",
        "log_params",
        "log_metric",
        "log_metrics",
        "set_tag",
        "set_tags",
        "delete_tag",
        "get_metric_history",
        "log_input",
        "log_inputs",
        "flush",
        "log_artifact",
        "log_artifacts",
        "log_text",
        "log_dict",
        "log_bytes",
        "log_figure",
        "log_image",
        "log_table",
        "log_stream",
        "register_model",
        "Client",
        "artifacts",
        "sklearn",
        "pyfunc",
        "models",
    }
    assert wanted <= set(holdfast.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'autolog_everything'"):
        _ = holdfast.autolog_everything


def test_stars_import_everything():
    assert (
        in_fresh_interpreter("from holdfast import *; print(start_run.__name__, Client.__name__)")
        == "start_run Client\n"
    )


def test_the_version_is_the_distribution_s():
    from importlib.metadata import version

    assert holdfast.__version__ == version("holdfast")
