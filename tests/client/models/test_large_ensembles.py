"""A large ensemble is packaged without a second copy of it in memory, or with one by skops.

Of 256 MiB by default; the environment variable ENSEMBLE_MIB says another size, such as 2048.
"""

import os
import subprocess
import sys
import textwrap

import pytest
from tests.server_process import clean_environment, running_server

MIB = int(os.environ.get("ENSEMBLE_MIB", "256"))

# A forest whose trees are copies of one, which would take minutes to train otherwise.
PROGRAM = """
import copy
import sys

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

import holdfast.sklearn

STATUS = "/proc/self/status"


def peak():
    with open(STATUS) as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def size(tree):
    return sum(part.nbytes for part in tree.tree_.__getstate__().values() if isinstance(part, np.ndarray))


def log(model):
    how = {"serialization_format": sys.argv[3]}
    if sys.argv[3] == "skops":
        how["skops_trusted_types"] = ["sklearn.tree._tree.Tree"]
    if sys.argv[2] == "save":
        holdfast.sklearn.save_model(model, sys.argv[4] + str(len(model.estimators_)), **how)
    else:
        holdfast.sklearn.log_model(model, name="model", **how)


wanted = int(sys.argv[1])
samples = np.random.default_rng(0).random((50_000, 1))
forest = RandomForestRegressor(1).fit(samples[:2], samples[:2, 0])
log(forest)
tree = DecisionTreeRegressor().fit(samples, samples[:, 0])
forest.estimators_ = [copy.deepcopy(tree) for _ in range(wanted // size(tree) + 1)]
open("/proc/self/clear_refs", "w").write("5")
before = peak()
log(forest)
print(sum(map(size, forest.estimators_)), before, peak())
"""


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
@pytest.mark.parametrize(
    ("serialization_format", "copies"), [("cloudpickle", 0), ("pickle", 0), ("skops", 1)]
)  # skops builds its archive in memory
@pytest.mark.parametrize("how", ["save", "log"])
def test_a_large_ensemble_is_packaged_without_another_copy(tmp_path, how, serialization_format, copies):
    with running_server("--data-dir", str(tmp_path / "data"), "--port", "0") as server:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(MIB << 20), how, serialization_format, tmp_path / "m"],
            env=clean_environment({"HOLDFAST_URI": f"holdfast://{server.address}"}),
            capture_output=True,
            text=True,
            check=True,
        )
    size, before, after = map(int, done.stdout.split())
    assert before > size >= MIB << 20
    # What logging takes besides does not grow with the model: blocks under way, at most 96 MiB.
    assert after - before < copies * size * 1.2 + (96 << 20)
    print(f"{how} {serialization_format}: {size >> 20} MiB, {before >> 20} before, {(after - before) >> 20} MiB more")
