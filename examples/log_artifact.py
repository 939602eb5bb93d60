"""Log a text file to a run."""

import tempfile
from pathlib import Path

import holdfast as mlflow

with tempfile.TemporaryDirectory() as directory:
    path = Path(directory) / "notes.txt"
    path.write_text("trained on the 2026 snapshot, without the holdout\n")

    with mlflow.start_run() as run:
        mlflow.log_artifact(path)

print("run:", run.info.run_id)
