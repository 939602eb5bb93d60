"""Finds the installed distributions that provide given modules.

``importlib.metadata.packages_distributions()`` reads every distribution there is, which takes 130 to 650 ms. Here the
distribution of the module's own name is tried first, and only the few modules that have none cost a search through
the file lists, as bytes.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import NamedTuple

__all__ = ["Found", "find_distributions", "pinned"]

# Modules whose distribution has another name; each saves a search, none is needed.
_KNOWN_NAMES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}


class Found(NamedTuple):
    """Which distributions provide some modules.

    Attributes:
        requirements: ``name==version`` of each, sorted.
        unowned: Top-level modules that no distribution provides: local code, or nothing that is installed.
    """

    requirements: list[str]
    unowned: list[str]


def find_distributions(modules: Iterable[str]) -> Found:
    """Find the distributions of ``modules``, given as dotted names.

    The standard library, ``__main__`` and Holdfast itself need none and are left out.
    """
    by_top: dict[str, set[str]] = {}
    for module in modules:
        by_top.setdefault(module.partition(".")[0], set()).add(module)
    needed = {top: names for top, names in by_top.items() if top and not _comes_with_python(top)}
    requirements: set[str] = set()
    unowned: list[str] = []
    rest: list[_Sought] = []
    for top, names in needed.items():
        sought = _Sought(top, names)
        distribution = _by_name(_KNOWN_NAMES.get(top, top))
        if distribution is not None and sought.is_provided_by(distribution):
            requirements.add(_requirement(distribution))
        else:
            rest.append(sought)
    for sought in rest:
        owners = [item for item in metadata.distributions() if sought.is_provided_by(item)]
        requirements.update(map(_requirement, owners))
        if not owners:
            unowned.append(sought.top)
    return Found(sorted(requirements, key=str.lower), sorted(unowned))


def pinned(name: str) -> str | None:
    """Return ``name==version`` of the installed distribution ``name``, or None."""
    distribution = _by_name(name)
    return None if distribution is None else _requirement(distribution)


def _comes_with_python(top: str) -> bool:
    return top in sys.stdlib_module_names or top in ("__main__", "__mp_main__", "holdfast")


def _by_name(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


class _Sought:
    """Modules of one top-level name, and how file lists of distributions have them."""

    def __init__(self, top: str, modules: set[str]) -> None:
        self.top = top
        # A namespace package such as google has many owners, so there the whole dotted name has to match.
        names = sorted(modules) if _is_namespace(top) else [top]
        self._places = [name.replace(".", "/") for name in names]
        # A line that is the module, or something inside of it.
        self._lines = re.compile(
            rf"^(?:{'|'.join(map(re.escape, self._places))})(?:/|(?:\.[^/,]*)?\.(?:py|pyd|so)\b)", re.MULTILINE
        )

    def is_provided_by(self, distribution: metadata.Distribution) -> bool:
        """Whether the file list of ``distribution`` has one of the modules."""
        files = distribution.read_text("RECORD")
        if files is None:
            return self.top in (distribution.read_text("top_level.txt") or "").split()
        may_be = any(place in files for place in self._places)  # at a tenth of the pattern's cost
        return (may_be and self._lines.search(files) is not None) or _is_editable_of(distribution, self.top)


def _is_editable_of(distribution: metadata.Distribution, top: str) -> bool:
    """Whether an editable install, whose file list names no modules, goes by the module's name."""
    if distribution.read_text("direct_url.json") is None:  # few have it, and their names take parsing of all metadata
        return False
    return re.sub(r"[-_.]+", "_", distribution.metadata["Name"] or "").lower() == top.lower()


def _is_namespace(top: str) -> bool:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return False
    return spec is not None and spec.origin is None and spec.submodule_search_locations is not None


def _requirement(distribution: metadata.Distribution) -> str:
    # A local label such as +cu121 names a build that no index has.
    return f"{distribution.metadata['Name']}=={distribution.version.partition('+')[0]}"
