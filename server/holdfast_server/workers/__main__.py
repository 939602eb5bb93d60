"""``python -m holdfast_server.workers NUMBER PIPE FLAGS…``: one of several processes; ``supervisor`` starts them."""

from __future__ import annotations

import sys

from holdfast_server.__main__ import main
from holdfast_server.workers.role import WorkerRole

if __name__ == "__main__":
    sys.exit(main(sys.argv[3:], worker=WorkerRole(int(sys.argv[1]), int(sys.argv[2]))))
