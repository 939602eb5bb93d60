"""How much is injected, and the seed from which all of it is drawn."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

DEFAULT_SEED = 20261124
# Per backend, at size 1. ``long`` is what the project promises to survive: 200 kills and 1,000 network faults.
KILLS = 10
NETWORK_FAULTS = 50
NAMED_SIZES = {"quick": 1.0, "long": 20.0}


@dataclass(frozen=True, slots=True)
class Sizing:
    """``HOLDFAST_FAULTS`` (quick, long, or a factor such as 6) and ``HOLDFAST_FAULTS_SEED``."""

    name: str
    factor: float
    seed: int

    @property
    def kills(self) -> int:
        """Kills of the server on each backend."""
        return self.times(KILLS)

    @property
    def network_faults(self) -> int:
        """Faults of the network on each backend."""
        return self.times(NETWORK_FAULTS)

    def times(self, count: int) -> int:
        """``count`` at this size, at least 1."""
        return max(1, round(count * self.factor))

    def random(self, *names: object) -> random.Random:
        """Numbers for one use; others' use of theirs does not change them."""
        return random.Random(":".join(map(str, (self.seed, *names))))


def read_sizing(variable: str = "HOLDFAST_FAULTS") -> Sizing:
    """What the environment asks for; a size that is none is an error, not a quick run."""
    name = os.environ.get(variable) or "quick"
    factor = NAMED_SIZES.get(name)
    if factor is None:
        try:
            factor = float(name)
        except ValueError:
            raise ValueError(f"{variable} is quick, long or a factor such as 6, not {name!r}") from None
    if not 0 < factor < 10_000:
        raise ValueError(f"{variable} is a factor above 0, not {name!r}")
    return Sizing(name, factor, int(os.environ.get("HOLDFAST_FAULTS_SEED") or DEFAULT_SEED))
