"""Credentials of a gRPC server that follow their files, without a restart and without closing a connection."""

from __future__ import annotations

import datetime as dt
import logging
import threading

import grpc

from holdfast_server.tls import TlsFileError
from holdfast_server.tls.files import Certificates, Fingerprint, TlsFiles

logger = logging.getLogger(__name__)

# So long before its end the certificate is spoken of.
_SOON = dt.timedelta(days=14)
_REMIND_EVERY = dt.timedelta(days=1)


class ReloadingCertificates:
    """The certificates that new connections are made with: those on disk, or the last good ones.

    gRPC asks at each handshake, so that a replaced file is used from the next connection on; open connections stay as
    they are. A file that cannot be used, such as one that is half written, changes nothing and is logged once.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises:
            TlsFileError: One cannot be used.
        """
        self._files = files
        self._lock = threading.Lock()
        self._seen = _fingerprint(files)
        # When files that were refused may be good without another change.
        self._look_again_at: dt.datetime | None = None
        self._current = Certificates.read(files)
        self._remind_at = dt.datetime.min.replace(tzinfo=dt.timezone.utc)
        self._tell(self._current)
        self._remind()

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials for one port: each port is told of a change by itself."""
        given = self._current

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            """What gRPC calls at each handshake after the first, on a thread of its own; None: nothing changed."""
            nonlocal given
            current = self.current()
            if current is given:
                return None
            given = current
            return _configuration(current)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(given),
            fetch,  # type: ignore[arg-type]  # the stubs lack the None that gRPC documents
            require_client_authentication=given.client_ca is not None,
        )

    def current(self) -> Certificates:
        """The certificates to use now, after a look whether the files changed."""
        # Who comes while another looks takes what there is: a handshake waits for no disk twice.
        if self._lock.acquire(blocking=False):
            try:
                self._look()
                self._remind()
            except Exception:
                logger.exception("the TLS files could not be looked at; the certificate in use stays")
            finally:
                self._lock.release()
        return self._current

    def _look(self) -> None:
        found = _fingerprint(self._files)
        is_due = self._look_again_at is not None and dt.datetime.now(dt.timezone.utc) >= self._look_again_at
        if found == self._seen and not is_due:
            return
        self._seen, self._look_again_at = found, None
        try:
            self._current = Certificates.read(self._files)
        except TlsFileError as error:
            self._look_again_at = error.valid_from
            logger.warning("the changed TLS files cannot be used, the ones before stay in use: %s", error)
            return
        self._remind_at = dt.datetime.min.replace(tzinfo=dt.timezone.utc)
        logger.info("the TLS files changed; new connections use them (valid until %s)", _shown(self._current.expires))
        self._tell(self._current)

    def _tell(self, certificates: Certificates) -> None:
        for remark in certificates.remarks:
            logger.warning("%s", remark)

    def _remind(self) -> None:
        now = dt.datetime.now(dt.timezone.utc)
        expires = self._current.expires
        if now < self._remind_at or expires - now > _SOON:
            return
        self._remind_at = now + _REMIND_EVERY
        if expires < now:
            logger.error("the certificate in %s expired on %s: clients refuse it", self._files.cert, _shown(expires))
        else:
            logger.warning("the certificate in %s expires on %s: renew it", self._files.cert, _shown(expires))


def _fingerprint(files: TlsFiles) -> Fingerprint | None:
    """None while one is missing, as it is for a moment when files are moved."""
    try:
        return files.fingerprint()
    except OSError:
        return None


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.key, certificates.chain)], root_certificates=certificates.client_ca
    )


def _shown(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
