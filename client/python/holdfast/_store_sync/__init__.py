"""Sends what one store holds to another server, once, however often it is repeated; see ``docs/offline.md``."""

from __future__ import annotations
