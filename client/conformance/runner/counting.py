"""The server's own counters of blocks, by which a client is judged that says it sends nothing twice."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass

_SAMPLE = re.compile(r"^holdfast_blocks_(received|redundant)_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks that came with their bytes, and those of them that were there already."""

    received: int = 0
    redundant: int = 0

    def __add__(self, other: Blocks) -> Blocks:
        return Blocks(self.received + other.received, self.redundant + other.redundant)

    def __sub__(self, other: Blocks) -> Blocks:
        return Blocks(self.received - other.received, self.redundant - other.redundant)


def read_blocks(metrics_url: str) -> Blocks:
    """What a server has counted since its start."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(metrics_url, timeout=30) as answer:
        counts = {name: int(float(value)) for name, value in _SAMPLE.findall(answer.read().decode())}
    return Blocks(counts["received"], counts["redundant"])
