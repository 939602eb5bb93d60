"""``python -m client.conformance.runner``: plays all scenarios in all languages and prints a table for each store."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch

from client.conformance.runner.actions import ACTIONS
from client.conformance.runner.errors import BuildError, ScenarioFileError, ToolchainMissingError
from client.conformance.runner.languages import LANGUAGES, Language, build
from client.conformance.runner.playing import TIMEOUT, Outcome, play
from client.conformance.runner.scenarios import STORES, Scenario, load_scenarios
from client.conformance.runner.servers import open_place
from client.conformance.runner.table import Results

REQUIRE_VARIABLE = "HOLDFAST_REQUIRE_LANGUAGES"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what is asked for; 0 when all of it is as it should be, and nothing is missing that is required."""
    options = _parser().parse_args(arguments)
    try:
        scenarios = [s for s in load_scenarios(ACTIONS) if any(fnmatch(s.name, p) for p in options.scenarios)]
        built, missing = _build_all(options.languages)
    except (ScenarioFileError, BuildError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not scenarios:
        print(f"error: no scenario is called {', '.join(options.scenarios)}", file=sys.stderr)
        return 2
    tables = []
    failed = bool(missing) and os.environ.get(REQUIRE_VARIABLE) == "1"
    for store in options.stores:
        try:
            results = _play_on(store, scenarios, built, missing, timeout=options.timeout)
        except ToolchainMissingError as error:
            missing = {**missing, store: str(error)}
            failed = failed or os.environ.get("HOLDFAST_REQUIRE_MINIO") == "1"
            continue
        tables.append(results.table())
        failed = failed or any(o.failure for played in results.outcomes.values() for o in played.values())
    print("\n" + "\n\n".join(tables))
    for name, why in missing.items():
        print(f"WARNING: {name} was left out: {why}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    names = [language.name for language in LANGUAGES]
    parser = argparse.ArgumentParser(prog="python -m client.conformance.runner", description=__doc__)
    parser.add_argument("--languages", type=_among(names), default=names, help=f"some of {','.join(names)}")
    parser.add_argument("--stores", type=_among(STORES), default=list(STORES), help=f"some of {','.join(STORES)}")
    parser.add_argument(
        "--scenarios", type=lambda text: text.split(","), default=["*"], help="names, such as upload_*,bad_path"
    )
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds that a driver has for an answer")
    return parser


def _among(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads some of the names that there are, separated by commas."""

    def names(text: str) -> list[str]:
        found = text.split(",")
        unknown = [name for name in found if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return found

    return names


def _build_all(wanted: Sequence[str]) -> tuple[list[Language], dict[str, str]]:
    """Build the drivers that are asked for; returns those that are built, and why others are missing."""
    built: list[Language] = []
    missing: dict[str, str] = {}
    for language in LANGUAGES:
        if language.name not in wanted:
            continue
        try:
            build(language)
            built.append(language)
        except ToolchainMissingError as error:
            missing[language.name] = str(error)
    return built, missing


def _play_on(
    store: str,
    scenarios: Sequence[Scenario],
    built: Sequence[Language],
    missing: Mapping[str, str],
    *,
    timeout: float,
) -> Results:
    outcomes: dict[str, dict[str, Outcome]] = {language.name: {} for language in built}
    with open_place(store) as place:
        for scenario in scenarios:
            for language in built if store in scenario.stores else ():
                others = tuple(other for other in built if other != language)
                outcome = play(scenario, language, others=others, place=place, timeout=timeout)
                outcomes[language.name][scenario.name] = outcome
                word = "FAILED" if outcome.failure else "passed"
                print(f"{word} {outcome.seconds:6.1f} s  {store} {language.name} {scenario.name}", flush=True)
                if outcome.failure:
                    print(outcome.failure, flush=True)
    return Results(store, [scenario.name for scenario in scenarios], outcomes, missing)


if __name__ == "__main__":
    sys.exit(main())
