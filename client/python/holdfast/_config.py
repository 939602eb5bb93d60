"""Where the server is: one frozen value, parsed from what a user may say."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from holdfast.errors import InvalidArgumentError

URI_VARIABLE = "HOLDFAST_URI"
INSECURE_VARIABLE = "HOLDFAST_INSECURE"
TOKEN_VARIABLE = "HOLDFAST_TOKEN"  # noqa: S105 - the variable's name
CA_FILE_VARIABLE = "HOLDFAST_TLS_CA_FILE"
CERT_FILE_VARIABLE = "HOLDFAST_TLS_CERT_FILE"
KEY_FILE_VARIABLE = "HOLDFAST_TLS_KEY_FILE"
STRICT_VARIABLE = "HOLDFAST_STRICT"
PROGRESS_VARIABLE = "HOLDFAST_PROGRESS"
ALLOW_PICKLE_VARIABLE = "HOLDFAST_ALLOW_PICKLE"
CACHE_VARIABLE = "HOLDFAST_CACHE"
CACHE_SIZE_VARIABLE = "HOLDFAST_CACHE_SIZE"
DEFAULT_CACHE_SIZE = 10 << 30
DEFAULT_DIRECTORY = ".holdfast"
DEFAULT_PORT = 5600

# sun_path holds 108 bytes with the closing NUL, on every system we run on.
MAX_SOCKET_PATH = 107

_FORMS = (
    "Use holdfast://host:port, holdfast+tls://host:port, unix:/path/to/socket, "
    "or the path of a directory to keep the data in."
)
# One letter before the colon is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):[0-9]+/?")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server, or the directory whose embedded server is meant.

    Attributes:
        uri: Normalized; parsing it gives this target again. Holds no secret.
        address: What gRPC connects to; empty when ``data_dir`` is set.
        data_dir: Absolute; its embedded server is started when needed. None for a server that somebody else runs.
        tls: Whether the connection is encrypted and the server's certificate checked.
        loopback: Whether the connection cannot leave this machine.
        ca_file: Certificates to trust in place of the system's; None for the system's.
        cert_file: This client's own certificate, for servers that want one; None for none.
        key_file: The certificate's private key.
        token: Sent as a bearer token with each call; empty for none.
    """

    uri: str
    address: str = ""
    data_dir: Path | None = None
    tls: bool = False
    loopback: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    token: str = field(default="", repr=False)

    def __repr__(self) -> str:
        token = ", token='***'" if self.token else ""
        return f"Target({self.uri!r}{token})"


def parse_target(uri: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Target:
    """Find the server that ``uri`` names; None or empty means ``HOLDFAST_URI``, and without it ``./.holdfast``.

    Args:
        uri: One of

            - ``holdfast://host[:port]``: without encryption, so only loopback addresses, unless ``?insecure=true`` or
              ``HOLDFAST_INSECURE=1`` says that the network is trusted;
            - ``holdfast+tls://host[:port]``: ``HOLDFAST_TLS_CA_FILE`` may name the certificates to trust,
              ``HOLDFAST_TLS_CERT_FILE`` and ``HOLDFAST_TLS_KEY_FILE`` a certificate of this client's own and its key;
            - ``unix:/path``: a socket;
            - a directory, also as ``file:`` URI: an embedded server, started when first needed.
        environ: Variables to read instead of this process's.

    Raises:
        InvalidArgumentError: ``uri`` is none of these.
    """
    environ = os.environ if environ is None else environ
    text = os.fspath(uri) if uri is not None else ""
    text = text or environ.get(URI_VARIABLE, "") or DEFAULT_DIRECTORY
    if "\0" in text:
        raise InvalidArgumentError(f"{text!r} holds a NUL character. {_FORMS}")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _directory(text)
    name = scheme[1].lower()
    if name in ("holdfast", "holdfast+tls"):
        return _network(text, environ)
    if name == "unix":
        return _socket(text[len("unix:") :], environ)
    if name == "file":
        return _file_uri(text)
    raise InvalidArgumentError(_unsupported(text, name))


def shows_progress(environ: Mapping[str, str] | None = None) -> bool | None:
    """What ``HOLDFAST_PROGRESS`` says about progress bars; None, also for ``auto``: show them where somebody looks.

    Raises:
        InvalidArgumentError: It is neither true, false nor ``auto``.
    """
    value = (os.environ if environ is None else environ).get(PROGRESS_VARIABLE, "").strip()
    return None if value.lower() in {"", "auto"} else parse_flag(value, PROGRESS_VARIABLE)


def is_strict(environ: Mapping[str, str] | None = None) -> bool:
    """Whether ``HOLDFAST_STRICT`` says that calls fail when the server is away, in place of waiting in the journal.

    Raises:
        InvalidArgumentError: It is neither true nor false.
    """
    return parse_flag((os.environ if environ is None else environ).get(STRICT_VARIABLE, "").strip(), STRICT_VARIABLE)


def allows_pickle(environ: Mapping[str, str] | None = None) -> bool | None:
    """What ``HOLDFAST_ALLOW_PICKLE`` says about loading pickles; None leaves it to who logged them.

    Raises:
        InvalidArgumentError: It is neither true nor false.
    """
    value = (os.environ if environ is None else environ).get(ALLOW_PICKLE_VARIABLE, "").strip()
    return parse_flag(value, ALLOW_PICKLE_VARIABLE) if value else None


def cache_directory(environ: Mapping[str, str] | None = None) -> Path | None:
    """The directory of ``HOLDFAST_CACHE``, in which models are kept; None when there is to be no cache."""
    value = (os.environ if environ is None else environ).get(CACHE_VARIABLE, "").strip()
    return Path(value).expanduser().absolute() if value else None


def cache_size(environ: Mapping[str, str] | None = None) -> int:
    """Most bytes that the cache may hold, from ``HOLDFAST_CACHE_SIZE`` such as ``500M`` or ``20G``; 10 GiB without it.

    Raises:
        InvalidArgumentError: It is no size.
    """
    value = (os.environ if environ is None else environ).get(CACHE_SIZE_VARIABLE, "").strip()
    if not value:
        return DEFAULT_CACHE_SIZE
    match = re.fullmatch(r"(\d{1,18})\s*([KMGT]?)(?:i?B)?", value, re.IGNORECASE | re.ASCII)
    if match is None:
        raise InvalidArgumentError(f"{CACHE_SIZE_VARIABLE} is a number of bytes such as 500M or 20G, not {value!r}.")
    return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


def _unsupported(text: str, scheme: str) -> str:
    if _HOST_AND_PORT.fullmatch(text):
        return f"{text!r} lacks a scheme: write holdfast://{text.rstrip('/')}, or holdfast+tls://{text.rstrip('/')}."
    if scheme in ("http", "https"):
        meant = "holdfast+tls" if scheme == "https" else "holdfast"
        return f"Holdfast speaks gRPC, not {scheme}://; write {meant}://host:port. {_FORMS}"
    # The text is not repeated: URIs of databases carry passwords.
    return f"The scheme {scheme!r} is not supported: data is reached through a Holdfast server only. {_FORMS}"


def _directory(text: str) -> Target:
    if _HOST_AND_PORT.fullmatch(text):
        raise InvalidArgumentError(_unsupported(text, ""))
    path = Path(text).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise InvalidArgumentError(f"{str(path)!r} is a file, and data is kept in a directory. {_FORMS}")
    return Target(uri=str(path), data_dir=path, loopback=True)


def _file_uri(text: str) -> Target:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise InvalidArgumentError(f"{text!r} does not name a directory of this machine. {_FORMS}")
    if not parts.path:
        raise InvalidArgumentError(f"{text!r} names no directory. {_FORMS}")
    return _directory(unquote(parts.path))


def _socket(rest: str, environ: Mapping[str, str]) -> Target:
    rest = rest.removeprefix("//")
    if not rest:
        raise InvalidArgumentError(f"unix: names no socket. {_FORMS}")
    path = Path(rest).expanduser().absolute()
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise InvalidArgumentError(
            f"The path of a socket is at most {MAX_SOCKET_PATH} bytes: {str(path)!r} is longer. Use a shorter one."
        )
    address = f"unix:{path}"
    return Target(uri=address, address=address, loopback=True, token=_token(environ))


def _network(text: str, environ: Mapping[str, str]) -> Target:
    parts, host, port = _host_and_port(text)
    tls = parts.scheme.lower() == "holdfast+tls"
    insecure = _insecure(parts, environ)
    loopback = _is_loopback(host)
    if not tls and not loopback and not insecure:
        raise InvalidArgumentError(
            f"holdfast://{host} would send everything over the network in the clear. Use holdfast+tls://{host}:{port}, "
            f"or say that the network is trusted: ?insecure=true, or {INSECURE_VARIABLE}=1."
        )
    shown_host = f"[{host}]" if ":" in host else host
    # The address says by itself that the user agreed, so that it works where the variable is not set.
    query = "?insecure=true" if insecure and not tls and not loopback else ""
    cert_file, key_file = _file(CERT_FILE_VARIABLE, environ), _file(KEY_FILE_VARIABLE, environ)
    if tls and (cert_file is None) != (key_file is None):
        raise InvalidArgumentError(
            f"{CERT_FILE_VARIABLE} and {KEY_FILE_VARIABLE} go together: a certificate, and its private key."
        )
    return Target(
        uri=f"{parts.scheme.lower()}://{shown_host}:{port}{query}",
        address=f"{shown_host}:{port}",
        tls=tls,
        loopback=loopback,
        ca_file=_file(CA_FILE_VARIABLE, environ) if tls else None,
        cert_file=cert_file if tls else None,
        key_file=key_file if tls else None,
        token=_token(environ),
    )


def _file(variable: str, environ: Mapping[str, str]) -> Path | None:
    value = environ.get(variable, "")
    return Path(value).expanduser().absolute() if value else None


def _host_and_port(text: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    except ValueError as error:
        raise InvalidArgumentError(f"The address of the server cannot be read: {error}. {_FORMS}") from None
    if parts.username is not None or parts.password is not None:
        raise InvalidArgumentError(
            f"Credentials do not belong in a URI, which ends up in logs: set {TOKEN_VARIABLE} in the environment."
        )
    if not text[len(parts.scheme) :].startswith("://") or not host:
        raise InvalidArgumentError(f"{text!r} names no host. {_FORMS}")
    if parts.path not in ("", "/") or parts.fragment:
        raise InvalidArgumentError(f"{text!r} has a path, and a server has none: end after the port. {_FORMS}")
    return parts, host, port


def _insecure(parts: SplitResult, environ: Mapping[str, str]) -> bool:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    given = options.pop("insecure", None)
    if options:
        raise InvalidArgumentError(f"Unknown option {next(iter(options))!r}: a server's URI takes ?insecure=true only.")
    return (
        parse_flag(given, "?insecure")
        if given is not None
        else parse_flag(environ.get(INSECURE_VARIABLE, ""), INSECURE_VARIABLE)
    )


def parse_flag(value: str, name: str) -> bool:
    """Whether the text of a setting means yes; an empty one means no.

    Raises:
        InvalidArgumentError: It means neither.
    """
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise InvalidArgumentError(f"{name} is true or false, not {value!r}.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token(environ: Mapping[str, str]) -> str:
    token = environ.get(TOKEN_VARIABLE, "").strip()
    if not token.isascii() or not token.isprintable():
        raise InvalidArgumentError(f"{TOKEN_VARIABLE} holds characters that a token never has.")
    return token
