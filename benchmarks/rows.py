"""What is measured, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

Store = Literal["local", "minio"]
Direction = Literal["up", "down", "again"]

# Whose workers are threads of one process: sixteen processes would each have to import MLflow first.
THREADED = frozenset({"mlflow"})

STORES: tuple[Store, ...] = ("local", "minio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing to be done by every peer.

    Attributes:
        name: Selects it on the command line.
        title: What it is called in tables; the sizes are those of scale 1.
        direction: ``again`` is to upload what the server already has.
        size: Bytes of each file.
        files: In one upload; 1 is a plain file, more are a directory.
        workers: Processes that do it at once, each with data of its own.
        peers: Whom Holdfast is compared with, for each store.
        targets: For each store and peer, the least ratio of the rates.
        least_rate: Files per second to be reached on local blocks, whatever the peers do; 0 for none.
        fewer: The share of the files that a peer gets which would take too long with all; rates are compared.
    """

    name: str
    title: str
    direction: Direction
    size: int
    files: int = 1
    workers: int = 1
    peers: dict[Store, tuple[str, ...]] = field(
        default_factory=lambda: {"local": ("holdfast", "bare", "mlflow"), "minio": ("holdfast", "minio", "mlflow")}
    )
    targets: dict[tuple[str, str], float] = field(default_factory=dict)
    least_rate: float = 0
    fewer: dict[str, float] = field(default_factory=dict)

    @property
    def small(self) -> bool:
        """Whether files per second are what counts."""
        return self.files > 1


# Only large files go past MLflow's server, and only to S3.
LARGE_PEERS: dict[Store, tuple[str, ...]] = {
    "local": ("holdfast", "bare", "mlflow"),
    "minio": ("holdfast", "minio", "mlflow", "mlflow_defaults"),
}

ROWS = (
    Row(
        name="up-1g",
        title="1 GiB up",
        direction="up",
        size=GIB,
        peers=LARGE_PEERS,
        targets={("local", "mlflow"): 3, ("local", "bare"): 0.95, ("minio", "minio"): 0.7},
    ),
    Row(
        name="down-1g",
        title="1 GiB down",
        direction="down",
        size=GIB,
        peers=LARGE_PEERS,
        targets={("local", "mlflow"): 1.8, ("local", "bare"): 0.9, ("minio", "minio"): 0.8},
    ),
    Row(
        name="again-1g",
        title="1 GiB up again, unchanged",
        direction="again",
        size=GIB,
        peers={"local": ("holdfast", "sha256", "mlflow"), "minio": ("holdfast", "sha256")},
        targets={("local", "sha256"): 0.8, ("minio", "sha256"): 0.8},
    ),
    Row(
        name="up-1k",
        title="1,000 × 4 KiB up",
        direction="up",
        size=4 * KIB,
        files=1_000,
        targets={("local", "mlflow"): 50},
        least_rate=8_000,
    ),
    Row(
        name="down-1k",
        title="1,000 × 4 KiB down",
        direction="down",
        size=4 * KIB,
        files=1_000,
        targets={("local", "mlflow"): 25},
        least_rate=8_000,
    ),
    Row(
        name="up-10k",
        title="10,000 × 4 KiB up",
        direction="up",
        size=4 * KIB,
        files=10_000,
        least_rate=12_000,
        fewer={"mlflow": 0.1},
    ),
    Row(
        name="down-10k",
        title="10,000 × 4 KiB down",
        direction="down",
        size=4 * KIB,
        files=10_000,
        least_rate=12_000,
        fewer={"mlflow": 0.1},
    ),
    Row(name="workers", title="16 workers at once, 64 MiB each, up", direction="up", size=64 * MIB, workers=16),
)
