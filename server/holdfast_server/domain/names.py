"""Rules of names and ids. Each function returns its argument or raises ``InvalidArgument`` that states the rule.

Ids of what is to be there already raise ``NotFound``, if nothing can have them.
"""

from __future__ import annotations

import re
from functools import lru_cache

from holdfast.format.names import KEY_PATH_RULE, broken_registered_model_name_rule, is_path_elsewhere
from holdfast_server.errors import InvalidArgument, NotFound, Reason

MAX_REQUEST_ID = 128
MAX_KEY = 250
MAX_USER_ID = 256
MAX_ALIAS = 255
MAX_EXPERIMENT_NAME = 500
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_EXPERIMENT_ID = re.compile(r"0|[1-9][0-9]{0,17}")
_KEY = re.compile(r"[\w\-.:/ ]+")  # \w: letters and digits of any script, as MLflow has it
_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}")
_VERSION_ALIAS = re.compile(r"[vV][0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# They make a text read as another one than it is. Marks, which right-to-left texts need, are no such characters.
_OVERRIDES = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_NOT_IN_LOGGED = "/:.%\"'"
_PRINTABLE_ASCII = re.compile(r"[!-~]+")


def check_request_id(request_id: str) -> str:
    """1 to 128 printable ASCII characters without space."""
    if len(request_id) > MAX_REQUEST_ID or not _PRINTABLE_ASCII.fullmatch(request_id):
        raise InvalidArgument(
            f"A request id is 1 to {MAX_REQUEST_ID} printable ASCII characters without space, such as a UUID.",
            reason=Reason.INVALID_NAME,
            field="request_id",
        )
    return request_id


def check_import_id(import_id: str) -> str:
    """1 to 128 printable ASCII characters without space."""
    if len(import_id) > MAX_REQUEST_ID or not _PRINTABLE_ASCII.fullmatch(import_id):
        raise _bad_name(
            f"an import id is 1 to {MAX_REQUEST_ID} printable ASCII characters without space", import_id, "import_id"
        )
    return import_id


def check_run_id(run_id: str, *, field: str = "run_id") -> str:
    """An id for a run to be: 32 lower-case hex digits."""
    if not _RUN_ID.fullmatch(run_id):
        raise InvalidArgument(
            f"{shown(run_id)} is not a run id: 32 lower-case hex digits.", reason=Reason.INVALID_NAME, field=field
        )
    return run_id


def named_run(run_id: str) -> str:
    """The id of a run that may be there.

    Raises:
        NotFound: RUN_NOT_FOUND, no run can have it. That is what callers expect of an id that they mistyped.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise NotFound(
            f"There is no run {shown(run_id)}: the id of a run is 32 lower-case hex digits.",
            reason=Reason.RUN_NOT_FOUND,
            metadata={"run_id": run_id},
        )
    return run_id


def named_model(model_id: str) -> str:
    """The id of a logged model that may be there.

    Raises:
        NotFound: MODEL_NOT_FOUND, no model can have it.
    """
    if not _MODEL_ID.fullmatch(model_id):
        raise NotFound(
            f"There is no logged model {shown(model_id)}: the id of one is 'm-' and 32 lower-case hex digits.",
            reason=Reason.MODEL_NOT_FOUND,
            metadata={"model_id": model_id},
        )
    return model_id


def check_model_id(model_id: str, *, field: str = "model_id") -> str:
    """An id for a logged model to be: ``m-`` and 32 lower-case hex digits."""
    if not _MODEL_ID.fullmatch(model_id):
        raise InvalidArgument(
            f"{shown(model_id)} is not a model id: 'm-' and 32 lower-case hex digits.",
            reason=Reason.INVALID_NAME,
            field=field,
        )
    return model_id


@lru_cache(maxsize=8_192)  # a batch repeats few keys many times
def check_key(key: str, *, what: str = "A key", field: str = "key") -> str:
    """A key that a param, metric or tag can be given: as ``check_given_key``, and no path to another key."""
    check_given_key(key, what=what, field=field)
    if is_path_elsewhere(key):
        raise InvalidArgument(
            f"{what} {shown(key)} is refused: {KEY_PATH_RULE}.", reason=Reason.INVALID_NAME, field=field
        )
    return key


def check_given_key(key: str, *, what: str = "A key", field: str = "key") -> str:
    """A key that something may have: 1 to 250 letters, digits, ``_ - . : /`` and spaces."""
    if not _KEY.fullmatch(key) or len(key) > MAX_KEY:
        if len(key) > MAX_KEY:
            raise too_long(f"{what} {shown(key)}", len(key), MAX_KEY, field=field)
        raise _bad_name(f"{what} is 1 to {MAX_KEY} letters, digits, '_', '-', '.', ':', '/' and spaces", key, field)
    return key


def check_length(value: str, limit: int, *, what: str, field: str) -> str:
    """At most ``limit`` characters."""
    if len(value) > limit:
        raise too_long(what, len(value), limit, field=field)
    return value


def check_line(value: str, limit: int, *, what: str, field: str) -> str:
    """At most ``limit`` characters, none of which controls a terminal or turns around what follows; may be empty."""
    check_length(value, limit, what=what, field=field)
    if _CONTROL.search(value) or _OVERRIDES.search(value):
        raise InvalidArgument(
            f"{what} is one line, without control characters and such that change the direction of what follows;"
            f" {shown(value)} is refused.",
            field=field,
        )
    return value


def check_count(count: int, limit: int, *, what: str, field: str) -> int:
    """At most ``limit`` items."""
    if count > limit:
        raise InvalidArgument(
            f"{count} {what} are too many for one request; the limit is {limit}. Send several requests.",
            reason=Reason.LIMIT_EXCEEDED,
            field=field,
            metadata={"limit": str(limit)},
        )
    return count


def check_experiment_id(experiment_id: str, *, field: str = "experiment_id") -> int:
    """The number that an experiment id stands for."""
    if not _EXPERIMENT_ID.fullmatch(experiment_id):
        raise _bad_name("an experiment id is a decimal number such as '0'", experiment_id, field)
    return int(experiment_id)


def check_experiment_name(name: str) -> str:
    """1 to 500 characters, not only spaces, no control characters."""
    return _check_text(name, MAX_EXPERIMENT_NAME, what="an experiment name", field="name")


def check_run_name(name: str, *, field: str = "run_name") -> str:
    """1 to 250 characters, not only spaces, no control characters."""
    return _check_text(name, MAX_KEY, what="a run name", field=field)


def check_user_id(user_id: str) -> str:
    """At most 256 characters, no control characters; may be empty."""
    return _check_text(user_id, MAX_USER_ID, what="a user id", field="user_id") if user_id else user_id


def check_logged_model_name(name: str) -> str:
    """A path component of at most 250 characters without ``/ : . % " '``."""
    return _check_model_name(name, _NOT_IN_LOGGED, what="a logged model name")


def check_registered_model_name(name: str, *, field: str = "name") -> str:
    """A path component of at most 250 characters without ``/ : % @``, and no model id."""
    check_length(name, MAX_KEY, what="A registered model name", field=field)
    # The client checks by the same rule, before it uploads anything.
    rule = broken_registered_model_name_rule(name)
    if rule:
        raise InvalidArgument(
            f"The registered model name {shown(name)} is refused: {rule}.", reason=Reason.INVALID_NAME, field=field
        )
    return name


def check_alias(alias: str) -> str:
    """1 to 255 letters, digits, ``_`` and ``-``; neither "latest" nor ``v`` and a number."""
    if not _ALIAS.fullmatch(alias):
        raise _bad_name(f"an alias is 1 to {MAX_ALIAS} letters, digits, '_' and '-'", alias, "alias")
    if alias.lower() == "latest" or _VERSION_ALIAS.fullmatch(alias):
        raise _bad_name("'latest' and 'v' with a number are reserved and cannot be aliases", alias, "alias")
    return alias


def check_version(version: int, *, field: str = "version") -> int:
    """A number of a model version: 1 or more."""
    if not 1 <= version < 1 << 63:
        raise InvalidArgument(f"{version} is not a version: versions are numbered from 1.", field=field)
    return version


def check_writer_id(writer_id: str) -> str:
    """1 to 128 printable ASCII characters without space."""
    if len(writer_id) > MAX_REQUEST_ID or not _PRINTABLE_ASCII.fullmatch(writer_id):
        raise _bad_name(
            f"a writer id is 1 to {MAX_REQUEST_ID} printable ASCII characters without space", writer_id, "writer_id"
        )
    return writer_id


def too_long(what: str, length: int, limit: int, *, field: str) -> InvalidArgument:
    """The error for a text over its limit. Nothing is ever cut to fit."""
    return InvalidArgument(
        f"{what} has {length} characters; the limit is {limit}. Shorten it, or log it as an artifact.",
        reason=Reason.LIMIT_EXCEEDED,
        field=field,
        metadata={"limit": str(limit), "length": str(length)},
    )


def _check_text(text: str, limit: int, *, what: str, field: str) -> str:
    if len(text) > limit:
        raise too_long(f"{what[0].upper()}{what[1:]}", len(text), limit, field=field)
    if not text.strip():
        raise _bad_name(f"{what} is not empty and not only spaces", text, field)
    if _CONTROL.search(text):
        raise _bad_name(f"{what} holds no control characters", text, field)
    if _OVERRIDES.search(text):
        raise _bad_name(f"{what} holds no characters that change the direction of what follows", text, field)
    return text


def _check_model_name(name: str, forbidden: str, *, what: str, field: str = "name") -> str:
    from holdfast_server.domain.paths import check_component  # which builds on this module

    _check_text(name, MAX_KEY, what=what, field=field)
    if any(character in forbidden for character in name):
        raise _bad_name(f"{what} holds none of {' '.join(forbidden)}", name, field)
    return check_component(name, field=field, what=what[0].upper() + what[1:])


def _bad_name(rule: str, value: str, field: str) -> InvalidArgument:
    rule = rule[0].upper() + rule[1:]
    return InvalidArgument(f"{rule}; {shown(value)} is refused.", reason=Reason.INVALID_NAME, field=field)


def shown(value: str, limit: int = 120) -> str:
    """Quote a caller's text for a message: escaped, and cut to a length that fits the metadata."""
    return ascii(value if len(value) <= limit else value[:limit] + "…")
