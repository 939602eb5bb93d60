"""From flags, variables and defaults to the value of each setting."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from holdfast_server.exposure import UsageError
from holdfast_server.settings.setting import PREFIX, Setting
from holdfast_server.settings.table import SETTINGS

DEFAULT = "default"
# Variables of OpenTelemetry that name a collector, the more specific one first.
STANDARD_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A setting and what it is set to.

    Attributes:
        setting: The setting.
        text: Its value, as it was written.
        origin: The flag or variable that says so, or ``default``.
        value: Its value, parsed.
    """

    setting: Setting
    text: str
    origin: str
    value: Any


def resolve(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> list[Resolved]:
    """The value of each setting, and where it is from.

    Raises:
        UsageError: A value breaks its rule.
        SystemExit: ``--help`` was answered.
    """
    environment = os.environ if environment is None else environment
    flags = vars(parser().parse_args(arguments))
    environment = {**environment, **_standard_variables(environment)}
    found = []
    for setting in SETTINGS:
        text, origin = flags[setting.name], setting.flag
        if text is None and environment.get(setting.variable):
            text, origin = environment[setting.variable], setting.variable
        if text is None:
            text, origin = setting.default, DEFAULT
        try:
            found.append(Resolved(setting, text, origin, setting.parse(text)))
        except ValueError as error:
            raise UsageError(f"{origin}={text}: {error}.") from None
    return found


class _Parser(argparse.ArgumentParser):
    """Raises what ``read`` promises where argparse would print and exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parser() -> argparse.ArgumentParser:
    """The flags; each value stays text, so that flags and variables are read alike."""
    made = _Parser(
        prog="holdfast server",
        description="Serve Holdfast: runs, artifacts and models over gRPC.",
        epilog="Each setting is read from its flag, else from its variable, else has its default. Commands: "
        "`holdfast server config` shows the settings; `holdfast server tls-init DIR` makes certificates for a trial.",
        allow_abbrev=False,
    )
    for setting in SETTINGS:
        shown = setting.default or "none"
        text = f"{setting.help} [{setting.variable}; default: {shown}]".replace("%", "%%")
        if setting.metavar:
            made.add_argument(setting.flag, dest=setting.name, metavar=setting.metavar, help=text)
        else:
            made.add_argument(setting.flag, dest=setting.name, action="store_const", const="on", help=text)
            off = setting.flag.replace("--", "--no-", 1)
            made.add_argument(off, dest=setting.name, action="store_const", const="off", help=argparse.SUPPRESS)
    made.add_argument("--version", action="store_true", help="Print the version and end.")
    return made


def _standard_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Our variables that follow from OpenTelemetry's own, where they are not set."""
    ours = f"{PREFIX}TRACE_ENDPOINT"
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or (
        environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    )
    if environment.get(ours) or is_off:
        return {}
    return {ours: next((environment[name] for name in STANDARD_ENDPOINTS if environment.get(name)), "")}
