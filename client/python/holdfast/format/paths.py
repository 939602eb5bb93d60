"""Rules of artifact paths, and of every name that becomes part of one (a model's, for example)."""

from __future__ import annotations

import re
import unicodedata

MAX_PATH_BYTES = 1_024
MAX_COMPONENTS = 32
MAX_COMPONENT_BYTES = 255

_DRIVE = re.compile(r"[A-Za-z]:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_ENCODED = re.compile(r"%(2e|2f|5c)", re.IGNORECASE)
# Characters that reorder text on screen, or look like '.', '/' or '\' and are folded to them by some file systems.
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_LOOKALIKES = "\uff0e\uff0f\uff3c"
_FORBIDDEN = re.compile(f"[{_BIDI}{_LOOKALIKES}]")


def broken_rule(path: str) -> str:
    """The first rule of artifact paths that ``path`` breaks, in words; empty when it breaks none."""
    if not path:
        return "it is empty"
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    if len(encoded) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes of UTF-8"
    if path.startswith("/"):
        return "it must be relative"
    if "\\" in path:
        return "it must not contain a backslash; separate components by '/'"
    if _SCHEME.match(path):
        return "it looks like a URI"
    if _DRIVE.match(path):
        return "it must not begin with a drive letter"
    if _ENCODED.search(path):
        return "it must not contain %2e, %2f or %5c"
    if any(unicodedata.category(c) == "Cc" for c in path):
        return "it must not contain control characters"
    if _FORBIDDEN.search(path):
        return "it must not contain direction overrides or look-alikes of '.', '/' and '\\'"
    components = path.split("/")
    if len(components) > MAX_COMPONENTS:
        return f"it has more than {MAX_COMPONENTS} components"
    for component in components:
        rule = _broken_component_rule(component)
        if rule:
            return rule
    return ""


def broken_name_rule(name: str) -> str:
    """The first rule that ``name`` breaks as one component of a path; empty when it breaks none."""
    return "it must not contain '/'" if "/" in name else broken_rule(name)


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


def nfc(path: str) -> str:
    """The path as normalising file systems see it."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)
