"""MLflow's own client as it comes: it moves files of 500 MB and more past its server, by URLs that S3 has signed."""

from __future__ import annotations

from benchmarks.clients.mlflow import Client

__all__ = ["Client"]
