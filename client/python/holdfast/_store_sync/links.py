"""Links of a run to the datasets and models that it read, and the models that it produced."""

from __future__ import annotations

from holdfast._calls import MAX_BATCH_LINKS, batches
from holdfast._store_sync.context import HasModel, StoreSync
from holdfast.v1 import run_pb2
from holdfast.v1 import run_service_pb2 as messages


def sync_links(sync: StoreSync, run: run_pb2.Run, there: run_pb2.Run, has_model: HasModel) -> None:
    """Send the links that the target lacks; those to models that are gone for good are left out.

    Args:
        sync: What goes on.
        run: The run at the source.
        there: The run at the target.
        has_model: Makes sure that the target has a model of the source; False when it is gone for good.
    """
    method = sync.target.runs.LogInputs
    for datasets in batches(_new_datasets(run, there), MAX_BATCH_LINKS):
        request = messages.LogInputsRequest(run_id=run.run_id, datasets=datasets)
        sync.send(method, request, changes=len(datasets))
    read = {link.model_id for link in there.model_inputs}
    models = [link for link in run.model_inputs if link.model_id not in read and has_model(link.model_id)]
    for some in batches(models, MAX_BATCH_LINKS):
        sync.send(method, messages.LogInputsRequest(run_id=run.run_id, models=some), changes=len(some))
    made = {link.model_id for link in there.model_outputs}
    outputs = [link for link in run.model_outputs if link.model_id not in made and has_model(link.model_id)]
    for produced in batches(outputs, MAX_BATCH_LINKS):
        request_out = messages.LogOutputsRequest(run_id=run.run_id, models=produced)
        sync.send(sync.target.runs.LogOutputs, request_out, changes=len(produced))


def _new_datasets(run: run_pb2.Run, there: run_pb2.Run) -> list[run_pb2.DatasetInput]:
    """Datasets that the target lacks, or labels of their use; a label that is there stays as it is."""
    known = {(i.dataset.name, i.dataset.digest): {tag.key for tag in i.tags} for i in there.dataset_inputs}
    new: list[run_pb2.DatasetInput] = []
    for item in run.dataset_inputs:
        keys = known.get((item.dataset.name, item.dataset.digest))
        tags = [tag for tag in item.tags if keys is None or tag.key not in keys]
        if keys is None or tags:
            new.append(run_pb2.DatasetInput(dataset=item.dataset, tags=tags))
    return new
