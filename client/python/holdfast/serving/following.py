"""Follows an alias: loads the version that it comes to name beside the one that answers, and swaps when it is fit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from holdfast.errors import HoldfastError, UnavailableError
from holdfast.serving.metrics import ServingMetrics
from holdfast.serving.model import Identity, ModelError, ServedModel, load_served
from holdfast.serving.predicting import Predictor
from holdfast.serving.resolving import version_identity

if TYPE_CHECKING:
    from holdfast._client import Client
    from holdfast._watching import Watch
    from holdfast.entities import Event

__all__ = ["AliasFollower"]

logger = logging.getLogger("holdfast.serving")

# Seconds between attempts, doubled up to the last.
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 30.0


class AliasFollower:
    """Two threads: one learns what the alias names, the other loads it. The predictor goes on meanwhile.

    A version that cannot be loaded within ``load_timeout`` seconds, or does not answer its own input example, is not
    taken over: the one before goes on answering until the alias names another. Outages of the server are waited for.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        alias: str,
        *,
        predictor: Predictor,
        metrics: ServingMetrics,
        load_timeout: float,
        load: Callable[[Identity], ServedModel] = load_served,
    ) -> None:
        self._client, self._name, self._alias = client, name, alias
        self._predictor, self._metrics, self._load = predictor, metrics, load
        self._load_timeout = load_timeout
        self._changed = threading.Condition()
        self._wanted: str | None = predictor.model.identity.version
        self._refused: dict[str, str] | None = None
        self._loading: str | None = None
        self._problem = ""
        self._alive = True
        self._heard_at = time.time()
        self._watch: Watch | None = None
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, name="follow-alias", daemon=True),
            threading.Thread(target=self._keep_up, name="load-versions", daemon=True),
        ]

    @property
    def alive(self) -> bool:
        """Whether changes of the alias are still learned of; a server that is away for a while does not matter."""
        return self._alive and all(thread.is_alive() for thread in self._threads)

    def details(self) -> dict[str, Any]:
        """How it stands, for people."""
        with self._changed:
            return {
                "alias": self._alias,
                "alive": self.alive,
                "problem": self._problem or None,
                "heard_seconds_ago": round(time.time() - self._heard_at, 1),
                "wanted_version": self._wanted,
                "loading_version": self._loading,
                "load_timeout_seconds": self._load_timeout,
                "refused": self._refused,
            }

    def start(self) -> None:
        """Begin to watch."""
        self._metrics.watch_alive.set(1)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads; a model that is being loaded is not waited for."""
        self._stopping.set()
        if (watch := self._watch) is not None:
            watch.close()
        self._wake()

    def _follow(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                with self._client.watch_model(self._name, self._alias) as watch:
                    self._watch = watch
                    while not self._stopping.is_set():
                        event = watch.wait()
                        pause = _FIRST_PAUSE
                        self._hear(event)
            except StopIteration:
                self._lose(f"the registered model {self._name} was deleted")
            except HoldfastError as error:
                self._lose(error.message)
            except BaseException as error:
                logger.exception("watching the alias failed")
                self._lose(f"{type(error).__name__}: {error}")
            self._stopping.wait(pause)
            pause = min(pause * 2, _LAST_PAUSE)

    def _lose(self, problem: str) -> None:
        """The watch has ended; another one is tried."""
        if self._stopping.is_set():
            return
        if problem != self._problem:
            logger.error("the alias %s is not watched: %s; %s goes on answering", self._alias, problem, self._serving)
        self._problem, self._alive = problem, False
        self._metrics.watch_alive.set(0)

    def _hear(self, event: Event | None) -> None:
        self._heard_at = time.time()
        if self._problem:
            logger.info("the alias %s is watched again", self._alias)
        self._problem, self._alive = "", True
        self._metrics.watch_alive.set(1)
        if event is None:
            return
        # Of a change of name the event has the name before, and the change the one by which versions are found now.
        renamed = [change.new_value for change in event.changes if change.field == "name"]
        self._name = (renamed[-1] if renamed and event.subject == "REGISTERED_MODEL" else event.name) or self._name
        if event.type == "STATE":
            self._want(getattr(event.state, "aliases", {}).get(self._alias))
        elif event.subject == "ALIAS":
            self._want(event.version)

    def _want(self, version: str | int | None) -> None:
        if version is None:
            logger.warning("the alias %s was removed; %s goes on answering", self._alias, self._serving)
            return
        with self._changed:
            if str(version) != self._wanted:
                self._wanted, self._refused = str(version), None
                self._changed.notify_all()

    def _keep_up(self) -> None:
        while (version := self._next_version()) is not None:
            try:
                self._take_over(version)
            finally:
                with self._changed:
                    self._loading = None

    def _next_version(self) -> str | None:
        """Wait until the alias names a version that does not answer and was not refused; None at the end."""
        with self._changed:
            while not self._stopping.is_set():
                refused = self._refused["version"] if self._refused else None
                if self._wanted is not None and self._wanted not in {self._serving.version, refused}:
                    self._loading = self._wanted
                    return self._wanted
                self._changed.wait()
        return None

    def _take_over(self, version: str) -> None:
        identity = version_identity(self._name, version)
        begin = time.monotonic()
        logger.info("%s begins to be loaded, and has %g s for it", identity, self._load_timeout)
        try:
            model = self._loaded(identity)
        except UnavailableError as error:
            logger.warning("%s cannot be fetched now and is tried again: %s", identity, error)
            with self._changed:
                self._changed.wait(_FIRST_PAUSE)
            return
        except ModelError as error:
            self._refuse(version, str(error))
            return
        except BaseException as error:
            logger.exception("%s could not be loaded", identity)
            self._refuse(version, f"{type(error).__name__}: {error}")
            return
        if model is None:
            return  # the server stops
        with self._changed:
            if version != self._wanted:
                return  # it took so long that the alias names another one
            self._refused = None
        previous = self._predictor.model
        self._predictor.swap(model)
        self._metrics.serves(previous.identity, previous.model_id, now=False)
        self._metrics.serves(model.identity, model.model_id, now=True)
        self._metrics.swaps.labels("taken_over").inc()
        logger.info(
            "%s answers now, in place of version %s; loaded in %.1f s",
            identity, previous.identity.version, time.monotonic() - begin,
        )  # fmt: skip

    def _loaded(self, identity: Identity) -> ServedModel | None:
        """Load in a thread of its own, which is left alone when the time is over; None when the server stops meanwhile.

        Raises:
            ModelError: It cannot be loaded, or not in time.
            UnavailableError: The server that has it cannot be reached.
        """
        found: Future[ServedModel] = Future()

        def load() -> None:
            try:
                found.set_result(self._load(identity))
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                found.set_exception(error)
            self._wake()

        # A daemon: a load that never ends must not keep the process from ending.
        threading.Thread(target=load, name=f"load-version-{identity.version}", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: found.done() or self._stopping.is_set(), self._load_timeout)
        if found.done():
            return found.result()
        if self._stopping.is_set():
            return None
        raise ModelError(
            f"{identity} cannot be loaded: it is not there after {self._load_timeout:g} s (--load-timeout). "
            "What was begun cannot be stopped, and takes memory and a thread until it ends"
        )

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _refuse(self, version: str, reason: str) -> None:
        with self._changed:
            self._refused = {"version": version, "reason": reason}
        self._metrics.swaps.labels("refused").inc()
        logger.error("version %s is not taken over, %s goes on answering: %s", version, self._serving, reason)

    @property
    def _serving(self) -> Identity:
        return self._predictor.model.identity
