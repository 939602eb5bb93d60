"""Searches over a real socket: what matches, in which order, in which pages."""

from __future__ import annotations

import math

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.v1 import experiment_pb2 as experiment_pb
from holdfast.v1 import experiment_service_pb2, model_registry_service_pb2, model_service_pb2
from holdfast.v1 import run_pb2 as pb
from holdfast.v1 import run_service_pb2 as service
from holdfast_server.domain.registry import ResolvedSource
from holdfast_server.services import registry as registry_use_cases

Tag, Param, Metric = experiment_pb.Tag, pb.Param, pb.Metric


async def create(runs, name, start=0, **fields):
    request = service.CreateRunRequest(run_name=name, start_time=Timestamp(seconds=start), **fields)
    return (await runs.CreateRun(request)).run.run_id


async def log(runs, run_id, **fields):
    await runs.LogBatch(service.LogBatchRequest(run_id=run_id, **fields))


async def search(runs, filter_="", order_by=(), **fields):
    """Names of all that is found, over all pages."""
    fields = {"experiment_ids": ["0"], **fields}
    names, token, first = [], "", True
    while token or first:
        request = service.SearchRunsRequest(filter=filter_, order_by=order_by, page_token=token, **fields)
        page = await runs.SearchRuns(request)
        assert page.ByteSize() < 3 << 20
        names += [run.run_name for run in page.runs]
        token, first = page.next_page_token, False
    return names


@pytest.fixture
async def three(runs):
    """Three runs, started at 1, 2 and 3 seconds: a has loss 0.1, b NaN, c none."""
    ids = {}
    for start, name in enumerate("abc", 1):
        ids[name] = await create(runs, name, start, user_id=f"user-{name}")
    await log(
        runs,
        ids["a"],
        metrics=[Metric(key="loss", value=0.1), Metric(key="val/acc-1", value=1)],
        params=[Param(key="opt", value="Adam"), Param(key="odd key", value="1%_[*?")],
        tags=[Tag(key="team", value="red")],
    )
    await log(
        runs,
        ids["b"],
        metrics=[Metric(key="loss", value=math.nan), Metric(key="inf", value=math.inf)],
        params=[Param(key="opt", value="sgd")],
        tags=[Tag(key="team", value='it\'s "blue"')],
    )
    request = service.UpdateRunRequest(run_id=ids["b"], status=pb.RUN_STATUS_FAILED, end_time=Timestamp(seconds=50))
    await runs.UpdateRun(request)
    return ids


@pytest.mark.parametrize(
    ("filter_", "names"),
    [
        ("", "cba"),
        ("metrics.loss < 0.5", "a"),
        ("metrics.loss = 0", ""),
        ("metrics.loss != 0.1", "b"),
        ("metrics.loss != 0", "ba"),
        ("metrics.inf > 1e308", "b"),
        ("metric.`val/acc-1` >= 1", "a"),
        ("metrics.val/acc-1 >= 1", "a"),
        ('metrics."val/acc-1" >= 1', "a"),
        ("metrics.loss<.5 and metrics.loss>-1", "a"),
        ("params.opt = 'Adam'", "a"),
        ("params.opt = 'adam'", ""),
        ("params.opt != 'Adam'", "b"),
        ("params.opt <> 'Adam'", "b"),
        ("params.opt LIKE 'A%'", "a"),
        ("params.opt LIKE 'a%'", ""),
        ("params.opt ILIKE 'a%'", "a"),
        ("params.opt LIKE '___'", "b"),
        ("params.opt IN ('Adam', 'sgd')", "ba"),
        ("params.opt IS NULL", "c"),
        ("params.opt IS NOT NULL", "ba"),
        ("param.`odd key` = '1%_[*?'", "a"),
        ("param.`odd key` LIKE '1%[*?'", "a"),
        ("param.`odd key` LIKE '1%[x]'", ""),
        ("tags.team = 'red'", "a"),
        ("tag.team = 'it''s \"blue\"'", "b"),
        ('tags.team = "it\'s ""blue"""', "b"),
        ("tags.`mlflow.runName` = 'c'", "c"),
        ("tags.mlflow.runName = 'c'", "c"),
        ("attributes.status = 'FAILED'", "b"),
        ("status != 'FAILED'", "ca"),
        ("attr.status IN ('FAILED', 'RUNNING',)", "cba"),
        ("attributes.status NOT IN ('FAILED')", "ca"),
        ("run.run_name LIKE '_'", "cba"),
        ("`Run name` = 'b'", "b"),
        ("attributes.`run name` = 'b'", "b"),
        ("user_id = 'user-c'", "c"),
        ("attributes.start_time > 1000", "cb"),
        ("start_time >= 1000 AND start_time <= 2000.5", "ba"),
        ("attributes.end_time = 50000", "b"),
        ("attributes.end_time < 99999999999999999999", "b"),
        ("  metrics.loss   <  1\nAND\tparams.opt = 'Adam' ", "a"),
    ],
)
async def test_filters(runs, three, filter_, names):
    assert await search(runs, filter_) == list(names)


async def test_run_ids_can_be_listed(runs, three):
    assert await search(runs, f"run_id IN ('{three['a']}', '{three['c']}')") == ["c", "a"]
    assert await search(runs, f"attributes.run_id = '{three['b']}'") == ["b"]
    assert await search(runs, f"run_id NOT IN ('{three['b']}')") == ["c", "a"]


async def test_datasets_are_searched(runs, three):
    dataset = pb.Dataset(name="iris", digest="d1")
    tags = [Tag(key="mlflow.data.context", value="train")]
    inputs = [pb.DatasetInput(dataset=dataset, tags=tags)]
    await runs.LogInputs(service.LogInputsRequest(run_id=three["b"], datasets=inputs))
    assert await search(runs, "dataset.name = 'iris' AND datasets.digest LIKE 'd%'") == ["b"]
    assert await search(runs, "dataset.context = 'train'") == ["b"]
    assert await search(runs, "dataset.name != 'iris'") == []
    request = service.SearchRunsRequest(experiment_ids=["0"], filter="dataset.name = 'iris'")
    assert (await runs.SearchRuns(request)).runs[0].dataset_inputs == inputs


@pytest.mark.parametrize(
    ("order_by", "names"),
    [
        ([], "cba"),
        (["attributes.start_time ASC"], "abc"),
        (["start_time"], "abc"),
        (["Created DESC"], "cba"),
        (["metrics.loss"], "abc"),
        (["metrics.loss DESC"], "abc"),
        (["params.opt DESC"], "bac"),
        (["tags.team asc"], "bac"),
        (["end_time"], "bca"),
        (["end_time DESC"], "bca"),
        (["run_name DESC", "metrics.loss"], "cba"),
        (["metrics.absent", "metrics.`loss` DESC", "run_name"], "abc"),
    ],
)
@pytest.mark.parametrize("page_size", [1, 2, 1_000])
async def test_orderings_put_nan_and_missing_last(runs, three, order_by, names, page_size):
    assert await search(runs, order_by=order_by, page_size=page_size) == list(names)


async def test_pages_agree_with_one_long_answer(runs):
    for i in range(40):
        run_id = await create(runs, f"r{i:02}", start=i % 3)
        if i % 5:
            value = [math.nan, math.inf, -math.inf, 0.0, 1.5][i % 4]
            await log(runs, run_id, metrics=[Metric(key="m", value=value)], params=[Param(key="p", value=f"{i % 7}")])
    for order_by in ([], ["metrics.m"], ["metrics.m DESC", "params.p"], ["params.p DESC", "tags.x"]):
        whole = await search(runs, order_by=order_by)
        assert sorted(whole) == [f"r{i:02}" for i in range(40)]
        for page_size in (1, 7, 39, 40):
            assert await search(runs, order_by=order_by, page_size=page_size) == whole


async def test_infinite_values_sort_around_the_finite_ones(runs):
    for name, value in (("low", -math.inf), ("mid", 0.0), ("high", math.inf), ("nan", math.nan)):
        await log(runs, await create(runs, name), metrics=[Metric(key="m", value=value)])
    await create(runs, "none")
    assert await search(runs, order_by=["metrics.m ASC"]) == ["low", "mid", "high", "nan", "none"]
    assert await search(runs, order_by=["metrics.m DESC"]) == ["high", "mid", "low", "nan", "none"]


async def test_views_and_experiments_scope_a_search(runs, experiments, three, refused):
    made = await experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(name="e"))
    other = made.experiment.experiment_id
    await create(runs, "d", 9, experiment_id=other)
    await runs.DeleteRun(service.DeleteRunRequest(run_id=three["b"]))
    assert await search(runs) == ["c", "a"]
    assert await search(runs, view_type=experiment_pb.VIEW_TYPE_DELETED_ONLY) == ["b"]
    assert await search(runs, view_type=experiment_pb.VIEW_TYPE_ALL) == ["c", "b", "a"]
    assert await search(runs, experiment_ids=["0", other]) == ["d", "c", "a"]
    assert await search(runs, experiment_ids=[other, other]) == ["d"]
    assert await search(runs, experiment_ids=["99"]) == []
    await refused(search(runs, experiment_ids=[]), "INVALID_ARGUMENT", "INVALID_VALUE")
    await refused(search(runs, experiment_ids=["x"]), "INVALID_ARGUMENT", "INVALID_NAME")
    await refused(search(runs, view_type=9), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_found_runs_hold_what_they_logged(runs, three):
    request = service.SearchRunsRequest(experiment_ids=["0"], filter="run_name = 'a'")
    found = (await runs.SearchRuns(request)).runs[0]
    assert found == (await runs.GetRun(service.GetRunRequest(run_id=three["a"]))).run


@pytest.mark.parametrize(
    ("filter_", "column"),
    [
        ("metrics.loss < ", 16),
        ("metrics.loss", 13),
        ("metrics. loss < 1", 10),
        ("loss < 1", 1),
        ("nonsense.loss < 1", 1),
        ("metrics.loss < 'x'", 16),
        ("metrics.loss LIKE 'x'", 14),
        ("metrics.loss IS NULL", 14),
        ("params.p < 'x'", 10),
        ("params.p = 3", 12),
        ("params.p = 'x' OR params.p = 'y'", 16),
        ("params.p = 'x' params.q = 'y'", 16),
        ("params.p = 'x' AND", 19),
        ("AND params.p = 'x'", 1),
        ("(params.p = 'x')", 1),
        ("params.p = 'x", 12),
        ("params.`p = 'x'", 8),
        ("params.p = 'x'; DROP TABLE runs", 15),
        ("params.p == 'x'", 11),
        ("params.p IN ()", 14),
        ("params.p IN ('x'", 17),
        ("params.p IN 'x'", 13),
        ("params.p NOT LIKE 'x'", 10),
        ("params.p IS 'x'", 13),
        (f"params.p LIKE '{'%' * 1_001}'", 15),
        ("dataset.size = 'x'", 1),
        ("attributes.loss = 'x'", 1),
        ("start_time = '5'", 14),
        ("$ = 1", 1),
        ("params.p = 'x' AND " * 100 + "params.p = 'x'", 1901),
    ],
)
async def test_bad_filters_point_at_the_column(runs, refused, filter_, column):
    error = await refused(search(runs, filter_), "INVALID_ARGUMENT", "INVALID_FILTER")
    assert error.metadata["column"] == str(column)
    assert f"column {column}:" in error.message
    assert error.field == "filter"


@pytest.mark.parametrize(
    ("order_by", "reason"),
    [
        (["metrics.loss UP"], "INVALID_FILTER"),
        (["loss"], "INVALID_FILTER"),
        ([""], "INVALID_FILTER"),
        (["metrics.loss ASC DESC"], "INVALID_FILTER"),
        (["metrics.loss, metrics.acc"], "INVALID_FILTER"),
        (["dataset.name"], "INVALID_FILTER"),
        (["metrics." + "x" * 1_024], "INVALID_FILTER"),
        ([f"metrics.m{i}" for i in range(11)], "LIMIT_EXCEEDED"),
    ],
)
async def test_bad_orderings_are_refused(runs, refused, order_by, reason):
    assert (await refused(search(runs, order_by=order_by), "INVALID_ARGUMENT", reason)).field == "order_by"


async def test_filter_length_is_bounded(runs, refused):
    await refused(search(runs, "a" * 16_385), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")


async def test_page_tokens_belong_to_their_query(runs, three, refused):
    async def page(**fields):
        return await runs.SearchRuns(service.SearchRunsRequest(**{"experiment_ids": ["0"], "page_size": 1, **fields}))

    token = (await page(filter="start_time > 0")).next_page_token
    again = await page(filter="attributes.start_time  >  0", page_size=2, page_token=token)
    assert [run.run_name for run in again.runs] == ["b", "a"]
    for fields in (
        {},
        {"filter": "start_time > 1"},
        {"filter": "start_time > 0", "order_by": ["run_name"]},
        {"filter": "start_time > 0", "view_type": experiment_pb.VIEW_TYPE_ALL},
        {"filter": "start_time > 0", "experiment_ids": ["0", "1"]},
        {"filter": "start_time > 0", "page_token": ("A" if token[0] != "A" else "B") + token[1:]},
        {"filter": "start_time > 0", "page_token": "x"},
        {"filter": "start_time > 0", "page_token": token + "AAAA"},
    ):
        await refused(page(**{"page_token": token, **fields}), "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_page_size_is_bounded(runs, refused):
    await refused(search(runs, page_size=50_001), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    await refused(search(runs, page_size=-1), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_large_runs_make_short_pages_and_huge_ones_are_truncated(runs):
    for name in ("a", "b", "c"):
        run_id = await create(runs, name)
        for batch in range(2 if name != "b" else 6):
            params = [Param(key=f"p{batch}-{i}", value="x" * 6_000) for i in range(100)]
            await log(runs, run_id, params=params, metrics=[Metric(key="m", value=1)])
    found, token, first = [], "", True
    while token or first:
        request = service.SearchRunsRequest(experiment_ids=["0"], order_by=["run_name"], page_token=token)
        page = await runs.SearchRuns(request)
        assert page.ByteSize() < 3 << 20
        found += [(run.run_name, run.truncated, len(run.params), len(run.metrics)) for run in page.runs]
        token, first = page.next_page_token, False
    assert found == [("a", False, 200, 1), ("b", True, 0, 1), ("c", False, 200, 1)]


async def test_experiments_are_searched(experiments, refused):
    for name in ("alpha", "beta", "Alpine"):
        tags = [Tag(key="k", value=name)]
        await experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(name=name, tags=tags))
    await experiments.DeleteExperiment(experiment_service_pb2.DeleteExperimentRequest(experiment_id="2"))

    async def names(filter_="", order_by=("name",), **fields):
        found, token, first = [], "", True
        while token or first:
            request = experiment_service_pb2.SearchExperimentsRequest(
                filter=filter_, order_by=order_by, page_token=token, page_size=1, **fields
            )
            page = await experiments.SearchExperiments(request)
            found += [e.name for e in page.experiments]
            token, first = page.next_page_token, False
        return found

    assert await names() == ["Alpine", "Default", "alpha"]
    assert await names("name LIKE 'al%'") == ["alpha"]
    assert await names("name ILIKE 'al%' AND tags.k IS NOT NULL") == ["Alpine", "alpha"]
    assert await names("tags.k = 'alpha'") == ["alpha"]
    assert await names("experiment_id IN ('0', '3')", order_by=["experiment_id DESC"]) == ["Alpine", "Default"]
    assert await names("creation_time > 0 AND last_update_time >= 0", order_by=["creation_time ASC"]) != []
    assert await names(view_type=experiment_pb.VIEW_TYPE_DELETED_ONLY) == ["beta"]
    assert len(await names(order_by=())) == 3
    await refused(names("metrics.loss < 1"), "INVALID_ARGUMENT", "INVALID_FILTER")
    await refused(names("status = 'x'"), "INVALID_ARGUMENT", "INVALID_FILTER")


async def test_logged_models_are_searched(models, runs, refused):
    run_id = await create(runs, "r")
    ids = {}
    for name, accuracy in (("tree", 0.5), ("forest", math.nan), ("net", None)):
        request = model_service_pb2.CreateLoggedModelRequest(
            name=name,
            source_run_id=run_id if name != "net" else "",
            model_type="t",
            params=[Param(key="p", value=name)],
            tags=[Tag(key="k", value=name)],
        )
        ids[name] = (await models.CreateLoggedModel(request)).model.model_id
        if accuracy is not None:
            metrics = [
                Metric(key="acc", value=accuracy, model_id=ids[name], dataset_name="test", dataset_digest="1", step=2),
                Metric(key="acc", value=9, model_id=ids[name], dataset_name="train", dataset_digest="2", step=1),
            ]
            await log(runs, run_id, metrics=metrics)

    async def names(filter_="", order_by=("name",), experiment_ids=("0",), **fields):
        found, token, first = [], "", True
        while token or first:
            request = model_service_pb2.SearchLoggedModelsRequest(
                experiment_ids=experiment_ids,
                filter=filter_,
                order_by=order_by,
                page_token=token,
                page_size=1,
                **fields,
            )
            page = await models.SearchLoggedModels(request)
            found += [m.name for m in page.models]
            token, first = page.next_page_token, False
        return found

    assert await names() == ["forest", "net", "tree"]
    assert await names("metrics.acc < 1 AND params.p = 'tree' AND tags.k = 'tree'") == ["tree"]
    assert await names("status = 'PENDING' AND model_type = 't' AND creation_timestamp > 0") == [
        "forest",
        "net",
        "tree",
    ]
    assert await names(order_by=["metrics.acc DESC"]) == ["tree", "forest", "net"]
    assert await names(f"source_run_id = '{run_id}'") == ["forest", "tree"]
    assert await names(experiment_ids=(), source_run_id=run_id) == ["forest", "tree"]
    assert await names(f"model_id = '{ids['net']}'") == ["net"]
    await models.DeleteLoggedModel(model_service_pb2.DeleteLoggedModelRequest(model_id=ids["net"]))
    assert await names() == ["forest", "tree"]
    assert await names(view_type=experiment_pb.VIEW_TYPE_ALL) == ["forest", "net", "tree"]
    await refused(names(experiment_ids=()), "INVALID_ARGUMENT", "INVALID_VALUE")
    request = model_service_pb2.SearchLoggedModelsRequest(experiment_ids=["0"], filter="name = 'tree'")
    found = (await models.SearchLoggedModels(request)).models[0]
    assert found == (await models.GetLoggedModel(model_service_pb2.GetLoggedModelRequest(model_id=ids["tree"]))).model


async def test_registry_is_searched(registry, refused, monkeypatch):
    source = ResolvedSource("ab" * 16, 1, bytes(32), "", "cd" * 16, "")
    original = registry_use_cases.create_version
    monkeypatch.setattr(registry_use_cases, "create_version", lambda tx, new, _: original(tx, new, lambda *_: source))
    for name in ("b", "a"):
        for i in range(2):
            request = model_registry_service_pb2.CreateModelVersionRequest(
                name=name, source=f"runs:/{i}", create_registered_model=True, tags=[Tag(key="k", value=f"{name}{i}")]
            )
            await registry.CreateModelVersion(request)
    tagged = model_registry_service_pb2.UpdateRegisteredModelRequest(name="b", tags=[Tag(key="t", value="1")])
    await registry.UpdateRegisteredModel(tagged)

    async def versions(filter_="", order_by=(), page_size=1):
        found, token, first = [], "", True
        while token or first:
            request = model_registry_service_pb2.SearchModelVersionsRequest(
                filter=filter_, order_by=order_by, page_token=token, page_size=page_size
            )
            page = await registry.SearchModelVersions(request)
            found += [f"{v.name}{v.version}" for v in page.model_versions]
            token, first = page.next_page_token, False
        return found

    async def names(filter_="", order_by=()):
        request = model_registry_service_pb2.SearchRegisteredModelsRequest(filter=filter_, order_by=order_by)
        return [m.name for m in (await registry.SearchRegisteredModels(request)).registered_models]

    assert sorted(await versions()) == ["a1", "a2", "b1", "b2"]
    assert await versions() == await versions(page_size=100)
    assert await versions("name = 'a'", ["version_number ASC"]) == ["a1", "a2"]
    assert await versions("version_number >= 2", ["name"]) == ["a2", "b2"]
    assert await versions("source_path = 'runs:/0' AND tags.k LIKE 'b_'") == ["b1"]
    assert await versions(f"run_id IN ('{'cd' * 16}')", ["name DESC", "version_number"]) == ["b1", "b2", "a1", "a2"]
    assert await names() == ["a", "b"]
    assert await names(order_by=["name DESC"]) == ["b", "a"]
    assert sorted(await names(order_by=["last_updated_timestamp DESC"])) == ["a", "b"]
    assert await names("tags.t = '1'") == ["b"]
    assert await names("name ILIKE 'A'") == ["a"]
    await refused(names("params.p = '1'"), "INVALID_ARGUMENT", "INVALID_FILTER")


async def test_tokens_of_one_search_do_not_fit_another(experiments, runs, refused):
    await experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(name="e"))
    request = experiment_service_pb2.SearchExperimentsRequest(page_size=1)
    token = (await experiments.SearchExperiments(request)).next_page_token
    assert token
    await refused(
        runs.SearchRuns(service.SearchRunsRequest(experiment_ids=["0"], page_token=token)),
        "INVALID_ARGUMENT",
        "INVALID_PAGE_TOKEN",
    )
