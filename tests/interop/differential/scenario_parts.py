"""What scenarios share: differences that several of them meet, ids of nothing, and a run to begin with."""

from __future__ import annotations

from mlflow.entities import RunTag

CODES = "Errors have a code that says what is wrong, where MLflow has INTERNAL_ERROR or BAD_REQUEST."
MORE = "Filters and orderings may name more: what MLflow refuses is not always an error."
STRICT = "A filter that is not whole, or compares with a text that is not in quotes, is an error."
CUT = "A value over its limit is refused, where MLflow cuts it unless told not to."

NO_RUN = "0" * 32
NO_MODEL = f"m-{NO_RUN}"


def a_run(store, experiment, name, start=1, tags=()):
    made = store.create_run(experiment, "ada", start, [RunTag(*tag) for tag in tags], name)
    return made.info.run_id
