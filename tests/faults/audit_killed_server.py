"""A server that kills itself while it seals: ``python audit_killed_server.py before|after <its arguments>``."""

from __future__ import annotations

import os
import signal
import sys

from holdfast_server.__main__ import main
from holdfast_server.domain.audit import AuditSegment
from holdfast_server.storage.sql.audit import SqlAudit


def kill_at(side: str) -> None:
    """Let sealing end the process before its rows are written, or after that and before they are committed."""
    seal = SqlAudit.seal

    def killed(self: SqlAudit, segment: AuditSegment) -> None:
        if side == "after":
            seal(self, segment)
        os.kill(os.getpid(), signal.SIGKILL)

    SqlAudit.seal = killed  # type: ignore[method-assign]


if __name__ == "__main__":
    kill_at(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
