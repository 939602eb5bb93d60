"""Where one scenario is played: its drivers, files, names and network, all of them gone at its end."""

from __future__ import annotations

import contextlib
import random
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from client.conformance.runner.away import AwayServer
from client.conformance.runner.drivers import Answer, Driver
from client.conformance.runner.errors import ConformanceError, ScenarioFileError
from client.conformance.runner.languages import PYTHON, Language, driver_environment
from client.conformance.runner.network import BitFlipper
from client.conformance.runner.servers import HOST, Place
from tests.counting_proxy import CountingProxy

_NAME = re.compile(r"\$\{(\w+)\}")


class Stage:
    """The scene of one scenario in one language.

    Attributes:
        language: The one on trial.
        others: The other languages; Python again where there is none.
        place: The servers.
        folder: Files of this scenario.
        names: What steps have saved.
        transcript: What was asked and answered, for people.
        timeout: Seconds that a driver has for an answer.
    """

    def __init__(
        self, language: Language, *, others: tuple[Language, ...], place: Place, folder: Path, timeout: float
    ) -> None:
        self.language, self.others, self.place, self.folder = language, others or (PYTHON,), place, folder
        self.timeout = timeout
        self.names: dict[str, Any] = {}
        self.transcript: list[str] = []
        self.flipper: BitFlipper | None = None
        self._unique = secrets.token_hex(8)
        self._drivers: dict[str, Driver] = {}
        self._on_trial = ""
        self._proxy: CountingProxy | None = None
        self._away: AwayServer | None = None

    @property
    def driver(self) -> Driver:
        """The driver on trial."""
        return self.driver_of("")

    @property
    def proxy(self) -> CountingProxy:
        """The network before the open server, made when it is first asked for."""
        if self._proxy is None:
            self._proxy = CountingProxy(self.place.open_server.port)
        return self._proxy

    def passed(self, way: str) -> int:
        """Bytes that passed through the network, ``up`` to the server or ``down`` from it."""
        return {"up": self.proxy.sent, "down": self.proxy.received}[way]

    def random(self, name: str) -> random.Random:
        """Bytes for a file that no other scenario has."""
        return random.Random(f"{self._unique}/{name}")  # noqa: S311 - contents of files

    def path(self, name: str) -> Path:
        """A file of this scenario."""
        return self.folder / name

    def driver_of(self, by: str) -> Driver:
        """The driver of a language beside the one on trial, started when it is first asked for; empty: that one."""
        role = by or self._on_trial
        if role not in self._drivers:
            languages = {"": self.language, "python": PYTHON, **{f"other {o.name}": o for o in self.others}}
            if role not in languages:
                raise ScenarioFileError(f"nobody is called {by!r} here")
            self._drivers[role] = self._started(languages[role])
        return self._drivers[role]

    @contextlib.contextmanager
    def on_trial(self, other: Language) -> Iterator[None]:
        """Let another language do the steps that name none."""
        self._on_trial = f"other {other.name}"
        self.names["other"] = other.name
        try:
            yield
            self._drivers.pop(self._on_trial).end()
        finally:
            self._on_trial = ""

    def replace_driver(self) -> None:
        """Start the driver on trial anew, after it was killed."""
        self._drivers[self._on_trial] = self._started(self.language)

    def answer(self, by: str = "") -> Answer:
        """The answer to what was begun."""
        return self.driver_of(by).answer()

    def filled(self, value: Any) -> Any:
        """A value of a scenario with names in place of ``${…}``."""
        if isinstance(value, str):
            whole = _NAME.fullmatch(value)
            return self._named(whole[1]) if whole else _NAME.sub(lambda found: str(self._named(found[1])), value)
        if isinstance(value, Mapping):
            return {self.filled(key): self.filled(item) for key, item in value.items()}
        return [self.filled(item) for item in value] if isinstance(value, list) else value

    def end(self) -> None:
        """End all drivers in good order.

        Raises:
            ConformanceError: One does not.
        """
        for driver in self._drivers.values():
            driver.end()

    def close(self) -> None:
        """End whatever is left."""
        for driver in self._drivers.values():
            driver.kill()
        if self._proxy is not None:
            self._proxy.close()
        if self._away is not None:
            self._away.close()

    def _started(self, language: Language) -> Driver:
        return Driver(
            language.name,
            language.command,
            folder=self.folder,
            environment=driver_environment(self.folder),
            timeout=self.timeout,
            transcript=self.transcript,
        )

    def _named(self, name: str) -> Any:
        if name in self.names:
            return self.names[name]
        own: dict[str, Callable[[], Any]] = {
            "uri": lambda: f"holdfast://{HOST}:{self.place.open_server.port}",
            "network": lambda: f"holdfast://{HOST}:{self.proxy.port}",
            "guarded_uri": lambda: f"holdfast+tls://localhost:{self.place.guarded_server.port}",
            "nobody": lambda: f"holdfast://{HOST}:{self._silent_port()}",
            "away": lambda: f"holdfast://{HOST}:{self._away_port()}",
            "ca_file": lambda: str(self.place.ca_file),
            "token": lambda: self.place.token,
            "dir": lambda: str(self.folder),
            "unique": lambda: f"{self.language.name}-{self._unique}",
            "marker": lambda: f"marker-{self._unique}",
        }
        if name not in own:
            raise ScenarioFileError(f"no step before has saved {name!r}")
        self.names[name] = own[name]()
        return self.names[name]

    def _silent_port(self) -> int:
        """A port that refuses everybody."""
        self.proxy.refuse()
        return self.proxy.port

    def _away_port(self) -> int:
        """The port of a server whose store is away for some seconds from its first call on."""
        self._away = AwayServer(HOST, self.place.open_server.port)
        return self._away.port


def expect_error_free(answer: Answer) -> Mapping[str, Any]:
    """What an answer holds that must be no error."""
    if answer.ok is None:
        raise ConformanceError(f"an answer was expected, and an error came: {answer}")
    return answer.ok
