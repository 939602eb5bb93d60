"""What a script does that begins with ``import mlflow``; each function is one scenario, and notes what it sees.

``ml`` is the module, ``see`` notes values under a label, and ``refused`` notes whether a call raised. ``directory`` is
the side's own, and empty.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np


def fluent_runs(ml, see, refused, directory):
    see("no run", ml.active_run())
    experiment = ml.set_experiment("fluent runs")
    see("experiment", experiment.name, experiment.lifecycle_stage, type(experiment.experiment_id).__name__)
    with ml.start_run(run_name="outer", tags={"a": 1}, description="described") as outer:
        see("active", ml.active_run().info.run_id == outer.info.run_id)
        refused("a second run", ml.start_run)
        see("a param", ml.log_param("p", 1))
        see("params", ml.log_params({"q": [1, 2], "r": None, "s": 0.1}))
        see("a metric", ml.log_metric("m", 0.5, step=2))
        see("metrics", ml.log_metrics({"m": 0.25, "n": True}, step=3))
        see("a tag", ml.set_tag("t", 7))
        see("tags", ml.set_tags({"u": None, "v": "x"}))
        ml.delete_tag("v")
        refused("a tag that is not there", ml.delete_tag, "v")
        refused("another value", ml.log_param, "p", 2)
        refused("the same value", ml.log_param, "p", "1")
        refused("a bad key", ml.log_param, "a;b", 1)
        refused("no number", ml.log_metric, "x", "much")
        with ml.start_run(run_name="inner", nested=True) as inner:
            see("inner", ml.active_run().info.run_id == inner.info.run_id)
            ml.log_metric("m", np.float32(1.5))
            ml.log_metric("nan", math.nan)
        see("outer again", ml.active_run().info.run_id == outer.info.run_id)
    see("none active", ml.active_run(), ml.last_active_run().info.run_id == outer.info.run_id)
    for run in (ml.get_run(outer.info.run_id), ml.get_run(inner.info.run_id)):
        info, data = run.info, run.data
        see("info", info.run_name, info.status, info.lifecycle_stage, info.end_time >= info.start_time)
        see("data", data.params, data.metrics)
        see("tags", sorted(key for key in data.tags if not key.startswith("mlflow.source.git")))
        see("source", {key: value for key, value in data.tags.items() if not key.startswith("mlflow.source")})
    see("parent", ml.get_parent_run(inner.info.run_id).info.run_id == outer.info.run_id)
    see("no parent", ml.get_parent_run(outer.info.run_id))
    refused("an unknown run", ml.get_run, "0" * 32)


def fluent_ends(ml, see, refused, directory):
    ml.set_experiment("fluent ends")

    def fail():
        with ml.start_run():
            raise ValueError

    refused("an error", fail)
    see("failed", ml.last_active_run().info.status)

    def interrupt():
        with ml.start_run():
            raise KeyboardInterrupt

    refused("Ctrl-C", interrupt)
    with see.differs("Ctrl-C in a run ends it KILLED, where MLflow has FAILED."):
        see("interrupted", ml.last_active_run().info.status)
    ml.start_run()
    ml.end_run("KILLED")
    run = ml.get_run(ml.last_active_run().info.run_id)
    see("ended", run.info.status, run.info.end_time is None)
    see("nothing to end", ml.end_run())
    with ml.start_run(run_id=run.info.run_id) as again:
        see("again", again.info.run_id == run.info.run_id, ml.get_run(run.info.run_id).info.status)
    see("ended again", ml.get_run(run.info.run_id).info.status)
    ml.log_metric("m", 1.0)
    begun = ml.active_run()
    see("begun by itself", begun is None, begun.info.status)
    ml.end_run()
    ml.delete_run(begun.info.run_id)
    see("deleted", ml.get_run(begun.info.run_id).info.lifecycle_stage)
    refused("a run that is deleted", ml.start_run, run_id=begun.info.run_id)
    ml.end_run()
    refused("an unknown run", ml.start_run, run_id="0" * 32)
    ml.end_run()


def fluent_experiments(ml, see, refused, directory):
    made = ml.create_experiment("fluent made", tags={"a": "1"})
    see("id", type(made).__name__)
    refused("a taken name", ml.create_experiment, "fluent made")
    refused("no name", ml.create_experiment, "")
    see("by name", ml.get_experiment_by_name("fluent made").experiment_id == made)
    see("none", ml.get_experiment_by_name("fluent none"))
    refused("an unknown id", ml.get_experiment, "4711")
    chosen = ml.set_experiment(experiment_id=made)
    see("chosen", chosen.name, chosen.tags)
    with ml.start_run() as run:
        see("in it", run.info.experiment_id == made)
        ml.set_experiment_tag("b", 2)
        ml.set_experiment_tags({"c": "3"})
    see("tags", dict(ml.get_experiment(made).tags))
    see("found", [item.name for item in ml.search_experiments(filter_string="name LIKE 'fluent m%'")])
    see("default", ml.get_experiment("0").name)
    ml.delete_experiment(made)
    see("deleted", ml.get_experiment(made).lifecycle_stage)
    refused("choosing a deleted one", ml.set_experiment, "fluent made")
    refused("a name and an id", ml.set_experiment, "fluent made", made)


def fluent_searches(ml, see, refused, directory):
    made = ml.set_experiment("fluent searching").experiment_id
    for number in range(3):
        with ml.start_run(run_name=f"run {number}"):
            ml.log_metric("loss", number)
            ml.log_param("p", number)
            ml.set_tag("t", f"tag {number}")
    frame = ml.search_runs([made], "metrics.loss > 0", order_by=["metrics.loss DESC"])
    see("columns", sorted(column for column in frame.columns if not column.startswith("tags.mlflow.source")))
    see("rows", frame["tags.mlflow.runName"].tolist(), frame["metrics.loss"].tolist(), frame["params.p"].tolist())
    see("types", {name: str(kind) for name, kind in frame.dtypes.items() if not name.startswith(("params.", "tags."))})
    listed = ml.search_runs(experiment_names=["fluent searching"], output_format="list", max_results=2)
    see("list", [run.info.run_name for run in listed])
    see("empty", len(ml.search_runs([made], "metrics.loss > 10")), ml.search_runs([made], "tags.t = 'no'").empty)
    see("of the chosen one", len(ml.search_runs()))
    refused("a bad filter", ml.search_runs, [made], "nonsense")


def fluent_artifacts(ml, see, refused, directory):
    there = ml.create_experiment("fluent artifacts", str(Path(directory, "artifacts")))
    ml.set_experiment(experiment_id=there)
    local = Path(directory, "local")
    (local / "sub").mkdir(parents=True, exist_ok=True)
    (local / "a.txt").write_text("a")
    (local / "sub" / "b.txt").write_text("b")
    with ml.start_run() as run:
        ml.log_artifact(str(local / "a.txt"))
        ml.log_artifact(local / "a.txt", "under")
        ml.log_artifact(str(local), "whole")
        ml.log_artifacts(str(local), "contents")
        ml.log_text("text", "texts/t.txt")
        ml.log_dict({"a": [1]}, "d.json")
        ml.log_dict({"a": [1]}, "d.yaml")
        ml.log_table({"x": [1, 2], "y": ["a", "b"]}, "table.json")
        ml.log_table({"x": [3], "y": ["c"]}, "table.json")
        refused("a missing file", ml.log_artifact, str(local / "none"))
    uri = f"runs:/{run.info.run_id}"

    def paths(path=None):
        return sorted(
            (item.path, item.is_dir, item.file_size)
            for item in ml.artifacts.list_artifacts(run_id=run.info.run_id, artifact_path=path)
            if not item.path.startswith("d.") and item.path != "table.json"  # which are spaced as each likes
        )

    see("root", paths())
    see("below", paths("whole"), paths("whole/local"), paths("contents"), paths("contents/sub"), paths("under"))
    see("by URI", sorted(item.path for item in ml.artifacts.list_artifacts(f"{uri}/contents")))
    with see.differs("Listing artifacts of a directory that is not there is an error, where MLflow finds none."):
        refused("nothing", paths, "nothing")
    see("text", ml.artifacts.load_text(f"{uri}/texts/t.txt"))
    see("dict", ml.artifacts.load_dict(f"{uri}/d.json"), ml.artifacts.load_dict(f"{uri}/table.json"))
    got = Path(ml.artifacts.download_artifacts(f"{uri}/contents", dst_path=str(Path(directory, f"got {ml.__name__}"))))
    see("downloaded", got.name, sorted(str(path.relative_to(got)) for path in got.rglob("*")))
    one = Path(ml.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="contents/sub/b.txt"))
    see("one file", one.name, one.read_text())
    refused("what is not there", ml.artifacts.download_artifacts, f"{uri}/none.txt")


def fluent_datasets(ml, see, refused, directory):
    import mlflow.data

    ml.set_experiment("fluent datasets")
    dataset = mlflow.data.from_numpy(np.arange(4), name="numbers")
    with ml.start_run() as run:
        ml.log_input(dataset, context="training", tags={"k": "v"})
        ml.log_input(dataset, context="training")
        ml.log_metric("m", 1.0, dataset=dataset)
    (found,) = ml.get_run(run.info.run_id).inputs.dataset_inputs
    described = found.dataset
    see("dataset", described.name, described.digest, described.source_type, described.schema, described.profile)
    see("tags", sorted((tag.key, tag.value) for tag in found.tags))


SCENARIOS = (
    fluent_runs,
    fluent_ends,
    fluent_experiments,
    fluent_searches,
    fluent_artifacts,
    fluent_datasets,
)
