"""Each target with texts, bytes and damaged examples: it refuses them or not, and does nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.sizing import EXAMPLES, effort
from tests.fuzz.targets import SEEDS, TARGETS


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """An example with a few pieces overwritten, removed, repeated, or taken from another."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 5))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 8))
        piece = draw(
            st.binary(max_size=6)
            | st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass"))
            | st.sampled_from(seeds).map(lambda seed: seed[:64])
            | st.just(bytes(data[at : at + length]) * 3)
        )
        data[at : at + length] = piece
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
@effort(EXAMPLES)
@given(st.data())
def test_anything_is_read_or_refused(name: str, data: st.DataObject) -> None:
    texts = st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    TARGETS[name](data.draw(damaged(list(SEEDS[name])) | texts | st.binary(max_size=300)))


@pytest.mark.parametrize(
    ("name", "seed"),
    [pytest.param(name, seed, id=f"{name}-{i}") for name, seeds in SEEDS.items() for i, seed in enumerate(seeds)],
)
def test_the_examples_themselves_pass(name: str, seed: bytes) -> None:
    TARGETS[name](seed)
