"""What is looked for in a tracking store; each function is one scenario, and has experiments of its own."""

from __future__ import annotations

import math

from mlflow.entities import (
    Dataset,
    DatasetInput,
    ExperimentTag,
    InputTag,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
    Param,
    RunStatus,
    RunTag,
    ViewType,
)
from tests.interop.differential.scenario_parts import CODES, MORE, STRICT, a_run


def search_experiments(store):
    for number, team in enumerate(["ocr", "ocr", "nlp", "nlp"]):
        store.create_experiment(
            f"found {number}", None, [ExperimentTag("team", team), ExperimentTag("no", str(number))]
        )
    store.delete_experiment(store.get_experiment_by_name("found 3").experiment_id)
    for condition in (
        "name LIKE 'found %'",
        "name ILIKE 'FOUND %'",
        "name = 'found 1'",
        "name LIKE 'found %' AND name != 'found 1'",
        "tags.team = 'ocr'",
        "tags.team = 'ocr' AND tags.no = '1'",
        "tags.team != 'ocr' AND name LIKE 'found %'",
        "tag.team LIKE 'n%'",
        "attribute.name = 'found 0'",
        "creation_time > 0 AND name LIKE 'found %'",
        "last_update_time >= 0 AND name LIKE 'found %'",
        "name LIKE 'found %' AND tags.absent IS NULL",
        "name LIKE 'found %' AND tags.team IS NOT NULL",
        "nonsense",
        "name < 'a'",
        "params.x = '1'",
        "name = found",
    ):
        for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL):
            store.search_experiments(view, 10, condition, ["name ASC"], None)
    with store.differs(MORE):
        store.search_experiments(ViewType.ALL, 10, "attributes.`name` = 'found 0'", ["name ASC"], None)
        store.search_experiments(ViewType.ALL, 10, "name IN ('found 1')", ["name ASC"], None)
    named = "name LIKE 'found %'"
    for order in (["name"], ["name DESC"], ["experiment_id ASC"], ["creation_time DESC", "name DESC"], ["nonsense"]):
        store.search_experiments(ViewType.ALL, 10, named, order, None)
    page = store.search_experiments(ViewType.ALL, 3, named, ["name"], None)
    store.search_experiments(ViewType.ALL, 3, named, ["name"], page.token)
    store.search_experiments(ViewType.ALL, 4, named, ["name"], None)
    store.search_experiments(ViewType.ALL, 0, named, None, None)
    store.search_experiments(ViewType.ALL, 50_001, named, None, None)
    store.search_experiments(ViewType.ALL, 10, named, None, "not a token")


def search_runs(store):
    experiment, other = store.create_experiment("search", None, None), store.create_experiment("search 2", None, None)
    names = ["alpha", "beta", "gamma", "delta", "Epsilon"]
    made = []
    for number, name in enumerate(names):
        run = a_run(
            store, other if number == 4 else experiment, name, 100 * number, [("team", name[0]), ("odd key", "1")]
        )
        made.append(run)
        store.log_batch(
            run,
            [Metric("loss", [0.5, 0.1, math.nan, 0.3, 2.0][number], 1, 0), Metric("m.b/c", number, 1, 0)],
            [Param("lr", str(number / 10)), Param("opt", ["adam", "sgd"][number % 2])],
            [],
        )
    store.log_batch(made[1], [Metric("only", 1.0, 1, 0)], [Param("only", "x")], [RunTag("only", "y")])
    store.update_run_info(made[0], RunStatus.FINISHED, 900, None)
    store.update_run_info(made[3], RunStatus.FAILED, 1_200, None)
    iris = DatasetInput(Dataset("iris", "d1", "local", "{}"), [InputTag("mlflow.data.context", "train")])
    store.log_inputs(made[2], [iris])
    both = [experiment, other]
    order = ["attributes.start_time ASC"]
    for condition in (
        "",
        "metrics.loss < 0.4",
        "metrics.loss >= 0.1 and metrics.loss <= 0.5",
        "metrics.loss = 0.1",
        "metrics.loss != 0.1",
        "metric.loss > -1e3",
        "metrics.`m.b/c` > 1",
        'metrics."m.b/c" > 1',
        "params.opt = 'adam'",
        "params.opt != 'adam'",
        "param.lr LIKE '0.%'",
        "parameters.lr LIKE '%1'",
        "params.opt ILIKE 'ADA%'",
        "params.opt LIKE 'ADA%'",
        "tags.team = 'a'",
        "tags.`odd key` = '1'",
        "tag.team LIKE '%a%'",
        "tags.team ILIKE 'E'",
        "tags.only IS NULL",
        "tags.only IS NOT NULL",
        "params.only IS NULL",
        "params.only IS NOT NULL",
        "tags.mlflow.runName = 'beta'",
        "attributes.status = 'FINISHED'",
        "attribute.status != 'RUNNING'",
        "attr.status = 'RUNNING'",
        "run.status = 'RUNNING'",
        "status = 'FAILED'",
        "run_name = 'gamma'",
        "attributes.run_name LIKE '%a'",
        "`run name` = 'gamma'",
        "attributes.`Run name` ILIKE 'EPS%'",
        "start_time > 100",
        "attributes.start_time <= 200 AND attributes.start_time > 0",
        "created >= 300",
        "end_time < 1000",
        "user_id = 'ada'",
        "attributes.user_id != 'ada'",
        f"run_id = '{made[1]}'",
        f"attributes.run_id IN ('{made[1]}', '{made[2]}')",
        f"run_id NOT IN ('{made[1]}')",
        f"attributes.run_id LIKE '{made[1][:20]}%'",
        "dataset.name = 'iris'",
        "datasets.digest LIKE 'd%'",
        "dataset.context = 'train'",
        "dataset.name = 'iris' AND dataset.context = 'test'",
        "metrics.loss < 1 AND params.opt = 'sgd' AND tags.team = 'b' AND status = 'RUNNING'",
        "metrics.loss < 'a'",
        "params.opt = adam",
        "params.opt = 3",
        "params.opt < 'a'",
        "status = 'RUNNING' OR status = 'FAILED'",
        "nonsense = 1",
        "nonsense.key = 'x'",
        "metrics.loss",
    ):
        store.search_runs(both, condition, ViewType.ALL, 100, order)
    with store.differs(MORE):
        for condition in ("metrics.m.b/c = 2", "params.opt IN ('adam', 'other')", "lifecycle_stage = 'active'"):
            store.search_runs(both, condition, ViewType.ALL, 100, order)
        for order_by in (["`Run name`"], ["experiment_id DESC", "start_time"]):
            store.search_runs(both, "", ViewType.ALL, 100, order_by)
    with store.differs(STRICT):
        store.search_runs(both, "metrics.loss < 1 AND", ViewType.ALL, 100, order)
    with store.differs("Runs are not searched by attributes.artifact_uri: it says no more than their id."):
        store.search_runs(both, "artifact_uri = 'x'", ViewType.ALL, 100, order)
    for order_by in (
        None,
        [],
        ["metrics.loss"],
        ["metrics.loss DESC"],
        ["metrics.loss ASC", "params.lr DESC"],
        ["metrics.only ASC"],
        ["metrics.only DESC", "attributes.run_name"],
        ["params.opt", "start_time"],
        ["tags.team DESC"],
        ["tag.only desc", "run_name asc"],
        ["attributes.start_time DESC"],
        ["attribute.end_time", "attribute.run_name"],
        ["status", "run_name"],
        ["run_name DESC"],
        ["created"],
        ["Created DESC"],
        ["metrics.`m.b/c` desc"],
        ["loss"],
        ["metrics.loss SIDEWAYS"],
        [""],
    ):
        store.search_runs(both, "", ViewType.ALL, 100, order_by)
    page = store.search_runs(both, "", ViewType.ALL, 2, ["metrics.only DESC"])
    page = store.search_runs(both, "", ViewType.ALL, 2, ["metrics.only DESC"], page.token)
    store.search_runs(both, "", ViewType.ALL, 2, ["metrics.only DESC"], page.token)
    store.search_runs(both, "", ViewType.ALL, 5, order)
    store.search_runs([other], "", ViewType.ALL, 5, order)
    store.search_runs(["4711"], "", ViewType.ALL, 5, order)
    store.search_runs(both, "", ViewType.ALL, 0, order)
    store.search_runs(both, "", ViewType.ALL, 50_001, order)
    store.search_runs(both, "", ViewType.ALL, 2, order, "not a token")
    store.delete_run(made[0])
    for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL):
        store.search_runs(both, "", view, 100, order)
    with store.differs("A search names the experiments that it looks in: none is an error, where MLflow finds none."):
        store.search_runs([], "", ViewType.ALL, 5, order)


def search_logged_models(store):
    experiment, other = store.create_experiment("lms", None, None), store.create_experiment("lms 2", None, None)
    run = a_run(store, experiment, "lms")
    for number, name in enumerate(["a tree", "forest", "linear", "other"]):
        made = store.create_logged_model(
            other if number == 3 else experiment,
            name,
            run,
            [LoggedModelTag("team", name[0])],
            [LoggedModelParameter("depth", str(number))],
            ["classifier", "regressor"][number % 2],
        ).model_id
        if number < 3:
            store.log_metric(run, Metric("acc", number / 10, 1, 0, made, "iris", "d1", run))
            store.log_metric(run, Metric("loss", 1 - number / 10, 1, 0, made, "wine", f"d{number}", run))
        if number == 2:
            store.finalize_logged_model(made, LoggedModelStatus.READY)
        if number == 1:
            forest = made
    both = [experiment, other]
    by_name = [{"field_name": "name"}]
    for condition in (
        None,
        "",
        "name = 'a tree'",
        "name LIKE '%ee'",
        "name ILIKE 'A TREE'",
        "attributes.name != 'a tree'",
        "model_type = 'classifier'",
        "attributes.model_type IN ('regressor')",
        "creation_timestamp > 0",
        "last_updated_timestamp >= 0",
        f"source_run_id = '{run}'",
        f"model_id = '{forest}'",
        "params.depth = '1'",
        "params.depth LIKE '%'",
        "tags.team = 'f'",
        "tags.team != 'f'",
        "metrics.acc > 0.05",
        "metrics.acc > 0.05 AND name = 'linear'",
        "metrics.acc = 0.1",
        "name =",
    ):
        store.search_logged_models(both, condition, None, 10, by_name)
    with store.differs("Logged models are found by their status, of which MLflow compares the number."):
        store.search_logged_models(both, "status = 'READY'", None, 10, by_name)
        store.search_logged_models(both, "attributes.status = 'PENDING'", None, 10, by_name)
    with store.differs(CODES):
        store.search_logged_models(both, "metrics.acc > 'x'", None, 10, by_name)
        store.search_logged_models(both, "nonsense = 'x'", None, 10, by_name)
    with store.differs(STRICT):
        store.search_logged_models(both, "name = forest", None, 10, by_name)
    with store.differs(MORE):
        store.search_logged_models(both, "attributes.creation_time > 0", None, 10, by_name)
        store.search_logged_models(both, None, None, 10, [{"field_name": "params.depth"}])
    for datasets in (
        [{"dataset_name": "iris"}],
        [{"dataset_name": "wine", "dataset_digest": "d1"}],
        [{"dataset_name": "none"}],
        [{"dataset_name": "wine", "dataset_digest": "d1"}, {"dataset_name": "wine", "dataset_digest": "d2"}],
        [{"dataset_digest": "d1"}],
    ):
        store.search_logged_models(both, None, datasets, 10, by_name)
        store.search_logged_models(both, "metrics.loss > 0.85", datasets, 10, by_name)
    for order_by in (
        [{"field_name": "name", "ascending": False}],
        [{"field_name": "metrics.acc"}, {"field_name": "name"}],
        [{"field_name": "metrics.acc", "ascending": False}, {"field_name": "name"}],
        [{"field_name": "metrics.acc", "dataset_name": "iris", "dataset_digest": "d1"}, {"field_name": "name"}],
        [{"field_name": "metrics.loss", "dataset_name": "wine"}, {"field_name": "name"}],
        [{"field_name": "model_type"}, {"field_name": "name"}],
        [{"field_name": "creation_timestamp"}, {"field_name": "name"}],
        [{"field_name": "last_updated_timestamp", "ascending": False}, {"field_name": "name", "ascending": False}],
        [{"field_name": "nonsense"}],
    ):
        store.search_logged_models(both, None, None, 10, order_by)
    page = store.search_logged_models(both, None, None, 3, by_name)
    store.search_logged_models(both, None, None, 3, by_name, page.token)
    store.search_logged_models(both, None, None, 4, by_name)
    store.search_logged_models([other], None, None, None, by_name)
    store.delete_logged_model(forest)
    store.search_logged_models(both, None, None, 10, by_name)


SCENARIOS = (search_experiments, search_runs, search_logged_models)
