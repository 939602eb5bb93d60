"""Holdfast's entities as MLflow's."""

from __future__ import annotations

from dataclasses import replace

from mlflow import entities as theirs
from mlflow.entities import model_registry as their_registry

from holdfast import entities as ours


def metric(point: ours.Metric) -> theirs.Metric:
    return theirs.Metric(
        point.key,
        point.value,
        point.timestamp,
        point.step,
        model_id=point.model_id,
        dataset_name=point.dataset_name,
        dataset_digest=point.dataset_digest,
        run_id=point.run_id,
    )


def plain_metric(point: ours.Metric) -> theirs.Metric:
    """A point of a run, of which MLflow does not tell which model and dataset it is about."""
    return theirs.Metric(point.key, point.value, point.timestamp, point.step)


def metric_to_ours(point: theirs.Metric) -> ours.Metric:
    return ours.Metric(
        point.key,
        point.value,
        point.timestamp,
        point.step,
        point.model_id,
        point.dataset_name,
        point.dataset_digest,
    )


def experiment(found: ours.Experiment, location: str) -> theirs.Experiment:
    return theirs.Experiment(
        experiment_id=found.experiment_id,
        name=found.name,
        artifact_location=location,
        lifecycle_stage=found.lifecycle_stage,
        tags=[theirs.ExperimentTag(key, value) for key, value in found.tags.items()],
        creation_time=found.creation_time,
        last_update_time=found.last_update_time,
    )


def run_info(info: ours.RunInfo, location: str) -> theirs.RunInfo:
    return theirs.RunInfo(
        run_id=info.run_id,
        experiment_id=info.experiment_id,
        user_id=info.user_id,
        status=info.status,
        start_time=info.start_time,
        end_time=info.end_time,
        lifecycle_stage=info.lifecycle_stage,
        artifact_uri=f"{location}/{info.run_id}/artifacts",
        run_name=info.run_name,
    )


def run(found: ours.Run, location: str) -> theirs.Run:
    return theirs.Run(
        run_info(found.info, location),
        theirs.RunData(
            metrics=[plain_metric(point) for point in found.data.metric_points],
            params=[theirs.Param(key, value) for key, value in found.data.params.items()],
            tags=[theirs.RunTag(key, value) for key, value in found.data.tags.items()],
        ),
        theirs.RunInputs(
            dataset_inputs=[
                theirs.DatasetInput(
                    theirs.Dataset(
                        name=item.dataset.name,
                        digest=item.dataset.digest,
                        source_type=item.dataset.source_type,
                        source=item.dataset.source,
                        schema=item.dataset.schema,
                        profile=item.dataset.profile,
                    ),
                    [theirs.InputTag(tag.key, tag.value) for tag in item.tags],
                )
                for item in found.inputs.dataset_inputs
            ],
            model_inputs=[theirs.LoggedModelInput(item.model_id) for item in found.inputs.model_inputs],
        ),
        theirs.RunOutputs([theirs.LoggedModelOutput(item.model_id, item.step) for item in found.outputs.model_outputs]),
    )


def dataset_input_to_ours(item: theirs.DatasetInput) -> ours.DatasetInput:
    dataset = item.dataset
    described = ours.Dataset(
        dataset.name, dataset.digest, dataset.source_type, dataset.source, dataset.schema, dataset.profile
    )
    return ours.DatasetInput(described, [ours.InputTag(tag.key, tag.value) for tag in item.tags or ()])


def logged_model(found: ours.LoggedModel, location: str) -> theirs.LoggedModel:
    return theirs.LoggedModel(
        experiment_id=found.experiment_id,
        model_id=found.model_id,
        name=found.name,
        artifact_location=f"{location}/models/{found.model_id}/artifacts",
        creation_timestamp=found.creation_timestamp,
        last_updated_timestamp=found.last_updated_timestamp,
        model_type=found.model_type,
        source_run_id=found.source_run_id,
        status=theirs.LoggedModelStatus(found.status.value),
        status_message=found.status_message,
        tags=found.tags,
        params=found.params,
        metrics=[metric(point) for point in found.metrics] or None,
    )


def model_version(found: ours.ModelVersion) -> their_registry.ModelVersion:
    return their_registry.ModelVersion(
        name=found.name,
        version=int(found.version),
        creation_timestamp=found.creation_timestamp,
        last_updated_timestamp=found.last_updated_timestamp,
        description=found.description,
        user_id=found.user_id,
        current_stage=found.current_stage,
        source=found.source,
        run_id=found.run_id,
        status=found.status,
        status_message=found.status_message,
        tags=[their_registry.ModelVersionTag(key, value) for key, value in found.tags.items()],
        run_link=found.run_link,
        aliases=found.aliases,
        model_id=found.model_id,
    )


def registered_model(found: ours.RegisteredModel) -> their_registry.RegisteredModel:
    return their_registry.RegisteredModel(
        name=found.name,
        creation_timestamp=found.creation_timestamp,
        last_updated_timestamp=found.last_updated_timestamp,
        description=found.description,
        # MLflow tells no aliases of these.
        latest_versions=[model_version(replace(version, aliases=[])) for version in found.latest_versions],
        tags=[their_registry.RegisteredModelTag(key, value) for key, value in found.tags.items()],
        aliases=[their_registry.RegisteredModelAlias(alias, int(version)) for alias, version in found.aliases.items()],
    )
