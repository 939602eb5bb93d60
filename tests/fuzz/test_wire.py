"""Whatever a request of any method holds, the answer is a result or a typed error, and the server goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.calling import check_answered
from tests.fuzz.messages import METADATA, methods, requests
from tests.fuzz.sizing import CALLS, effort
from tests.fuzz.wire_target import METHODS, Wire, seeds
from tests.rpc.bad_input.conftest import world_on
from tests.rpc.bad_input.world import World

from holdfast_server.storage.blocks.local import LocalObjectStore


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data_dir = tmp_path_factory.mktemp("fuzz") / "data"
    with world_on(data_dir, LocalObjectStore(data_dir / "store")) as world:
        yield world


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("method", [pytest.param(method, id=method.name) for method in methods()])
@effort(CALLS)
@given(st.data())
def test_any_request_gets_a_result_or_a_typed_error(
    world: World, method: MethodDescriptor, data: st.DataObject
) -> None:
    check_answered(world, method, data.draw(requests(method)), data.draw(METADATA))
    assert world.complaints() == [], world.server.lines
    assert world.server.process.poll() is None


def test_the_target_of_atheris_takes_a_row_for_each_method(tmp_path: Path) -> None:
    """It cannot run here, but what it runs can: each table has rows of each method."""
    by_method = {METHODS[seed[0]].full_name: seed for seed in seeds()}
    assert len(by_method) > len(METHODS) // 2
    target = Wire(tmp_path / "data")
    try:
        for seed in by_method.values():
            target(seed)
    finally:
        target.close()
