"""MLflow's tracking store on a Holdfast server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mlflow.entities import Run, RunStatus
from mlflow.entities.dataset_summary import _DatasetSummary
from mlflow.entities.metric import MetricWithRunId
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_LOGGED_MODEL_MAX_RESULTS_DEFAULT, SEARCH_MAX_RESULTS_THRESHOLD
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_MODELS
from tests.interop.mlflow_store import entities, sampling
from tests.interop.mlflow_store.errors import translated

from holdfast import Client
from holdfast import entities as ours

# Points that one request brings.
PAGE_SIZE = 25_000


def by_key(items: Any) -> dict[str, str]:
    return {item.key: item.value for item in items or ()}


def check_max_results(max_results: int | None) -> None:
    if max_results is not None and not 1 <= max_results <= SEARCH_MAX_RESULTS_THRESHOLD:
        raise MlflowException.invalid_parameter_value(f"max_results must be 1 to {SEARCH_MAX_RESULTS_THRESHOLD}.")


class HoldfastTrackingStore(AbstractStore):
    """What MLflow's clients and server need to keep their experiments, runs and logged models in Holdfast.

    Args:
        store_uri: As ``holdfast.connect`` takes it.
        artifact_root: Where MLflow shall believe that artifacts are, as its ``default_artifact_root``.
    """

    def __init__(self, store_uri: str, artifact_root: str) -> None:
        super().__init__()
        self.client = Client(store_uri, strict=True)
        self._artifact_root = artifact_root
        self._locations: dict[str, str] = {}

    # Experiments

    def create_experiment(self, name, artifact_location=None, tags=None):
        with translated():
            return self.client.create_experiment(name, artifact_location, by_key(tags))

    def get_experiment(self, experiment_id):
        with translated():
            return self._experiment(self.client.get_experiment(experiment_id))

    def get_experiment_by_name(self, experiment_name):
        with translated():
            found = self.client.get_experiment_by_name(experiment_name)
        return found and self._experiment(found)

    def search_experiments(self, view_type=1, max_results=1_000, filter_string=None, order_by=None, page_token=None):
        check_max_results(max_results)
        with translated():
            found = self.client.search_experiments(view_type, max_results, filter_string, order_by, page_token)
        return PagedList(map(self._experiment, found), found.token)

    def rename_experiment(self, experiment_id, new_name):
        with translated(forbidden=codes.INVALID_STATE):
            self.client.rename_experiment(experiment_id, new_name)

    def delete_experiment(self, experiment_id):
        with translated(forbidden=codes.RESOURCE_DOES_NOT_EXIST):
            self.client.delete_experiment(experiment_id)

    def restore_experiment(self, experiment_id):
        with translated():
            self.client.restore_experiment(experiment_id)

    def set_experiment_tag(self, experiment_id, tag):
        with translated():
            self.client.set_experiment_tag(experiment_id, tag.key, tag.value)

    def delete_experiment_tag(self, experiment_id, key):
        with translated():
            self._require_tag(key, self.client.get_experiment(experiment_id).tags, f"experiment {experiment_id}")
            self.client.delete_experiment_tag(experiment_id, key)

    # Runs

    def create_run(self, experiment_id, user_id, start_time, tags, run_name):
        with translated():
            made = self._run(self.client.create_run(experiment_id, start_time, by_key(tags), run_name, user_id=user_id))
            return Run(made.info, made.data, made.inputs)

    def get_run(self, run_id):
        with translated():
            return self._run(self.client.get_run(run_id))

    def update_run_info(self, run_id, run_status, end_time, run_name):
        status = None if run_status is None else RunStatus.to_string(run_status)
        with translated():
            self.client.update_run(run_id, status, run_name or None, end_time=end_time)
            info = self.client.get_run(run_id).info
            return entities.run_info(info, self._location(info.experiment_id))

    def delete_run(self, run_id):
        with translated():
            self.client.delete_run(run_id)

    def restore_run(self, run_id):
        with translated():
            self.client.restore_run(run_id)

    def set_tag(self, run_id, tag):
        self.log_batch(run_id, [], [], [tag])

    def delete_tag(self, run_id, key):
        with translated():
            self.client.delete_tag(run_id, key)

    def log_batch(self, run_id, metrics, params, tags):
        with translated():
            self.client.log_batch(
                run_id,
                [entities.metric_to_ours(metric) for metric in metrics],
                [ours.Param(param.key, param.value) for param in params],
                [ours.RunTag(tag.key, tag.value) for tag in tags],
            )

    def log_inputs(self, run_id, datasets=None, models=None):
        with translated():
            self.client.log_inputs(
                run_id,
                [entities.dataset_input_to_ours(item) for item in datasets or ()],
                [ours.LoggedModelInput(item.model_id) for item in models or ()],
            )

    def log_outputs(self, run_id, models):
        with translated():
            self.client.log_outputs(run_id, [ours.LoggedModelOutput(item.model_id, item.step) for item in models])

    def record_logged_model(self, run_id, mlflow_model):
        known = json.loads(self.get_run(run_id).data.tags.get(MLFLOW_LOGGED_MODELS, "[]"))
        with translated():
            self.client.set_tag(run_id, MLFLOW_LOGGED_MODELS, json.dumps([*known, mlflow_model.get_tags_dict()]))

    def _search_runs(self, experiment_ids, filter_string, run_view_type, max_results, order_by, page_token):
        check_max_results(max_results)
        with translated():
            found = self.client.search_runs(
                experiment_ids, filter_string or "", run_view_type, max_results, order_by, page_token
            )
            return [self._run(run) for run in found], found.token

    def _search_datasets(self, experiment_ids):
        with translated():
            found = self.client.search_datasets(experiment_ids)
        return [_DatasetSummary(item.experiment_id, item.name, item.digest, item.context) for item in found]

    # Metrics

    def get_metric_history(self, run_id, metric_key, max_results=None, page_token=None):
        with translated():
            found = self.client.get_metric_history(run_id, metric_key, max_results, page_token)
        return PagedList([entities.plain_metric(point) for point in found], found.token)

    def get_metric_history_bulk_interval(self, run_ids, metric_key, max_results, start_step, end_step):
        if (start_step is None) != (end_step is None):
            raise MlflowException.invalid_parameter_value("start_step and end_step are given together, or neither.")
        with translated():
            return [
                MetricWithRunId(entities.plain_metric(point), run_id)
                for run_id in run_ids
                for point in sampling.sample(
                    self.client, run_id, metric_key, max(1, max_results), min_step=start_step, max_step=end_step
                )
            ]

    def get_metric_history_bulk_interval_from_steps(self, run_id, metric_key, steps, max_results):
        wanted = set(steps)
        if not wanted:
            return []
        points, token, ends = [], None, {"min_step": min(wanted), "max_step": max(wanted)}
        with translated():
            while len(points) < max_results:
                found = self.client.get_metric_history(run_id, metric_key, PAGE_SIZE, token, **ends)
                points += [point for point in found if point.step in wanted]
                token = found.token
                if token is None:
                    break
        return [MetricWithRunId(entities.plain_metric(point), run_id) for point in points[:max_results]]

    # Logged models

    def create_logged_model(
        self, experiment_id, name=None, source_run_id=None, tags=None, params=None, model_type=None
    ):
        with translated():
            made = self.client.create_logged_model(
                experiment_id, name, source_run_id, by_key(tags), by_key(params), model_type
            )
            return self._model(made)

    def get_logged_model(self, model_id, allow_deleted=False):
        with translated():
            return self._model(self.client.get_logged_model(model_id, allow_deleted=allow_deleted))

    def finalize_logged_model(self, model_id, status):
        with translated():
            return self._model(self.client.finalize_logged_model(model_id, status.value))

    def log_logged_model_params(self, model_id, params):
        with translated():
            self.client.log_model_params(model_id, by_key(params))

    def set_logged_model_tags(self, model_id, tags):
        with translated():
            self.client.set_logged_model_tags(model_id, by_key(tags))

    def delete_logged_model_tag(self, model_id, key):
        with translated():
            self._require_tag(key, self.client.get_logged_model(model_id).tags, f"logged model {model_id}")
            self.client.delete_logged_model_tag(model_id, key)

    def delete_logged_model(self, model_id):
        with translated():
            self.client.delete_logged_model(model_id)

    def search_logged_models(
        self, experiment_ids, filter_string=None, datasets=None, max_results=None, order_by=None, page_token=None
    ):
        with translated():
            found = self.client.search_logged_models(
                experiment_ids,
                filter_string,
                datasets,
                max_results or SEARCH_LOGGED_MODEL_MAX_RESULTS_DEFAULT,
                order_by,
                page_token,
            )
            return PagedList(map(self._model, found), found.token)

    def link_traces_to_run(self, trace_ids: Sequence[str], run_id: str) -> None:
        raise NotImplementedError("Holdfast keeps no traces.")

    def _location(self, experiment_id: str) -> str:
        """Where MLflow believes the artifacts of an experiment to be, which never changes."""
        if experiment_id not in self._locations:
            given = self.client.get_experiment(experiment_id).artifact_location
            self._locations[experiment_id] = given or f"{self._artifact_root}/{experiment_id}"
        return self._locations[experiment_id]

    def _experiment(self, found: ours.Experiment):
        self._locations[found.experiment_id] = found.artifact_location or f"{self._artifact_root}/{found.experiment_id}"
        return entities.experiment(found, self._locations[found.experiment_id])

    def _run(self, found: ours.Run):
        return entities.run(found, self._location(found.info.experiment_id))

    def _model(self, found: ours.LoggedModel):
        return entities.logged_model(found, self._location(found.experiment_id))

    @staticmethod
    def _require_tag(key: str, tags: dict[str, str], where: str) -> None:
        if key not in tags:
            raise MlflowException(f"There is no tag {key!r} on {where}.", codes.RESOURCE_DOES_NOT_EXIST)
