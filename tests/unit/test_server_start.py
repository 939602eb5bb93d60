"""What a server does not load."""

from __future__ import annotations

import subprocess
import sys


def test_the_server_loads_neither_numpy_nor_pandas():
    script = (
        "import sys, holdfast_server.app, holdfast_server.storage.blocks.s3\n"
        "assert not {'numpy', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "import pandas\n"  # and leaves them importable
    )
    subprocess.run([sys.executable, "-c", script], check=True)
