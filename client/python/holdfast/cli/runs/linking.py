"""``holdfast runs log-input`` and ``log-output``."""

from __future__ import annotations

import click

from holdfast.cli import client_of
from holdfast.cli.json_output import json_text
from holdfast.cli.logged_models.naming import find_model_id
from holdfast.cli.options import json_option, tags_option
from holdfast.cli.runs.naming import find_run_id
from holdfast.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput

_CONTEXT = "mlflow.data.context"
_JSON_AFTER = "The run after the change, as one JSON object."


@click.command("log-input")
@click.argument("run_id", metavar="RUN_ID")
@click.option("--dataset", "name", metavar="NAME", help="A dataset that the run read.")
@click.option("--digest", help="What tells this state of the dataset from others; needed with --dataset.")
@click.option("--source", default="", help="Where the dataset is, such as a path or URI.")
@click.option("--source-type", default="local", show_default=True, help="What kind of place that is.")
@click.option("--schema", help="The dataset's schema, as JSON.")
@click.option("--profile", help="Figures about the dataset, as JSON.")
@click.option("--context", help="What for, such as training.")
@tags_option()
@click.option("--model", "models", multiple=True, metavar="MODEL_ID", help="A logged model it read; several times.")
@json_option(_JSON_AFTER)
@click.pass_context
def log_input(
    ctx: click.Context,
    run_id: str,
    *,
    name: str | None,
    digest: str | None,
    source: str,
    source_type: str,
    schema: str | None,
    profile: str | None,
    context: str | None,
    tags: dict[str, str],
    models: tuple[str, ...],
    as_json: bool,
) -> None:
    """Link a dataset, logged models or both that the run RUN_ID read, all of them or none."""
    if name is None and (digest or source or schema or profile or context or tags):
        raise click.UsageError("Name the dataset that this is about: --dataset NAME.")
    if name is None and not models:
        raise click.UsageError("Say what it read: --dataset NAME with --digest, or --model MODEL_ID.")
    if name is not None and not digest:
        raise click.UsageError("A dataset has a digest, which tells its states apart: --digest, such as of sha256sum.")
    labels = [InputTag(key, value) for key, value in {**({_CONTEXT: context} if context else {}), **tags}.items()]
    datasets = (
        [DatasetInput(Dataset(name, digest, source_type, source, schema, profile), labels)] if name and digest else []
    )
    with client_of(ctx) as client:
        found = find_run_id(client, run_id)
        client.log_inputs(found, datasets, [LoggedModelInput(find_model_id(client, model)) for model in models])
        if as_json:
            click.echo(json_text(client.get_run(found).to_dictionary()))


@click.command("log-output")
@click.argument("run_id", metavar="RUN_ID")
@click.argument("models", metavar="MODEL_ID...", nargs=-1, required=True)
@click.option("--step", type=int, default=0, show_default=True, help="The step of training at which they were made.")
@json_option(_JSON_AFTER)
@click.pass_context
def log_output(ctx: click.Context, run_id: str, models: tuple[str, ...], *, step: int, as_json: bool) -> None:
    """Link the logged model of each MODEL_ID... as made by the run RUN_ID, all of them or none."""
    with client_of(ctx) as client:
        found = find_run_id(client, run_id)
        client.log_outputs(found, [LoggedModelOutput(find_model_id(client, model), step) for model in models])
        if as_json:
            click.echo(json_text(client.get_run(found).to_dictionary()))
