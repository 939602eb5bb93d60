"""Runs and model versions as one file each, with the digests of all that is in it; see ``docs/registry.md``."""

from __future__ import annotations
