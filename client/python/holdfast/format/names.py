"""Rules of keys and of models' names, and how long values may be. Both sides check by them, so they cannot differ.

Each function returns the first rule that its argument breaks, in words, and an empty text when it breaks none.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache

from holdfast.format.paths import broken_name_rule

MAX_KEY = 250
MAX_NAME = 250
MAX_PARAM_VALUE = 6_000
MAX_RUN_TAG = 8_000
MAX_MODEL_TAG = 100_000
MAX_MODEL_TYPE = 500
# Description and tags of a registered model, or of a version, together.
MAX_REGISTRY_BYTES = 480 << 10
# What each tag counts besides its texts.
TAG_OVERHEAD = 16

_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
# As MLflow has it, which may keep a key as a file.
KEY_PATH_RULE = "a key begins with neither '/' nor '..', and no part of it between '/' is empty, '.' or '..'"
_KEY = re.compile(r"[\w\-.:/ ]+")  # \w: letters and digits of any script, as MLflow has it
_NOT_IN_LOGGED = "/:.%\"'"
_NOT_IN_REGISTERED = "/:%@"


@lru_cache(maxsize=1_024)  # what is logged repeats few keys many times
def broken_key_rule(key: str) -> str:
    """Of keys of params, metrics and tags."""
    if len(key) > MAX_KEY:
        return f"it has {len(key)} characters, and the limit is {MAX_KEY}"
    if not _KEY.fullmatch(key):
        return f"a key is 1 to {MAX_KEY} letters, digits, '_', '-', '.', ':', '/' and spaces"
    return KEY_PATH_RULE if is_path_elsewhere(key) else ""


def is_path_elsewhere(key: str) -> bool:
    """Whether a key would be the path of another one, such as ``a//b`` and ``../a``; MLflow's ``path_not_unique``."""
    return key == "." or key.startswith(("/", "..")) or posixpath.normpath(key) != key


def broken_logged_model_name_rule(name: str) -> str:
    """Of the name of a logged model."""
    return _broken_model_name_rule(name, _NOT_IN_LOGGED)


def broken_registered_model_name_rule(name: str) -> str:
    """Of the name of a registered model, which must not be mistaken for anything else in a ``models:/`` URI."""
    if _MODEL_ID.fullmatch(name):
        return "it must not look like the id of a logged model"
    return _broken_model_name_rule(name, _NOT_IN_REGISTERED)


def registry_bytes(description: str, tags: dict[str, str]) -> int:
    """What a description and tags count towards ``MAX_REGISTRY_BYTES``."""
    counted = sum(len(key.encode()) + len(value.encode()) + TAG_OVERHEAD for key, value in tags.items())
    return len(description.encode()) + counted


def _broken_model_name_rule(name: str, forbidden: str) -> str:
    if len(name) > MAX_NAME:
        return f"it is longer than {MAX_NAME} characters"
    if not name.strip():
        return "it must not be empty, nor only spaces"
    if any(character in forbidden for character in name):
        return f"it must not contain any of {' '.join(forbidden)}"
    return broken_name_rule(name)
