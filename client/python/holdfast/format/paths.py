"""Rules of artifact paths, and of every name that becomes part of one (a model's, for example)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

MAX_PATH_BYTES = 1_024
MAX_COMPONENTS = 32
MAX_COMPONENT_BYTES = 255

_DRIVE = re.compile(r"[A-Za-z]:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_ENCODED = re.compile(r"%(2e|2f|5c)", re.IGNORECASE)
# Characters that reorder text on screen, or look like '.', '/' or '\' and are folded to them by some file systems.
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_LOOKALIKES = "\uff0e\uff0f\uff3c"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_FORBIDDEN = re.compile(f"[{_BIDI}{_LOOKALIKES}]")
# Most paths have only these characters, and one match tells that none of the rules below can be broken, given that the
# path is shorter than a component may be. A tree of a million files is checked on both sides.
_PLAIN = re.compile(r"\.*[\w+=@,()-]+(?:[. ]+[\w+=@,()-]+)*(?:/\.*[\w+=@,()-]+(?:[. ]+[\w+=@,()-]+)*){0,31}", re.ASCII)


# What a path must not be, in the order in which the rules are told.
_RULES: tuple[tuple[Callable[[str], object], str], ...] = (
    (lambda path: not path, "it is empty"),
    (lambda path: not _is_utf8(path), "it is not valid UTF-8"),
    (lambda path: len(path.encode()) > MAX_PATH_BYTES, f"it is longer than {MAX_PATH_BYTES} bytes of UTF-8"),
    (lambda path: path.startswith("/"), "it must be relative"),
    (lambda path: "\\" in path, "it must not contain a backslash; separate components by '/'"),
    (_SCHEME.match, "it looks like a URI"),
    (_DRIVE.match, "it must not begin with a drive letter"),
    (_ENCODED.search, "it must not contain %2e, %2f or %5c"),
    (_CONTROL.search, "it must not contain control characters"),
    (_FORBIDDEN.search, "it must not contain direction overrides or look-alikes of '.', '/' and '\\'"),
    (lambda path: path.count("/") >= MAX_COMPONENTS, f"it has more than {MAX_COMPONENTS} components"),
)


def broken_rule(path: str) -> str:
    """The first rule of artifact paths that ``path`` breaks, in words; empty when it breaks none."""
    if len(path) <= MAX_COMPONENT_BYTES and _PLAIN.fullmatch(path):
        return ""
    for breaks, rule in _RULES:
        if breaks(path):
            return rule
    return next(filter(None, map(_broken_component_rule, path.split("/"))), "")


def broken_name_rule(name: str) -> str:
    """The first rule that ``name`` breaks as one component of a path; empty when it breaks none."""
    return "it must not contain '/'" if "/" in name else broken_rule(name)


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _broken_component_rule(component: str) -> str:
    if not component:
        return "it has an empty component"
    if component in {".", ".."}:
        return "it has a component '.' or '..'"
    if component[0] == " " or component[-1] in " .":
        return "a component must not begin with a space, nor end with a space or a dot"
    if len(component.encode()) > MAX_COMPONENT_BYTES:
        return f"a component is longer than {MAX_COMPONENT_BYTES} bytes of UTF-8"
    return ""


def ancestors(path: str) -> list[str]:
    """The directories above ``path``, outermost first, without the root."""
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def parent_of(path: str) -> str:
    """The directory that holds ``path``; empty for the root."""
    return path.rpartition("/")[0]


def nfc(path: str) -> str:
    """The path as normalising file systems see it."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)
