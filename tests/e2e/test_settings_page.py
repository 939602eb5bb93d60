"""docs/settings.md tells of every setting, and every variable that the source reads is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.e2e.pages import read_page
from tests.e2e.settings_reference import page_with_reference

from holdfast._variables import VARIABLES
from holdfast_server.settings import SETTINGS

PAGE = read_page("settings.md")
CLIENT = Path(__file__).parents[2] / "client" / "python" / "holdfast"


def test_the_reference_is_what_the_settings_say_of_themselves():
    assert page_with_reference() == PAGE, "docs/settings.md is behind the settings: run `make docs`"


def test_every_setting_is_on_the_page():
    for setting in SETTINGS:
        assert f"| `{setting.flag}" in PAGE
        assert f"| `{setting.variable}` |" in PAGE
    for variable in VARIABLES:
        assert f"| `{variable.name}` |" in PAGE


def test_every_variable_that_the_client_reads_is_a_setting():
    # Those of the servers are made from their prefixes, and click's own is for completion.
    text = "\n".join(path.read_text(encoding="utf-8") for path in CLIENT.rglob("*.py"))
    named = set(re.findall(r"""["'`]+(HOLDFAST_(?!SERVER_|SERVE_)[A-Z_]+)["'`]+""", text))
    assert named == {variable.name for variable in VARIABLES}


@pytest.mark.parametrize("variable", [pytest.param(v, id=v.name) for v in VARIABLES])
def test_every_variable_has_one_line_of_help_and_a_default_that_it_takes(variable):
    assert variable.help.endswith(".")
    assert len(variable.help) <= 120
    if variable.check is not None and variable.default:
        variable.check({variable.name: variable.default})
