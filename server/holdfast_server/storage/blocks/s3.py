"""Objects in a bucket of MinIO or any other S3 server, by plain S3 calls only."""

from __future__ import annotations

import configparser
import io
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio import time as s3_time
from minio.credentials.providers import AWSConfigProvider, EnvAWSProvider, Provider
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from holdfast_server.domain.artifacts import digest_of
from holdfast_server.errors import Unavailable
from holdfast_server.services.ports.artifacts import StoredObject
from holdfast_server.storage.blocks.probing import try_out
from holdfast_server.storage.blocks.store_url import StoreUrl

logger = logging.getLogger(__name__)

Signer = Callable[..., Mapping[str, Any]]

CONNECT_TIMEOUT = 5.0
# Between two reads of a socket, not for a whole transfer. Twice this stays below the idle timeout of the streams.
READ_TIMEOUT = 30.0
POOL_SIZE = 16
# Below this many bytes a part costs more as a send of its own than the copy that joins it with its neighbours.
SMALL_PART = 256 << 10
_MIN_PART = 5 << 20

_FAILURES = (
    MinioException,
    urllib3.exceptions.HTTPError,
    configparser.Error,
    ParseError,
    OSError,
    ValueError,  # minio-py: no credentials, or an answer that it cannot read
)
# urllib3 1 has no class of its own for names.
_UNKNOWN_NAME: type[Exception] | tuple[()] = getattr(urllib3.exceptions, "NameResolutionError", ())
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")

_CREDENTIALS = (
    "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the file that AWS_SHARED_CREDENTIALS_FILE or "
    "s3_credentials_file names"
)
_ADVICE = {
    "AccessDenied": "Its user may not do this: look at the user's policy for the bucket",
    "AllAccessDisabled": "Its user may not do this: look at the user's policy for the bucket",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "AuthorizationHeaderMalformed": "Check the store URL's region",
    "InvalidRegion": "Check the store URL's region",
    "PermanentRedirect": "Check the store URL's endpoint and region",
    "RequestTimeTooSkewed": "Set the clocks of this host and of the store",
    "NoSuchBucket": "The bucket is gone: restore it, or restart the server to have an empty one made",
    "BucketAlreadyExists": "The bucket's name belongs to somebody else: choose another",
    "XMinioStorageFull": "Its disks are full: make room",
    "QuotaExceeded": "The bucket's quota is used up: raise it or make room",
    "XMinioAdminBucketQuotaExceeded": "The bucket's quota is used up: raise it or make room",
    "XAmzContentSHA256Mismatch": "The bytes changed on their way to it: look at the network and this host's memory",
}
_UNKNOWN_ADVICE = "Look at the store's own log"


def open_s3_store(url: str, credentials_file: Path | None = None) -> S3ObjectStore:
    """The store that a URL names; nothing is sent before ``check`` or the first call.

    Raises:
        InvalidArgument: The URL breaks a rule.
    """
    return S3ObjectStore(StoreUrl.parse(url), credentials_file=credentials_file)


class S3ObjectStore:
    """Implements ``ObjectStore`` with minio-py: one PUT per object, ranged GETs.

    Objects have at most some 16 MiB, so multipart uploads, whose lists some servers lose at a restart, are never used.
    A PUT is signed with the digest that the caller knows already, so that the body is not hashed again here, and the
    store refuses bytes that changed on the way.
    """

    def __init__(self, url: StoreUrl, *, credentials_file: Path | None = None) -> None:
        self._url = url
        self._provider = _credentials(credentials_file)
        self._pool = _pool(_PATIENT)
        self._hasty_pool = _pool(_HASTY)
        self._client = self._connected(self._pool)
        self._hasty_client = self._connected(self._hasty_pool)
        self._signer = _load_signer()

    def __repr__(self) -> str:
        return f"S3ObjectStore({self._url})"

    def put(self, key: str, parts: Sequence[bytes | memoryview], sha256: bytes | None = None) -> None:
        """Store the concatenated parts by one PUT.

        Raises:
            Unavailable: The store cannot be reached, refuses, or got other bytes than these.
        """
        size = sum(len(part) for part in parts)
        if len(parts) > 1 and size < SMALL_PART * len(parts):
            parts = [b"".join(parts)]
        try:
            if self._signer is not None:
                digest = sha256 or digest_of(parts)
                if self._put_signed(self._signer, key, parts, size, digest):
                    return
            self._client.put_object(
                self._url.bucket,
                self._url.prefix + key,
                io.BytesIO(b"".join(parts)),
                size,
                part_size=max(size, _MIN_PART),
            )
        except _FAILURES as error:
            self._fail("written", error)

    def get(self, key: str, offset: int, length: int, *, patient: bool = True) -> bytes:
        """Read a part of an object; fewer bytes come back only when the object is shorter.

        Raises:
            KeyError: There is no such object.
            Unavailable: The store cannot be reached or refuses.
        """
        name, client = self._url.prefix + key, self._client if patient else self._hasty_client
        try:
            if length == 0:
                client.stat_object(self._url.bucket, name)  # a range of no bytes cannot be asked for
                return b""
            try:
                return self._get_range(client, name, offset, length)
            except urllib3.exceptions.ProtocolError:
                if not patient:
                    raise
                # urllib3 repeats requests by itself, but not answers that break off in their middle.
                return self._get_range(client, name, offset, length)
        except S3Error as error:
            if error.code == "NoSuchKey":
                raise KeyError(key) from None
            if error.code == "InvalidRange":
                return b""
            self._fail("read", error)
        except _FAILURES as error:
            self._fail("read", error)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is passed over.

        Raises:
            Unavailable: The store cannot be reached or refuses.
        """
        try:
            self._client.remove_object(self._url.bucket, self._url.prefix + key)
        except _FAILURES as error:
            if not (isinstance(error, S3Error) and error.code == "NoSuchKey"):
                self._fail("written", error)

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects whose keys begin with ``prefix``, in order of their keys, a page of them in memory at a time.

        Raises:
            Unavailable: The store cannot be reached or refuses.
        """
        found = self._client.list_objects(self._url.bucket, prefix=self._url.prefix + prefix, recursive=True)
        while True:
            try:
                item = next(found, None)
            except _FAILURES as error:
                self._fail("listed", error)
            if item is None:
                return
            modified = item.last_modified
            yield StoredObject(
                (item.object_name or "")[len(self._url.prefix) :],
                item.size or 0,
                int(modified.timestamp() * 1000) if modified is not None else 0,
            )

    def remove_unfinished(self, before_ms: int) -> int:  # noqa: ARG002 - the port's
        """A PUT is whole or nothing; returns 0."""
        return 0

    def check(self) -> None:
        """Make the bucket when absent, and write, read and remove a small object.

        Credentials that may not write are found when the server starts, not by the first upload.

        Raises:
            Unavailable: The store cannot be used; the message says what to look at.
        """
        try:
            if not self._client.bucket_exists(self._url.bucket):
                self._make_bucket()
        except _FAILURES as error:
            self._fail("used", error)
        try_out(self, f"The block store {self._url}")

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()
        self._hasty_pool.clear()

    def _connected(self, pool: urllib3.PoolManager) -> Minio:
        return Minio(
            endpoint=self._url.host,
            secure=self._url.is_secure,
            region=self._url.region,
            credentials=self._provider,
            http_client=pool,
        )

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self._url.bucket)
        except S3Error as error:
            # Another server on the same bucket was faster.
            if error.code != "BucketAlreadyOwnedByYou":
                raise

    def _get_range(self, client: Minio, name: str, offset: int, length: int) -> bytes:
        response = client.get_object(self._url.bucket, name, offset=offset, length=length)
        try:
            data: bytes = response.read()
        except BaseException:
            response.close()  # what is left of the answer must not be taken for the next one
            raise
        finally:
            response.release_conn()
        declared = response.headers.get("Content-Length")
        if declared is not None and len(data) != int(declared):
            raise urllib3.exceptions.ProtocolError("the answer broke off")
        # A server may ignore ranges and answer with the whole.
        return data[offset : offset + length] if response.status == 200 else data

    def _put_signed(
        self, sign: Signer, key: str, parts: Sequence[bytes | memoryview], size: int, sha256: bytes
    ) -> bool:
        """PUT with the known digest as the payload's; False when this version of minio-py cannot sign so."""
        path = quote(f"/{self._url.bucket}/{self._url.prefix}{key}", safe="/~")
        address = urlsplit(self._url.endpoint + path)
        credentials, date, digest = self._provider.retrieve(), s3_time.utcnow(), sha256.hex()
        headers: dict[str, Any] = {
            "Host": _host_header(self._url),
            "Content-Length": str(size),
            "Content-Type": "application/octet-stream",
            "x-amz-content-sha256": digest,
            "x-amz-date": s3_time.to_amz_date(date),
        }
        if credentials.session_token:
            headers["X-Amz-Security-Token"] = credentials.session_token
        try:
            signed = sign(
                method="PUT",
                url=address,
                region=self._url.region,
                headers=headers,
                credentials=credentials,
                content_sha256=digest,
                date=date,
            )
        except TypeError:
            logger.info("this version of minio signs otherwise; bodies are hashed once more when they are stored")
            self._signer = None
            return False
        # A list, not a joined copy: urllib3 sends the parts one after another, and again for a retry.
        body = list(parts) if size else b""
        response = self._pool.urlopen("PUT", address.geturl(), body=body, headers=signed)
        if response.status != 200:
            code = _CODE.search(response.data[: 64 << 10])
            raise _Refused(response.status, code.group(1).decode() if code else "")
        return True

    def _fail(self, verb: str, error: Exception) -> NoReturn:
        """Raise what callers see. Texts of libraries stay in the log: they may repeat lines of a credentials file."""
        logger.warning("the block store %s cannot be %s: %s", self._url, verb, _kind(error))
        raise Unavailable(
            f"The block store {self._url} cannot be {verb}: {_explain(error)}.",
            metadata={"endpoint": self._url.endpoint, "bucket": self._url.bucket},
        ) from None


# Every call is idempotent. Redirects are not followed: a signature is for one host.
_PATIENT = urllib3.Retry(
    total=3,
    read=1,
    redirect=0,
    raise_on_redirect=False,
    backoff_factor=0.2,
    status_forcelist=[500, 502, 503, 504],
    raise_on_status=False,
)
_HASTY = urllib3.Retry(total=0, redirect=0, raise_on_redirect=False, raise_on_status=False)


def _pool(retries: urllib3.Retry) -> urllib3.PoolManager:
    return urllib3.PoolManager(
        maxsize=POOL_SIZE,
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        retries=retries,
    )


class _Refused(MinioException):
    """A PUT that the store did not take."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


def _load_signer() -> Signer | None:
    try:
        from minio.signer import sign_v4_s3  # not a documented part of minio-py: it may move
    except ImportError:
        return None
    return sign_v4_s3


def _credentials(file: Path | None) -> Provider:
    """Where credentials come from, read at each use so that they can be changed without a restart."""
    if file is not None:
        return AWSConfigProvider(filename=str(file))
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return EnvAWSProvider()
    return AWSConfigProvider()


def _host_header(url: StoreUrl) -> str:
    default = ":443" if url.is_secure else ":80"
    return url.host.removesuffix(default)


def _kind(error: Exception) -> str:
    code = getattr(error, "code", "")
    return f"{type(error).__name__} {code}".strip()


def _explain(error: Exception) -> str:
    if isinstance(error, (S3Error, _Refused)):
        code = error.code or "an error"
        status = f" (HTTP {error.status})" if isinstance(error, _Refused) else ""
        return f"it answered {code}{status}. {_ADVICE.get(code, _UNKNOWN_ADVICE)}"
    if isinstance(error, ServerError):
        return f"it answered HTTP {error.status_code}. {_UNKNOWN_ADVICE}"
    if isinstance(error, InvalidResponseError):
        return "something answers there that does not speak S3. Check the endpoint's scheme and port"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return f"{_network(error)}. Check that it runs and that this host reaches it"
    if isinstance(error, (configparser.Error, ValueError)):
        return f"there are no usable credentials. {_CREDENTIALS}"
    return f"{type(error).__name__}. {_UNKNOWN_ADVICE}"


def _network(error: urllib3.exceptions.HTTPError) -> str:
    reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
    if isinstance(reason, _UNKNOWN_NAME):
        return "its name is not known"
    if isinstance(reason, urllib3.exceptions.SSLError):
        return "TLS with it failed (the wrong scheme, or a certificate that is not trusted: see SSL_CERT_FILE)"
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return "it takes no connection"
    if isinstance(reason, urllib3.exceptions.TimeoutError):
        return "it does not answer in time"
    return "the connection broke"
