"""Sends in the background what a journal holds, as long as it takes."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from holdfast._channel import Channel
from holdfast._config import Target
from holdfast._journal.aside import Aside
from holdfast._journal.delivery import Delivery
from holdfast._journal.journal import Journal
from holdfast._journal.reading import Outgoing, Reader
from holdfast._journal.segment import Segment
from holdfast._patience import RetryPolicy, time_left
from holdfast._rpc_errors import retry_after
from holdfast.errors import DeadlineExceededError, HoldfastError, UnavailableError

logger = logging.getLogger(__name__)

# What tells that a server is away, or as good as that.
AWAY = (UnavailableError, DeadlineExceededError)

# Seconds that the first point waits for others, so that a slow loop does not make a call for each.
LINGER = 0.05
# Points that are worth a request at once.
ENOUGH = 1_000
# Seconds that a fork waits for a call that is under way: gRPC may hang in a process that was forked in the middle of
# one. But a server that does not answer must not hold up the program.
FORK_PATIENCE = 1.0
# Seconds of an attempt in an outage; between attempts are the pauses of RETRY.
OUTAGE_PATIENCE = 1.0
_MOST_DOUBLINGS = 10
RETRY = RetryPolicy(initial_delay=0.2, max_delay=10.0)
# Whoever waits has a server that is away asked this often.
_ASK_SECONDS = 0.2


class Sender:
    """A journal and the thread that empties it.

    Attributes:
        journal: What is to be sent.
        channel: A connection of its own, so that nothing else that a client does holds it up.
        delivered: How many points and calls are off: arrived, or refused and set aside.
        refused: How many of these were refused.
        refusal: Why the last of them was.
        outage: What the last attempt met; None when it went well.
        told_waiting: How much did not arrive, as the last warning of that said.
    """

    def __init__(self, target: Target, *, on_start: Callable[[], None] = lambda: None) -> None:
        self.channel = Channel(target)
        self.journal = Journal(target, on_work=self._work, wait_for_room=self._wait_for_room)
        self._on_start = on_start
        self._begin()

    def _begin(self) -> None:
        self.delivered = self.refused = 0
        self.refusal: HoldfastError | None = None
        self.outage: HoldfastError | None = None
        self.forked = False
        self.told_waiting = 0
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        # Held while a call is under way.
        self._sending = threading.Lock()
        self._holders: set[int] = set()
        self._forking = self._stopping = False
        self._failures = self._hurries = self._held = self._removed = 0
        self._aside = Aside(lambda: self.journal.folder)
        self._told: set[tuple[str, str]] = set()

    @property
    def waiting(self) -> int:
        """How many points and calls were taken and are not off yet."""
        return self.journal.appended - self.delivered

    @property
    def is_away(self) -> bool:
        """Whether the server was not there for the last attempt, and something waits that will be tried again."""
        return self.waiting > 0 and isinstance(self.outage, AWAY)

    @property
    def holds_changes(self) -> bool:
        """Whether changes must wait behind earlier ones, which could not be made."""
        return self._held > 0

    def hold_change(self, method: str, request: bytes, error: HoldfastError | None = None) -> None:
        """Keep a change that could not be made; it is made after all that was logged before.

        Args:
            method: Of the run service.
            request: What it takes.
            error: Why it could not be made; None when it has to wait behind others.

        Raises:
            InvalidArgumentError: LIMIT_EXCEEDED, it is larger than what the journal takes at once.
        """
        if error is not None:
            self.note_outage(error)
        with self._changed:
            self._held += 1
        kept = False
        try:
            kept = self.journal.append_call(method, request)
        finally:
            if not kept:
                with self._changed:
                    self._held -= 1

    def note_outage(self, error: HoldfastError) -> None:
        """Note that the server is away, and say so if that is new."""
        with self._changed:
            known, self.outage = self.outage is not None, error
            self._changed.notify_all()
        if not known:
            logger.warning(
                "What is logged waits on this machine and is sent as soon as that is possible; the program goes on. %s",
                error,
            )

    def flush(self, timeout: float, *, away_timeout: float) -> bool:
        """Wait until what was logged before is off, and tell whether it is.

        Args:
            timeout: Most seconds to wait.
            away_timeout: The same while the server is away.
        """
        wanted, begun, asked = self.journal.appended, time.monotonic(), 0.0
        if self.delivered >= wanted:
            return True
        with self._changed:
            self._hurries += 1
        try:
            self._ensure_thread()
            self._wake.set()
            with self._changed:
                while self.delivered < wanted:
                    away = self.outage is not None
                    left = min(timeout, away_timeout if away else timeout) - (time.monotonic() - begun)
                    left = min(left, time_left())
                    if left <= 0:
                        return False
                    if away and time.monotonic() - asked >= _ASK_SECONDS:
                        asked = time.monotonic()
                        self._wake.set()
                    self._changed.wait(min(left, _ASK_SECONDS))
        finally:
            with self._changed:
                self._hurries -= 1
        return True

    def take_refusal(self) -> tuple[int, HoldfastError | None]:
        """How many points and calls were refused since this was asked, and why the last was."""
        with self._changed:
            found = self.refused, self.refusal
            self.refused, self.refusal = 0, None
        return found

    def close(self) -> None:
        """Stop, and remove the journal if all of it is off; otherwise leave it to ``sync``."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)
        self.channel.close()
        self._aside.close()
        self.journal.close(drained=self.waiting <= 0)

    def before_fork(self) -> None:
        """Have no call under way."""
        self._forking = True
        if self._sending.acquire(timeout=FORK_PATIENCE):
            self._holders.add(threading.get_ident())

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self.forked = True
        self._forking = False
        if threading.get_ident() in self._holders:
            self._holders.remove(threading.get_ident())
            self._sending.release()

    def after_fork_in_child(self) -> None:
        """Begin anew, with a journal of this process's own."""
        self._begin()
        self.journal.abandon()

    def _work(self) -> None:
        self.journal.idle = False
        self._ensure_thread()
        self._wake.set()

    def _ensure_thread(self) -> None:
        with self._starting:
            if (self._thread is not None and self._thread.is_alive()) or self._stopping:
                return
            thread = threading.Thread(target=self._run, name="holdfast-journal", daemon=True)
            # An interpreter that is ending starts no thread; what waits is in the journal.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread
        self._on_start()

    def _run(self) -> None:
        delivery = Delivery(self.channel, self._set_aside)
        reader: Reader | None = None
        while not self._stopping:
            self._rest()
            try:
                reader = self._deliver(delivery, reader)
            except HoldfastError as error:
                # What was read ahead of the failure is read again.
                reader = None
                self._note_failure(error)
            except Exception:
                reader = None
                if self._stopping:
                    return  # the files were closed meanwhile
                logger.exception("What is logged for %s cannot be sent", self.channel.target.uri)
                self._note_failure(HoldfastError("a defect of this client, which is in the log"))

    def _rest(self) -> None:
        """Wait until there is something to do."""
        if self.outage is not None and self.waiting:
            self._wait_before_retry(self.outage)
            return
        self.journal.idle = True
        if not self.waiting and not self._stopping:
            self._wake.wait()
        self.journal.idle = False
        self._wake.clear()
        if self.waiting < ENOUGH and not self._hurries and not self._stopping:
            self._wake.wait(LINGER)
            self._wake.clear()

    def _wait_before_retry(self, outage: HoldfastError) -> None:
        """Wait for a while; whoever waits for what is to be sent shortens that, unless the server said how long."""
        told = retry_after(outage)
        delay = RETRY.delay(min(self._failures, _MOST_DOUBLINGS))
        if told is None:
            self._wake.wait(delay)
            self._wake.clear()
            return
        until = time.monotonic() + told + min(delay, told / 2)
        while (left := until - time.monotonic()) > 0 and not self._stopping:
            self._wake.wait(left)
            self._wake.clear()

    def _deliver(self, delivery: Delivery, reader: Reader | None) -> Reader | None:
        """Send what there is, and what comes meanwhile if that is enough for full requests."""
        goal = self.journal.appended
        while (self.delivered < goal or self.waiting >= ENOUGH) and not self._stopping:
            segment = self._oldest()
            if segment is None:
                return None
            if reader is None or reader.segment is not segment:
                reader = Reader(segment)
            before = self.delivered
            self._send(delivery, reader)
            if self.delivered == before and segment is self.journal.segments[-1]:
                # Something was counted and not written: an exception of a signal's handler fell between.
                self.journal.lost += goal - self.delivered
                self._note_success(Outgoing(records=goal - self.delivered))
        return reader

    def _oldest(self) -> Segment | None:
        """The first segment that is not off; those before are removed."""
        segments = self.journal.segments
        while len(segments) > 1 and segments[0].delivered >= segments[0].end:
            segments.popleft().remove()
            with self._changed:
                self._removed += 1
                self._changed.notify_all()
        return segments[0] if segments else None

    def _send(self, delivery: Delivery, reader: Reader) -> None:
        segment = reader.segment
        last: Outgoing | None = None
        answer: Callable[[], None] | None = None

        def settle() -> None:
            if answer is not None:
                try:
                    answer()
                finally:
                    self._sending.release()
            if last is not None and last.position:
                segment.note_delivered(last.position)
                if last.records:
                    self._note_success(last)

        # One is read while the one before is on its way.
        for outgoing in reader.requests(segment.end):
            settle()
            last, answer = outgoing, None
            if outgoing.request is not None:
                self._hold_sending()
                try:
                    if self.outage is None:
                        answer = delivery.begin(outgoing)
                    else:
                        # With patience, which also finds an embedded server again that was started anew.
                        delivery.send(outgoing, patience=OUTAGE_PATIENCE)
                        self._sending.release()
                except BaseException:
                    self._sending.release()
                    raise
        settle()

    def _hold_sending(self) -> None:
        while self._forking:
            time.sleep(0.001)
        self._sending.acquire()

    def _set_aside(self, outgoing: Outgoing, error: HoldfastError) -> None:
        """Keep what the server refused where the rest does not wait for it."""
        self._aside.add(outgoing)
        with self._changed:
            self.refused += outgoing.records
            self.refusal = error
        run_id = outgoing.request.run_id
        if (run_id, error.reason) not in self._told:
            self._told.add((run_id, error.reason))
            logger.error(
                "%s refused what was logged for run %s: %s It is kept in %s.",
                self.channel.target.uri,
                run_id,
                error,
                self._aside.place,
            )

    def _note_success(self, outgoing: Outgoing) -> None:
        with self._changed:
            self.delivered += outgoing.records
            self._held -= outgoing.held
            outage, self.outage, self._failures = self.outage, None, 0
            self._changed.notify_all()
        if outage is not None:
            logger.info("%s answers again; what waited is being sent", self.channel.target.uri)

    def _note_failure(self, error: HoldfastError) -> None:
        self._failures += 1
        if not self._stopping:
            self.note_outage(error)

    def _wait_for_room(self, timeout: float) -> bool:
        self._wake.set()
        with self._changed:
            removed = self._removed
            self._changed.wait_for(lambda: self._removed > removed or self.outage is not None, timeout)
            return self._removed > removed
