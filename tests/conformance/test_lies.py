"""The suite is worth what it finds: drivers that are wrong in one way each are found out by the scenario for it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from client.conformance.runner import drivers
from client.conformance.runner.actions import ACTIONS
from client.conformance.runner.languages import PYTHON, Language
from client.conformance.runner.playing import play
from client.conformance.runner.scenarios import load_scenarios
from client.conformance.runner.servers import Place

pytestmark = pytest.mark.slow

SCENARIOS = {scenario.name: scenario for scenario in load_scenarios(ACTIONS)}
# Which scenario finds which lie, and what it tells.
LIES = [
    ("connect_in_the_clear", "SaysNoVersion", "server_version"),
    ("connect_with_tls_and_token", "DamagesDownloads", "has other bytes"),
    ("wrong_token", "ClaimsSuccess", "UNAUTHENTICATED.* was expected"),
    ("missing_token", "ClaimsSuccess", "UNAUTHENTICATED.* was expected"),
    ("unknown_authority", "ClaimsSuccess", "UNAVAILABLE.* was expected"),
    ("nobody_answers", "ClaimsSuccess", "UNAVAILABLE.* was expected"),
    ("store_is_away_at_first", "WaitsBriefly", "an error came"),
    ("digest_vectors", "DigestsWithoutBlocks", "digest of 8,388,609 zero bytes"),
    ("digest_vectors", "DigestsTreesWithoutFlags", "digest of tree"),
    ("run_from_begin_to_end", "FinishesEveryRun", '"FAILED", and is "FINISHED"'),
    ("run_from_begin_to_end", "Crashes", "exit code 7 when it was asked for create_run.*a bug"),
    ("run_from_begin_to_end", "Hangs", "did not answer create_run within"),
    ("run_from_begin_to_end", "Lingers", "did not end within"),
    ("run_from_begin_to_end", "Babbles", "is no JSON"),
    ("run_from_begin_to_end", "Chatters", "lacks 'run_id'|said more"),
    ("params_and_tags", "SpeaksAscii", "params"),
    ("params_and_tags", "OverwritesTags", "tags"),
    ("params_are_immutable", "ClaimsSuccess", "INVALID_ARGUMENT.* was expected"),
    ("params_are_immutable", "GivesNoReasons", "PARAM_IMMUTABLE"),
    ("metrics_of_any_value", "LogsZeroForNan", '"NaN", and is 0'),
    ("metrics_of_any_value", "KeepsFloats", "points"),
    ("metric_history_in_pages", "ReadsOnePage", "25000 items in place of 25100"),
    ("large_file", "DamagesDownloads", "has other bytes"),
    ("small_files", "LosesExecutableBits", "executable bit"),
    ("small_files", "LosesEmptyDirectories", "entries"),
    ("many_entries", "ReadsOnePage", "1000 items in place of"),
    ("many_entries", "SortsAsUtf16", "path"),
    ("whole_tree", "LogsContents", "an error came|entries"),
    ("empty_file", "SkipsEmptyFiles", "an error came|entries"),
    ("one_block", "DamagesDownloads", "has other bytes"),
    ("two_blocks", "DamagesDownloads", "has other bytes"),
    ("replaced_file", "KeepsWhatIsThere", "bytes in place of"),
    ("ranges", "ReadsFromBlocks", "sha256"),
    ("unchanged_upload", "NeverAsks", "count.*'received'"),
    ("grown_file", "NeverAsks", "count.*'received'"),
    ("upload_over_a_cut_network", "StartsOver", "count.*(received|redundant|size)"),
    ("upload_by_a_killed_client", "NeverAsks", "count.*(received|redundant|size)"),
    ("upload_over_a_restarted_server", "StartsOver", "count.*(received|redundant|size)"),
    ("download_over_a_cut_network", "StartsOver", "network's count"),
    ("calls_over_a_restarted_server", "GivesUp", "an error came"),
    ("model_and_alias", "ExpectsNothing", "ABORTED.* was expected"),
    ("alias_seen_through_a_watch", "DoesNotWatch", "version"),
    ("alias_seen_through_a_watch", "TellsOfOtherAliases", "version"),
    ("watch_over_a_cut_network", "WatchesOnce", "an error came"),
    ("bad_path", "ClaimsSuccess", "INVALID_ARGUMENT.* was expected"),
    ("unknown_run", "ClaimsSuccess", "NOT_FOUND.* was expected"),
    ("unknown_run", "GivesNoRequestIds", "request_id"),
    ("unknown_file", "ClaimsSuccess", "NOT_FOUND.* was expected"),
    ("bit_flipped_on_its_way_up", "SendsOnce", "an error came"),
    ("bit_flipped_in_a_small_file_on_its_way_up", "SendsNoDigests", "bytes in place of|has other bytes|is not"),
    ("bit_flipped_in_a_small_file_on_its_way_up", "CommitsOnce", "an error came"),
    ("bit_flipped_on_its_way_down", "LeavesWhatIsDamaged", "is to hold"),
    ("bit_flipped_in_a_directory", "LeavesWhatIsDamaged", "bytes in place of"),
    ("bit_flipped_in_the_store", "ClaimsSuccess", "DATA_LOSS.* was expected"),
    ("what_others_download", "DamagesUploads", "has other bytes"),
    ("what_python_logged", "DamagesDownloads", "has other bytes"),
]


@pytest.mark.parametrize(("scenario", "lie", "told"), [pytest.param(*case, id=f"{case[1]}-{case[0]}") for case in LIES])
def test_a_driver_that_lies_is_found_out(
    scenario: str, lie: str, told: str, local_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "END_SECONDS", 5.0)
    liar = Language("lying", (sys.executable, str(Path(__file__).with_name("lying_driver.py")), lie))
    timeout = 8.0 if lie == "Hangs" else 100.0
    outcome = play(SCENARIOS[scenario], liar, others=(PYTHON,), place=local_place, timeout=timeout)
    assert outcome.failure, f"{scenario} does not find out {lie}"
    first = outcome.failure.partition("\n    ")[0]
    assert re.search(told, first, re.DOTALL), first


def test_each_scenario_is_known_to_find_something() -> None:
    assert {scenario for scenario, *_ in LIES} == set(SCENARIOS)
