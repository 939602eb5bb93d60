"""What docs/serving.md shows does what the page says, and it tells of every setting."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.e2e.pages import check_page, read_page
from tests.ports import free_ports

from holdfast.cli.models.serving import serve
from holdfast.serving.config import ServingConfig
from holdfast.serving.errors import ServingError

PAGE = read_page("serving.md")


@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    http, grpc = free_ports(2)
    page = PAGE.replace("5080", str(http)).replace("5081", str(grpc))
    assert check_page(page, tmp_path) == 13


def test_every_option_is_told_with_its_variable_and_default() -> None:
    for option in serve.params:
        if option.envvar is None:
            continue
        (row,) = [line for line in PAGE.splitlines() if f"`{option.envvar}`" in line]
        assert all(f"`{name}`" in row for name in option.opts)
        if option.default is False:
            assert "| off |" in row
        elif isinstance(option.default, float):
            assert f"| {option.default:g} |" in row
        elif isinstance(option.default, (int, str)):
            assert f"| {option.default} |" in row


def test_every_field_of_the_configuration_is_documented() -> None:
    for field in dataclasses.fields(ServingConfig):
        assert f"\n        {field.name}: " in (ServingConfig.__doc__ or "")


def test_every_error_code_is_told() -> None:
    kinds = [kind for name, kind in vars(ServingError).items() if name.isupper()]
    for kind in kinds:
        if kind.status != 500:
            assert f"| {kind.status} | `{kind.error_code}` |" in PAGE
