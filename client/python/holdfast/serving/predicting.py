"""Threads that predict, so that the event loop stays free to answer whether the server is well."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.serving.decoding import Decoded
from holdfast.serving.errors import ServingError
from holdfast.serving.joining import join, joining_key, row_count, split
from holdfast.serving.metrics import ServingMetrics
from holdfast.serving.model import ServedModel

__all__ = ["Job", "Predictor"]

logger = logging.getLogger("holdfast.serving")


@dataclass(eq=False, slots=True)
class Job:
    """One request to be predicted.

    Attributes:
        decode: Reads the request, in a thread.
        encode: Writes the answer, in a thread; gets the predictions, the request and the model that predicted.
        answer: Gets the answer, or the error.
    """

    decode: Callable[[ServedModel], Decoded]
    encode: Callable[[Any, Decoded, ServedModel], Any]
    answer: asyncio.Future[Any]


class Predictor:
    """A fixed number of threads that take requests in the order in which they came.

    With ``batch_size`` above 1 a thread takes several at once, predicts those together that fit together, and waits up
    to ``batch_wait`` seconds for an incomplete batch to fill. One request's error is its own: when a joined
    prediction fails, each of its requests is predicted alone.
    """

    def __init__(
        self,
        model: ServedModel,
        metrics: ServingMetrics,
        *,
        threads: int,
        max_waiting: int,
        batch_size: int,
        batch_wait: float,
    ) -> None:
        self.model = model
        self._metrics = metrics
        self._max_waiting = max_waiting
        # Whoever waits or is being predicted; not those whose time is over, though a thread may be at it still.
        self._pending: set[asyncio.Future[Any]] = set()
        self._most_pending = max_waiting + threads * batch_size
        self._batch_size, self._batch_wait = batch_size, batch_wait
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._joins = True
        # One thread at a time fills a batch; two would share what comes between them.
        self._taking = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        # Daemons: a prediction that never ends must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, name=f"predict-{number}", daemon=True) for number in range(threads)
        ]

    @property
    def threads_alive(self) -> int:
        """How many threads take requests."""
        return sum(thread.is_alive() for thread in self._threads)

    @property
    def is_whole(self) -> bool:
        """Whether no thread has ended since the start; what is put before too few of them waits in vain."""
        return self._loop is None or self.threads_alive == len(self._threads)

    def start(self) -> None:
        """Start the threads; answers go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the threads end when they have done what waits."""
        for _ in self._threads:
            self._queue.put(None)

    def abandon(self) -> None:
        """Answer those who still wait that the server stops; called in the event loop."""
        for answer in self._pending:
            if not answer.done():
                answer.set_exception(ServingError(ServingError.UNAVAILABLE, "The server is stopping; ask another one."))

    def swap(self, model: ServedModel) -> None:
        """Predict with another model from the next request on; what is in progress ends with the one before."""
        previous, self.model = self.model, model
        self._joins = True
        previous.retire()

    async def run(
        self,
        decode: Callable[[ServedModel], Decoded],
        encode: Callable[[Any, Decoded, ServedModel], Any],
        *,
        timeout: float,
    ) -> Any:
        """Answer one request; what waits when the time is over, or when the caller is cancelled, is not begun.

        Raises:
            ServingError: It cannot be answered: OVERLOADED, TIMEOUT, or what is wrong with it.
        """
        assert self._loop is not None
        if len(self._pending) >= self._most_pending:
            raise ServingError(
                ServingError.OVERLOADED, f"{self._max_waiting} requests wait already; try again in a moment."
            )
        answer: asyncio.Future[Any] = self._loop.create_future()
        timer = self._loop.call_later(timeout, _time_out, answer, timeout)
        self._pending.add(answer)
        self._queue.put(Job(decode, encode, answer))
        try:
            return await answer
        finally:
            self._pending.discard(answer)
            timer.cancel()

    def _work(self) -> None:
        while (jobs := self._take()) is not None:
            open_jobs = [job for job in jobs if not job.answer.done()]
            if not open_jobs:
                continue
            model = self.model
            with model.in_use():
                answers = self._answers(model, open_jobs)
            assert self._loop is not None
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_deliver, open_jobs, answers)

    def _take(self) -> list[Job] | None:
        if self._batch_size == 1:
            job = self._queue.get()
            return None if job is None else [job]
        with self._taking:
            return self._fill()

    def _fill(self) -> list[Job] | None:
        job = self._queue.get()
        if job is None:
            return None
        jobs = [job]
        if self._joins:
            until = time.monotonic() + self._batch_wait
            while len(jobs) < self._batch_size:
                try:
                    left = until - time.monotonic()
                    job = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    self._queue.put(None)  # the end comes after what is at hand
                    break
                jobs.append(job)
        return jobs

    def _answers(self, model: ServedModel, jobs: Sequence[Job]) -> list[Any]:
        """As `_answer`, and when joining itself fails the requests get that error: the thread goes on."""
        try:
            return self._answer(model, jobs)
        except BaseException:
            logger.exception("requests could not be answered")
            return [_defect() for _ in jobs]

    def _answer(self, model: ServedModel, jobs: Sequence[Job]) -> list[Any]:
        """What each job is answered with: a value, or an exception."""
        if len(jobs) == 1:
            return [_guarded(_alone, model, jobs[0])]
        answers: list[Any] = [None] * len(jobs)
        groups: dict[Hashable, list[tuple[int, Decoded]]] = defaultdict(list)
        for place, job in enumerate(jobs):
            decoded = _guarded(_decoded, model, job)
            if isinstance(decoded, Exception):
                answers[place] = decoded
                continue
            key = joining_key(decoded.data, decoded.params)
            # Whoever fits nobody makes a group of one.
            groups[place if key is None else (key,)].append((place, decoded))
        for members in groups.values():
            predictions = self._predict_group(model, [decoded for _, decoded in members])
            for (place, decoded), prediction in zip(members, predictions, strict=True):
                answers[place] = (
                    prediction
                    if isinstance(prediction, ServingError)
                    else _guarded(jobs[place].encode, prediction, decoded, model)
                )
        return answers

    def _predict_group(self, model: ServedModel, members: Sequence[Decoded]) -> list[Any]:
        self._metrics.batch(len(members))
        if len(members) > 1:
            counts = [row_count(member.data) for member in members]
            try:
                predictions = split(model.predict(join([m.data for m in members]), members[0].params), counts)
            except ServingError:
                pass  # of whichever request it is
            else:
                if predictions is not None:
                    return predictions
                logger.warning("%s does not predict row by row; its requests are not joined", model.identity)
                self._joins = False
        return [_guarded(model.predict, member.data, member.params) for member in members]


def _decoded(model: ServedModel, job: Job) -> Decoded:
    return model.check(job.decode(model))


def _alone(model: ServedModel, job: Job) -> Any:
    decoded = _decoded(model, job)
    return job.encode(model.predict(decoded.data, decoded.params), decoded, model)


def _guarded(function: Callable[..., Any], *args: Any) -> Any:
    """What ``function`` returns, or the error that it raises."""
    try:
        return function(*args)
    except ServingError as error:
        return error
    except BaseException:
        logger.exception("a request could not be answered")
        return _defect()


def _defect() -> ServingError:
    return ServingError(ServingError.INTERNAL, "A defect of the server; its log has more.")


def _deliver(jobs: Sequence[Job], answers: Sequence[Any]) -> None:
    for job, answer in zip(jobs, answers, strict=True):
        if job.answer.done():
            continue
        if isinstance(answer, Exception):
            job.answer.set_exception(answer)
        else:
            job.answer.set_result(answer)


def _time_out(answer: asyncio.Future[Any], timeout: float) -> None:
    if not answer.done():
        answer.set_exception(
            ServingError(ServingError.TIMEOUT, f"The request was not answered within its {timeout:g} seconds.")
        )
