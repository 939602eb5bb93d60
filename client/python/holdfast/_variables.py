"""Every variable of the environment that the client reads: what it is for, its default, and whether it is a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast import _config
from holdfast._journal.folder import DIRECTORY_VARIABLE, journal_root

DEFAULT = "default"
MASK = "***"

_YES_NO = "true or false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A setting of the client.

    Attributes:
        name: Such as ``HOLDFAST_URI``.
        help: One line.
        default: What stands in when it is not set, as one would write it; empty for nothing.
        values: What it takes; empty when its help says so.
        check: Reads it from an environment, and raises ``InvalidArgumentError`` when it breaks its rule.
        secret: Whether its value is not to be shown.
    """

    name: str
    help: str
    default: str = ""
    values: str = ""
    check: Callable[[Mapping[str, str]], object] | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A variable as it may be shown.

    Attributes:
        name: The variable.
        value: What it is set to, without secrets; else its default.
        origin: The variable or option that says so, or ``default``.
        masked: Whether a secret was left out.
    """

    name: str
    value: str
    origin: str
    masked: bool


VARIABLES = (
    Variable(
        name=_config.URI_VARIABLE,
        default=_config.DEFAULT_DIRECTORY,
        values="holdfast://, holdfast+tls://, unix: or a directory",
        help="The server, or the directory whose embedded server is meant.",
        check=lambda environ: _config.parse_target(None, environ),
    ),
    Variable(
        name=_config.INSECURE_VARIABLE,
        default="false",
        values=_YES_NO,
        help="The network is trusted: holdfast:// to other machines is allowed, over which all is sent in the clear.",
    ),
    Variable(name=_config.TOKEN_VARIABLE, help="Sent to the server with each call.", secret=True),
    Variable(
        name=_config.CA_FILE_VARIABLE,
        values="a file in PEM",
        help="Over TLS: the authorities to trust in place of the public ones.",
    ),
    Variable(
        name=_config.CERT_FILE_VARIABLE,
        values="a file in PEM",
        help="Over mutual TLS: this client's certificate.",
    ),
    Variable(
        name=_config.KEY_FILE_VARIABLE,
        values="a file in PEM",
        help="Over mutual TLS: the certificate's private key.",
    ),
    Variable(
        name=_config.STRICT_VARIABLE,
        default="false",
        values=_YES_NO,
        help="Calls fail while the server is away, in place of waiting in the journal.",
        check=_config.is_strict,
    ),
    Variable(
        name=DIRECTORY_VARIABLE,
        default="~/.local/state/holdfast/journal",
        values="a directory",
        help="Where what is logged waits until the server has it; XDG_STATE_HOME moves the default.",
        check=journal_root,
    ),
    Variable(
        name=_config.PROGRESS_VARIABLE,
        default="auto",
        values=f"{_YES_NO}, or auto",
        help="Progress bars of long transfers; auto shows them at a terminal and in notebooks.",
        check=_config.shows_progress,
    ),
    Variable(
        name=_config.ALLOW_PICKLE_VARIABLE,
        values=_YES_NO,
        help="Whether models are loaded by pickle, which runs their makers' code; docs/models.md has the default.",
        check=_config.allows_pickle,
    ),
    Variable(
        name=_config.CACHE_VARIABLE, values="a directory", help="Where loaded models are kept; without it nowhere."
    ),
    Variable(
        name=_config.CACHE_SIZE_VARIABLE,
        default="10G",
        values="a size such as 500M",
        help="The most that the cache of models holds; what was used longest ago gives way.",
        check=_config.cache_size,
    ),
    Variable(name="HOLDFAST_RUN_ID", help="The run that the first start_run of the program goes on with."),
    Variable(name="HOLDFAST_EXPERIMENT_NAME", help="The experiment of new runs, unless the program chooses one."),
    Variable(name="HOLDFAST_EXPERIMENT_ID", help="The same by its id."),
    Variable(
        name="HOLDFAST_ENABLE_SYSTEM_METRICS_LOGGING",
        default="false",
        values=_YES_NO,
        help="Runs watch processors, memory, disks and network of their machine.",
    ),
    Variable(
        name="HOLDFAST_SYSTEM_METRICS_SAMPLING_INTERVAL",
        default="10",
        values="seconds",
        help="Between samples of them.",
    ),
    Variable(
        name="HOLDFAST_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING",
        default="1",
        values="a number",
        help="How many samples make one point, which is their mean.",
    ),
    Variable(name="HOLDFAST_SYSTEM_METRICS_NODE_ID", help="Tells the machines of one run apart in the metrics' names."),
)


def shown(environ: Mapping[str, str], uri: str | None = None) -> list[Shown]:
    """Every variable as it is set, without secrets.

    Args:
        environ: The environment.
        uri: What the option ``--uri`` says instead of the variable.
    """
    found = []
    for variable in VARIABLES:
        text, origin = environ.get(variable.name, ""), variable.name
        if variable.name == _config.URI_VARIABLE and uri:
            text, origin = uri, "--uri"
        if not text:
            text, origin = variable.default, DEFAULT
        value = MASK if variable.secret and text else without_credentials(text)
        found.append(Shown(variable.name, value, origin, masked=value != text))
    return found


def check_all(environ: Mapping[str, str], uri: str | None = None) -> None:
    """Read every variable that has a rule.

    Raises:
        InvalidArgumentError: One breaks its rule.
    """
    read: dict[str, Any] = {**environ, **({_config.URI_VARIABLE: uri} if uri else {})}
    for variable in VARIABLES:
        if variable.check is not None:
            variable.check(read)


def without_credentials(text: str) -> str:
    """A URI without user and password, for which it is no place."""
    return re.sub(r"(?<=://)[^/?#@]*@", f"{MASK}@", text)
