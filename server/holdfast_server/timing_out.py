"""Waiting with a limit of time.

``asyncio.wait_for`` forgets that its task was cancelled when what it waits for comes at the same moment (Python before
3.12), and a stream whose caller lost its access would go on.
"""

from __future__ import annotations

import sys

# Both raise asyncio.TimeoutError where the block takes longer than so many seconds.
if sys.version_info >= (3, 11):
    from asyncio import timeout as within
else:
    from async_timeout import timeout as within

__all__ = ["within"]
