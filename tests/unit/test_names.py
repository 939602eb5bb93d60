"""Rules of names, limits and values as callers send them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_server.domain import names
from holdfast_server.domain.experiment import Tag, TagChanges, TagLimit
from holdfast_server.domain.run import Batch, Metric, Param
from holdfast_server.domain.run_names import make_name
from holdfast_server.errors import InvalidArgument, Reason


@pytest.mark.parametrize("key", ["a", "A-z_0.9:/ b", "é", "日本", " ", "x" * 250])
def test_keys_of_letters_digits_and_a_few_signs_are_accepted(key):
    assert names.check_key(key) == key


@pytest.mark.parametrize("key", ["", "a;b", "a\n", "a\0", "a%b", "a\\b", "a'b", "😀"])
def test_other_keys_are_refused(key):
    with pytest.raises(InvalidArgument) as caught:
        names.check_key(key, what="A tag key", field="tags")
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_NAME, "tags")
    assert "A tag key" in caught.value.message


def test_a_long_key_names_length_and_limit():
    with pytest.raises(InvalidArgument) as caught:
        names.check_key("k" * 251)
    assert caught.value.metadata == {"limit": "250", "length": "251"}
    assert caught.value.reason is Reason.LIMIT_EXCEEDED


PATHS_ELSEWHERE = [".", "..", "...", "..a", "/a", "//a", "a/", "a//b", "./a", "a/.", "a/./b", "../a", "a/..", "a/../b"]


@pytest.mark.parametrize("key", PATHS_ELSEWHERE)
def test_keys_that_are_paths_to_other_keys_are_refused_and_can_still_be_named(key):
    """MLflow refuses the same. A database of before may hold them, and they are read and removed there."""
    with pytest.raises(InvalidArgument, match=r"begins with neither '/' nor '\.\.'") as caught:
        names.check_key(key, what="A metric key", field="metrics")
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_NAME, "metrics")
    assert names.check_given_key(key) == key
    assert TagChanges.parse((), [key], TagLimit.RUN).deleted_keys == (key,)


@pytest.mark.parametrize("key", [".a", "a..", "a/..b", "a.b/c", "a/ /b", "a/b.", "-/:"])
def test_other_keys_with_points_and_slashes_are_accepted(key):
    assert names.check_key(key) == key


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("123456789012345678", 123456789012345678)])
def test_experiment_ids_are_numbers(text, number):
    assert names.check_experiment_id(text) == number


@pytest.mark.parametrize("text", ["", "-1", "01", "1.0", "x", "\u0661", "1" * 19])
def test_other_experiment_ids_are_refused(text):
    with pytest.raises(InvalidArgument):
        names.check_experiment_id(text)


@pytest.mark.parametrize("name", ["m-" + "0" * 32, "a@b", "a%b"])
def test_registered_model_names_cannot_be_mistaken_in_uris(name):
    with pytest.raises(InvalidArgument):
        names.check_registered_model_name(name)


@given(st.text(max_size=40))
def test_accepted_aliases_follow_the_rule(alias):
    try:
        names.check_alias(alias)
    except InvalidArgument:
        accepted = False
    else:
        accepted = True
    rule = re.fullmatch(r"[A-Za-z0-9_-]+", alias) and not re.fullmatch(r"(?i)latest|v\d+", alias)
    assert accepted == bool(rule)


@given(st.text(max_size=300))
def test_shown_text_is_printable_ascii_of_bounded_length(text):
    shown = names.shown(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) < 1_300


def test_the_last_value_of_a_repeated_tag_counts():
    changes = TagChanges.parse([("a", "1"), ("b", "2"), ("a", "3")], [], TagLimit.RUN)
    assert changes.tags == (Tag("a", "3"), Tag("b", "2"))


def test_stored_values_are_not_checked_again():
    """Rows stay readable when a limit is lowered."""
    assert Param("bad;key", "x" * 10_000).key == "bad;key"
    assert Tag("", "x" * 200_000).value


def test_a_batch_knows_its_limits():
    point = Metric("m", 1.0, 0, 0)
    assert len(Batch(metrics=(point,) * 1_000).metrics) == 1_000
    with pytest.raises(InvalidArgument):
        Batch(metrics=(point,) * 1_001)
    with pytest.raises(InvalidArgument):
        Batch(writer_sequence=(1 << 63) - 1)


def test_made_names_are_stable_and_well_formed():
    found = {make_name(f"{i:032x}") for i in range(2_000)}
    assert len(found) > 1_990
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-\d{1,3}", name) for name in found)
    assert make_name("x") == make_name("x")
