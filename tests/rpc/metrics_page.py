"""The pages of a server's HTTP port, fetched and read."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def fetch(port: int, path: str, *, method: str = "GET", accept: str = "") -> tuple[int, str, str]:
    """Status, type and text of a page."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers={"Accept": accept})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


class Metrics:
    """The samples of a page of metrics."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self._samples: Samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def value(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """A sample; 0 for one that is not there yet."""
        return self._samples.get((name, frozenset((labels or {}).items())), 0.0)


async def scrape(port: int) -> Metrics:
    """The metrics of a server in this process."""
    status, _, text = await asyncio.to_thread(fetch, port, "/metrics")
    assert status == 200, text
    return Metrics(text)
