"""Every client does what the scenarios ask, on local blocks and on MinIO: ``make conformance`` as tests."""

from __future__ import annotations

import pytest
from client.conformance.runner.actions import ACTIONS
from client.conformance.runner.errors import BuildError, ToolchainMissingError
from client.conformance.runner.languages import LANGUAGES, Language, build
from client.conformance.runner.playing import play
from client.conformance.runner.scenarios import STORES, Scenario, load_scenarios
from client.conformance.runner.servers import Place
from tests.conformance.toolchains import leave_out

# A toolchain may take its time for a first build.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

CASES = [
    pytest.param(store, language, scenario, id=f"{store}-{language.name}-{scenario.name}", marks=marks)
    for store in STORES
    for marks in [[pytest.mark.minio] if store == "minio" else []]
    for language in LANGUAGES
    for scenario in load_scenarios(ACTIONS)
    if store in scenario.stores
]


@pytest.fixture(scope="session")
def missing() -> dict[str, str]:
    """Which languages cannot be built, and why."""
    found = {}
    for language in LANGUAGES:
        try:
            build(language)
        except (ToolchainMissingError, BuildError) as error:
            found[language.name] = str(error)
            if isinstance(error, BuildError):
                found[language.name] = f"its driver is not built\n{error}"
    return found


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(f"{request.node.callspec.params['store']}_place")
    return found


@pytest.mark.parametrize(("store", "language", "scenario"), CASES)
def test_clients_conform(store: str, language: Language, scenario: Scenario, missing, place) -> None:
    if language.name in missing:
        why = missing[language.name]
        if "its driver is not built" in why:
            pytest.fail(why, pytrace=False)
        leave_out(language.name, why)
    others = tuple(other for other in LANGUAGES if other != language and other.name not in missing)
    outcome = play(scenario, language, others=others, place=place)
    if outcome.failure:
        pytest.fail(outcome.failure, pytrace=False)
