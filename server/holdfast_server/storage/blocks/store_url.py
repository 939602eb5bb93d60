"""Where blocks are kept when not below the data directory: the ``store`` setting, parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

from holdfast_server.errors import InvalidArgument

FORM = "s3://bucket[/prefix]?endpoint=http://host:port[&region=…]"
DEFAULT_REGION = "us-east-1"

_KEYS = frozenset({"endpoint", "region"})
# What people try when they want to pass credentials; the answer is better than "unknown key".
_CREDENTIAL_KEY = re.compile(r"key|secret|token|password|credential|user", re.IGNORECASE)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX_PART = re.compile(r"[A-Za-z0-9!_.*'()-]{1,255}")
_REGION = re.compile(r"[A-Za-z0-9-]{1,63}")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUrl:
    """A bucket of an S3 server. It holds no secret, so it may be logged.

    Attributes:
        bucket: Made at the start when absent.
        prefix: Of all keys; empty, or ends with ``/``.
        endpoint: ``http://host[:port]`` or ``https://host[:port]``, no path.
        region: What requests are signed for; most servers other than Amazon's take the default.
    """

    bucket: str
    prefix: str = ""
    endpoint: str
    region: str = DEFAULT_REGION

    @classmethod
    def parse(cls, text: str) -> StoreUrl:
        """Read ``s3://bucket[/prefix]?endpoint=http://host:port[&region=…]``.

        Raises:
            InvalidArgument: The text breaks a rule, which the message names. The text itself is not repeated: it may
                hold credentials.
        """
        try:
            url = urlsplit(text)
        except ValueError:
            raise _broken("it cannot be read as a URL") from None
        if url.scheme != "s3":
            raise _broken("it begins with s3://; leave the setting empty to keep blocks below the data directory")
        if "@" in url.netloc:
            raise _credentials_refused()
        if url.fragment:
            raise _broken("it has no '#' part")
        options = _options(url.query)
        if "endpoint" not in options:
            raise _broken("it names the server, for example ?endpoint=https://s3.eu-west-1.amazonaws.com")
        return cls(
            bucket=_bucket(url.netloc),
            prefix=_prefix(url.path),
            endpoint=_endpoint(options["endpoint"]),
            region=_region(options.get("region", DEFAULT_REGION)),
        )

    @property
    def is_secure(self) -> bool:
        """Whether the server is spoken to over TLS."""
        return self.endpoint.startswith("https://")

    @property
    def host(self) -> str:
        """The endpoint without its scheme."""
        return self.endpoint.partition("://")[2]

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix} at {self.endpoint}"


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in options:
            raise _broken(f"{key} comes once")
        if key not in _KEYS:
            if _CREDENTIAL_KEY.search(key):
                raise _credentials_refused()
            shown = key if re.fullmatch(r"[\w.-]{1,40}", key) else "one of the keys"
            raise _broken(f"the only keys after '?' are endpoint and region, and {shown} is neither")
        options[key] = value
    return options


def _bucket(name: str) -> str:
    if not name:
        raise _broken("the bucket follows s3://, and it is missing")
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise _broken(
            "the bucket has 3 to 63 lower-case letters, digits, '-' or '.', and begins and ends with a letter or digit"
        )
    return name


def _prefix(path: str) -> str:
    trimmed = path.strip("/")
    if not trimmed:
        return ""
    for part in trimmed.split("/"):
        if part in {".", ".."} or not _PREFIX_PART.fullmatch(part):
            raise _broken("the prefix has components of letters, digits and ! _ . * ' ( ) - that are not '.' or '..'")
    return trimmed + "/"


def _endpoint(text: str) -> str:
    rule = "the endpoint is http://host[:port] or https://host[:port] and nothing more"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise _broken(rule) from None
    if "@" in url.netloc:
        raise _credentials_refused()
    if url.scheme not in {"http", "https"}:
        raise _broken("the endpoint's scheme is http or https, as in endpoint=http://127.0.0.1:9000")
    if not _names_a_host(url) or url.path not in {"", "/"} or url.query or url.fragment:
        raise _broken(rule)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{url.scheme}://{host}" + (f":{port}" if port is not None else "")


def _names_a_host(url: SplitResult) -> bool:
    return bool(url.hostname and _HOST.fullmatch(url.hostname))


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise _broken("a region has letters, digits and '-', such as eu-west-1")
    return text


def _broken(rule: str) -> InvalidArgument:
    return InvalidArgument(f"The store is {FORM}: {rule}.", field="store")


def _credentials_refused() -> InvalidArgument:
    return InvalidArgument(
        "The store's URL must not hold credentials, because URLs end in logs and process lists. Set AWS_ACCESS_KEY_ID "
        "and AWS_SECRET_ACCESS_KEY, or name a file in AWS ini format by AWS_SHARED_CREDENTIALS_FILE or the setting "
        "s3_credentials_file.",
        field="store",
    )
