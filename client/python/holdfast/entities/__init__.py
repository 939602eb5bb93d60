"""What the service keeps, as values that read as MLflow's: experiments, runs, metrics, models, versions."""

from __future__ import annotations

from holdfast.entities._access import Caller, CreatedToken, Grant, Principal, Token, WorkerScope
from holdfast.entities._audit import AuditCheck, AuditRecord, AuditSegment
from holdfast.entities._event import Event, EventChange, EventMetric
from holdfast.entities._experiment import Experiment, ExperimentTag, ViewType
from holdfast.entities._metric_chart import MetricBucket
from holdfast.entities._model import LoggedModel, LoggedModelParameter, LoggedModelStatus, LoggedModelTag
from holdfast.entities._paged_list import PagedList
from holdfast.entities._registry import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelTag,
    RegistryChange,
)
from holdfast.entities._run import (
    Dataset,
    DatasetInput,
    DatasetSummary,
    FileInfo,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunStatus,
    RunTag,
)
from holdfast.entities._storage import CollectedGarbage, OwnerUsage, StorageCheck, StorageFinding, StorageUsage
from holdfast.entities._sync import SyncedJournal, SyncedStore, SyncProblem

__all__ = [
    "AuditCheck",
    "AuditRecord",
    "AuditSegment",
    "Caller",
    "CollectedGarbage",
    "CreatedToken",
    "Dataset",
    "DatasetInput",
    "DatasetSummary",
    "Event",
    "EventChange",
    "EventMetric",
    "Experiment",
    "ExperimentTag",
    "FileInfo",
    "Grant",
    "InputTag",
    "LoggedModel",
    "LoggedModelInput",
    "LoggedModelOutput",
    "LoggedModelParameter",
    "LoggedModelStatus",
    "LoggedModelTag",
    "Metric",
    "MetricBucket",
    "ModelVersion",
    "ModelVersionTag",
    "OwnerUsage",
    "PagedList",
    "Param",
    "Principal",
    "RegisteredModel",
    "RegisteredModelTag",
    "RegistryChange",
    "Run",
    "RunData",
    "RunInfo",
    "RunInputs",
    "RunOutputs",
    "RunStatus",
    "RunTag",
    "StorageCheck",
    "StorageFinding",
    "StorageUsage",
    "SyncProblem",
    "SyncedJournal",
    "SyncedStore",
    "Token",
    "ViewType",
    "WorkerScope",
]
