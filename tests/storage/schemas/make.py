"""Writes the fixture of a release: ``python -m tests.storage.schemas.make 0.1`` on the commit that is released.

The fixture is a dump of a database with rows in every table. It is made once and never changed: it stands for what
users of that release have.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.server_process import running_server

from holdfast import Client
from holdfast.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput, Metric
from holdfast_server.storage.sql.connection import connect

FOLDER = Path(__file__).parent
# As older libraries write it, and none reads it.
_INFINITY = r"(?<=,)Inf(?=[,)])"
# Rows that take too long to come about by themselves.
_ROWS = (
    "INSERT INTO metric_buckets VALUES (1, 'loss', 1, 2, 0, 0.25, 0.5, 0, 1, 5, 0.25, 0)",
    "UPDATE signing_keys SET secret_key = zeroblob(32)",
    "INSERT INTO leases (name, holder, description, begin_time, expire_time) VALUES ('upkeep', 'h', 'Process 1', 1, 2)",
)


def make(version: str) -> None:
    """Fill a database by way of a server, and write it down."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder, "data")
        with running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", str(data_dir)) as server:
            fill(f"holdfast://{server.address}")
            server.stop()
        connection = connect(data_dir / "holdfast.db")
        for statement in _ROWS:
            connection.execute(statement)
        empty = [name for name in tables(connection) if not connection.execute(f'SELECT 1 FROM "{name}"').fetchone()]
        if empty:
            sys.exit(f"no rows in {', '.join(empty)}: fill these too")
        connection.close()
        # pysqlite3 has no iterdump. Nobody else has this database open.
        plain = sqlite3.connect(data_dir / "holdfast.db")
        lines = [line for line in plain.iterdump() if not _is_statistics(line)]
        plain.close()
        text = "".join(f"{re.sub(_INFINITY, '9e999', line)}\n" for line in lines)
        (FOLDER / f"{version}.sql").write_text(text, encoding="utf-8")


def tables(connection: Any) -> list[str]:
    """The tables of a database but SQLite's own."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    return [row[0] for row in rows]


def fill(uri: str) -> None:
    """Something of everything."""
    with Client(uri) as client:
        experiment = client.create_experiment("vision", tags={"team": "a"})
        run = client.create_run(
            experiment, run_name="first", take_lease=True, tags={"note": "umläut ' ; --"}
        ).info.run_id
        client.log_params(run, {"lr": 0.1})
        client.log_batch(run, metrics=[Metric("loss", value, step, step) for step, value in enumerate([0.5, 0.25])])
        client.log_metrics(run, {"nan": float("nan"), "inf": float("inf")})
        dataset = DatasetInput(Dataset("train", "d1", "local", "{}"), [InputTag("split", "a")])
        model = client.create_logged_model(
            experiment, "net", source_run_id=run, params={"depth": "3"}, tags={"kind": "tree"}
        )
        client.log_inputs(run, datasets=[dataset], models=[LoggedModelInput(model.model_id)])
        client.log_outputs(run, [LoggedModelOutput(model.model_id, 1)])
        client.log_metric(run, "accuracy", 0.9, model_id=model.model_id, synchronous=True)
        client.log_text(run, "flavors: {}", "model/MLmodel")
        client.log_text(run, "notes", "notes.txt")
        client.create_registered_model("classifier", tags={"owner": "b"}, description="what it is")
        for _ in range(2):
            client.create_model_version("classifier", f"runs:/{run}/model", run_id=run, tags={"checked": "yes"})
        client.set_registered_model_alias("classifier", "champion", 2)
        client.create_registered_model("gone")
        client.delete_registered_model("gone")
        gone = client.create_run(experiment, run_name="deleted").info.run_id
        client.delete_run(gone)
        with client.open_artifact(run, "log.txt") as file:
            file.write("first line\n" * 60_000)
            file.flush()
            file.write("last line\n")
            file.flush()


def _is_statistics(line: str) -> bool:
    return bool(re.match(r'(INSERT INTO "sqlite_stat|DELETE FROM "sqlite_stat|ANALYZE)', line))


if __name__ == "__main__":
    make(sys.argv[1])
