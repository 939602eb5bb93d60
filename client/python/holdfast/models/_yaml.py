"""YAML as packages use it: plain data only, each key once, nothing shared.

Aliases are refused because a few lines of them expand to gigabytes, duplicate keys because two readers may disagree
about which one counts, and tags because they construct Python objects.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

from holdfast.errors import InvalidArgumentError

__all__ = ["MAX_BYTES", "dump_yaml", "load_yaml", "read_mapping"]

MAX_BYTES = 16 << 20
# In characters; to the base of 60, which YAML allows, longer ones take for ever.
_MAX_NUMBER = 1_000
# More than can be written, and less than what takes the stack.
_MAX_DEPTH = 900


def load_yaml(data: bytes | bytearray, name: str) -> Any:
    """Parse ``data``; ``name`` is the file's name for errors.

    Raises:
        InvalidArgumentError: It is not UTF-8 YAML of at most 16 MiB, or uses aliases, duplicate keys or tags.
    """
    import yaml

    if len(data) > MAX_BYTES:
        raise InvalidArgumentError(f"{name} has {len(data)} bytes; at most {MAX_BYTES} are read.")
    loader = _loader()
    try:
        _check_events(yaml.parse(bytes(data), Loader=loader))
        return yaml.load(bytes(data), Loader=loader)  # noqa: S506 - a subclass of a safe loader
    # Besides its own errors PyYAML raises whatever comes of a value that its tag does not fit, such as `!!bool x`.
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise InvalidArgumentError(f"{name} is not YAML that a model package may hold: {error}") from error


def dump_yaml(value: Any, *, sort_keys: bool = True) -> str:
    """Return ``value`` as block-style YAML without aliases.

    Raises:
        InvalidArgumentError: It holds something other than plain data.
    """
    import yaml

    try:
        return str(yaml.dump(value, Dumper=_dumper(), default_flow_style=False, sort_keys=sort_keys))
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        raise InvalidArgumentError(
            f"Only strings, numbers, booleans, None, lists and dictionaries can be written as YAML: {error}"
        ) from error


@functools.cache
def _loader() -> Any:
    import yaml

    # libyaml's parser, where PyYAML was built with it, takes a tenth of the time, which is most of that of a load.
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class StrictLoader(base):  # type: ignore[misc]  # which it is, is known only here
        def construct_scalar(self, node: Any) -> Any:
            if node.tag != "tag:yaml.org,2002:str" and len(node.value) > _MAX_NUMBER:
                raise yaml.YAMLError(f"a number or time of {len(node.value)} characters")
            return str(super().construct_scalar(node))

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, Hashable) or key in seen:
                    raise yaml.YAMLError(f"the key {key!r} occurs twice or is no scalar{key_node.start_mark}")
                seen.add(key)
            return super().construct_mapping(node, deep)

    return StrictLoader


def _check_events(events: Iterable[Any]) -> None:
    """Refuse aliases, and what is nested so deeply that following it would take the stack."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested more than {_MAX_DEPTH} deep")


@functools.cache
def _dumper() -> Any:
    import yaml

    class PlainDumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
            return True

    return PlainDumper


def read_mapping(value: Mapping[str, Any] | str | os.PathLike[str] | None, argument: str) -> dict[str, Any] | None:
    """Return plain data with text keys; of a path, what the YAML file there holds. None stays None.

    Args:
        value: What the user gave.
        argument: The name of the argument, for errors.

    Raises:
        InvalidArgumentError: It is no such mapping.
        FileNotFoundError: There is no such file.
    """
    content: Any = value
    if isinstance(value, (str, os.PathLike)):
        path = Path(value)
        if not path.is_file():
            raise FileNotFoundError(f"{argument} names {str(path)!r}, which does not exist.")
        content = load_yaml(path.read_bytes(), str(path))
    if content is None:
        return None
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise InvalidArgumentError(f"{argument} must be a dictionary with text keys, or the path of a YAML file.")
    dump_yaml(dict(content))
    return dict(content)
