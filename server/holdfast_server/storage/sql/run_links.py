"""Rows that link runs to datasets and logged models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast_server.domain.experiment import Tag
from holdfast_server.domain.run import Dataset, DatasetInput, ModelOutput, RunInfo
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection


class SqlRunLinks:
    """The part of ``SqlRuns`` that is about inputs and outputs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_dataset_inputs(self, run: RunInfo, inputs: Sequence[DatasetInput]) -> int:
        """Link datasets; returns the most tags that one of these links now has.

        A dataset that the experiment has already keeps its description: name and digest identify it.
        """
        most = 0
        for item in inputs:
            dataset = item.dataset
            self._connection.execute(
                "INSERT INTO datasets (experiment_id, name, digest, source_type, source, schema, profile)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (experiment_id, name, digest) DO NOTHING",
                (
                    run.experiment_id,
                    dataset.name,
                    dataset.digest,
                    dataset.source_type,
                    dataset.source,
                    dataset.schema,
                    dataset.profile,
                ),
            )
            number = self._connection.execute(
                "SELECT dataset_no FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?",
                (run.experiment_id, dataset.name, dataset.digest),
            ).fetchone()["dataset_no"]
            self._connection.execute(
                "INSERT INTO run_datasets (run_no, dataset_no) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (run.number, number),
            )
            most = max(most, self._set_dataset_tags(run.number, number, item.tags))
        return most

    def add_model_inputs(self, number: int, model_ids: Sequence[str]) -> None:
        """Link models that the run read; a link that is there stays."""
        self._connection.executemany(
            "INSERT INTO run_model_inputs (run_no, model_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(number, model_id) for model_id in model_ids],
        )

    def add_model_outputs(self, number: int, outputs: Sequence[ModelOutput]) -> None:
        """Link models that the run produced; a link that is there takes the new step."""
        self._connection.executemany(
            "INSERT INTO run_model_outputs (run_no, model_id, step) VALUES (?, ?, ?)"
            " ON CONFLICT (run_no, model_id) DO UPDATE SET step = excluded.step",
            [(number, output.model_id, output.step) for output in outputs],
        )

    def list_dataset_inputs(self, number: int, after: int, limit: int) -> list[tuple[int, DatasetInput]]:
        """Dataset inputs with their places, from the one after ``after`` on."""
        rows = self._connection.execute(
            "SELECT run_no, dataset_no FROM run_datasets WHERE run_no = ? AND dataset_no > ?"
            " ORDER BY dataset_no LIMIT ?",
            (number, after, limit),
        ).fetchall()
        last = rows[-1]["dataset_no"] if rows else after
        datasets, tags = self._load_datasets(rows), self._load_dataset_tags([number], after, last)
        return [(at, DatasetInput(datasets[at], tuple(tags.get((number, at), ())))) for _, at in rows]

    def list_model_inputs(self, number: int, after: str, limit: int) -> list[str]:
        """Ids of models that the run read, after ``after``."""
        rows = self._connection.execute(
            "SELECT model_id FROM run_model_inputs WHERE run_no = ? AND model_id > ? ORDER BY model_id LIMIT ?",
            (number, after, limit),
        )
        return [row["model_id"] for row in rows]

    def list_model_outputs(self, number: int, after: str, limit: int) -> list[ModelOutput]:
        """Models that the run produced, with ids after ``after``."""
        rows = self._connection.execute(
            "SELECT model_id, step FROM run_model_outputs WHERE run_no = ? AND model_id > ? ORDER BY model_id LIMIT ?",
            (number, after, limit),
        )
        return [ModelOutput(row["model_id"], row["step"]) for row in rows]

    def _load_dataset_inputs(self, numbers: Sequence[int]) -> dict[int, list[DatasetInput]]:
        rows: list[Any] = []
        for part in chunks(numbers):
            rows += self._connection.execute(
                f"SELECT run_no, dataset_no FROM run_datasets WHERE run_no IN ({marks(len(part))})"  # noqa: S608
                " ORDER BY run_no, dataset_no",
                part,
            ).fetchall()
        datasets, tags = self._load_datasets(rows), self._load_dataset_tags(numbers)
        found: dict[int, list[DatasetInput]] = {}
        for run_number, at in rows:
            item = DatasetInput(datasets[at], tuple(tags.get((run_number, at), ())))
            found.setdefault(run_number, []).append(item)
        return found

    def _load_datasets(self, links: Sequence[Any]) -> dict[int, Dataset]:
        """Each dataset once, however many runs share it: descriptions can be large."""
        found: dict[int, Dataset] = {}
        for part in chunks(list({link["dataset_no"] for link in links})):
            rows = self._connection.execute(
                "SELECT dataset_no, name, digest, source_type, source, schema, profile FROM datasets"  # noqa: S608
                f" WHERE dataset_no IN ({marks(len(part))})",
                part,
            )
            found.update((number, Dataset(*description)) for number, *description in rows)
        return found

    def _load_model_inputs(self, numbers: Sequence[int]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for part in chunks(numbers):
            rows = self._connection.execute(
                f"SELECT run_no, model_id FROM run_model_inputs WHERE run_no IN ({marks(len(part))})"  # noqa: S608
                " ORDER BY run_no, model_id",
                part,
            )
            for number, model_id in rows:
                found.setdefault(number, []).append(model_id)
        return found

    def _load_model_outputs(self, numbers: Sequence[int]) -> dict[int, list[ModelOutput]]:
        found: dict[int, list[ModelOutput]] = {}
        for part in chunks(numbers):
            rows = self._connection.execute(
                f"SELECT run_no, model_id, step FROM run_model_outputs WHERE run_no IN ({marks(len(part))})"  # noqa: S608
                " ORDER BY run_no, model_id",
                part,
            )
            for number, model_id, step in rows:
                found.setdefault(number, []).append(ModelOutput(model_id, step))
        return found

    def _set_dataset_tags(self, run_number: int, dataset_number: int, tags: Sequence[Tag]) -> int:
        self._connection.executemany(
            "INSERT INTO run_dataset_tags (run_no, dataset_no, key, value) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (run_no, dataset_no, key) DO UPDATE SET value = excluded.value",
            [(run_number, dataset_number, tag.key, tag.value) for tag in tags],
        )
        row = self._connection.execute(
            "SELECT COUNT(*) AS tags FROM run_dataset_tags WHERE run_no = ? AND dataset_no = ?",
            (run_number, dataset_number),
        ).fetchone()
        return int(row["tags"])

    def _load_dataset_tags(
        self, numbers: Sequence[int], after: int = 0, last: int = (1 << 63) - 1
    ) -> dict[tuple[int, int], list[Tag]]:
        found: dict[tuple[int, int], list[Tag]] = {}
        for part in chunks(numbers):
            rows = self._connection.execute(
                f"SELECT run_no, dataset_no, key, value FROM run_dataset_tags WHERE run_no IN ({marks(len(part))})"  # noqa: S608
                " AND dataset_no > ? AND dataset_no <= ? ORDER BY run_no, dataset_no, key",
                (*part, after, last),
            )
            for run_number, dataset_number, key, value in rows:
                found.setdefault((run_number, dataset_number), []).append(Tag(key, value))
        return found
