"""``python -m holdfast_server.backup``: what ``holdfast backup`` and ``holdfast restore`` run.

Exit codes: 0 done, 1 failed, or done with something damaged, 2 wrongly called, 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast_server.backup.copying import Copied, Progress
from holdfast_server.backup.create import BackupSettings, make_backup
from holdfast_server.backup.databases import reading
from holdfast_server.backup.errors import BackupError
from holdfast_server.backup.repository import Backup, Repository
from holdfast_server.backup.restore import RestoreSettings, restore
from holdfast_server.backup.rollback import roll_back
from holdfast_server.backup.verify import Verified, verify
from holdfast_server.errors import DomainError

FAILED, INTERRUPTED = 1, 130
# Problems that are printed; the first ones tell enough.
MAX_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stderr)
    os.umask(0o077)  # a backup holds what the data directory holds, which is private
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code: int = options.run(options)
    except (BackupError, DomainError) as error:
        _clear_line()
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - why it failed
        return FAILED
    except KeyboardInterrupt:
        _clear_line()
        print("Interrupted.", file=sys.stderr)  # noqa: T201 - why it ended
        return INTERRUPTED
    return code


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    """The command line reads its own options and passes them on; so there is no help here."""
    parser = argparse.ArgumentParser(prog="python -m holdfast_server.backup", allow_abbrev=False)
    commands = parser.add_subparsers(required=True)
    create = commands.add_parser("create")
    create.add_argument("--data-dir", type=Path, required=True)
    create.add_argument("--no-objects", action="store_true")
    create.add_argument("--keep", type=int)
    create.add_argument("destination", type=Path)
    create.set_defaults(run=_create)
    bring = commands.add_parser("restore")
    bring.add_argument("--to", type=Path, required=True)
    bring.add_argument("--backup", default="")
    bring.add_argument("--verify", action="store_true")
    bring.add_argument("--adopt-store", action="store_true")
    bring.add_argument("source", type=Path)
    bring.set_defaults(run=_restore)
    check = commands.add_parser("verify")
    check.add_argument("--backup", default="")
    check.add_argument("source", type=Path)
    check.set_defaults(run=_verify)
    show = commands.add_parser("list")
    show.add_argument("source", type=Path)
    show.set_defaults(run=_list)
    back = commands.add_parser("rollback")
    back.add_argument("data_dir", type=Path)
    back.set_defaults(run=_roll_back)
    for command in (create, bring, back):
        command.add_argument("--store", default="")
        command.add_argument("--s3-credentials-file", type=Path)
    for command in (create, bring, check, show, back):
        command.add_argument("--json", action="store_true")
    return parser


def _create(options: argparse.Namespace) -> int:
    made = make_backup(
        BackupSettings(
            data_dir=options.data_dir,
            destination=options.destination,
            store=options.store,
            credentials_file=options.s3_credentials_file,
            has_objects=not options.no_objects,
            keep=options.keep,
        ),
        _progress("copied"),
    )
    manifest = made.backup.manifest
    problems = [f"Object {key}: {problem}." for key, problem in sorted(made.copied.damaged.items())]
    new = f"{made.copied.count:,} of them new ({_size(made.copied.size)})"
    objects = _objects(manifest.object_count, manifest.object_bytes)
    where = new if manifest.has_objects else "which stay in the store"
    lines = [f"Backup {manifest.id}: database of {_size(manifest.database_size)}, {objects}, {where}."]
    if made.forgotten:
        lines.append(f"Removed {_count(made.forgotten, 'old backup')}.")
    advice = "The backup is whole but for these, which are damaged in the store: run `holdfast fsck --deep`."
    fields = {**dataclasses.asdict(manifest), **_copied_fields(made.copied), "removed_backups": made.forgotten}
    return _finish(options, lines, problems, advice, **fields)


def _restore(options: argparse.Namespace) -> int:
    restored = restore(
        RestoreSettings(
            source=options.source,
            target=options.to,
            backup_id=options.backup,
            store=options.store,
            adopts_store=options.adopt_store,
            credentials_file=options.s3_credentials_file,
            verify=options.verify,
        ),
        _progress("restored"),
    )
    manifest = restored.backup.manifest
    copied = f"{_objects(restored.copied.count, restored.copied.size)} copied"
    lines = [f"Restored backup {manifest.id}, made {manifest.create_time}, to {options.to}: {copied}."]
    if restored.verified is not None:
        lines.append(_verified_line(restored.verified))
    advice = (
        "Everything else is there. After the server's start run `holdfast fsck --deep`, which tells what needs these."
    )
    fields = _copied_fields(restored.copied)
    return _finish(options, lines, restored.problems, advice, id=manifest.id, verified=options.verify, **fields)


def _verify(options: argparse.Namespace) -> int:
    repository = Repository.open(options.source)
    backup = repository.find(options.backup)
    backup.check_database()
    backup.objects()
    if not backup.manifest.has_objects:
        raise BackupError(
            f"Backup {backup.manifest.id} has no objects to be verified; its database and list of objects are whole."
        )
    with reading(backup.database) as connection:
        verified = verify(connection, repository.objects, _progress("read"))
    lines = [f"Backup {backup.manifest.id}. {_verified_line(verified)}"]
    advice = "Make another backup; objects that are damaged here are copied again once they are removed from objects/."
    return _finish(options, lines, verified.problems, advice, id=backup.manifest.id)


def _list(options: argparse.Namespace) -> int:
    backups = Repository.open(options.source).list_backups()
    if options.json:
        for backup in backups:
            print(json.dumps(dataclasses.asdict(backup.manifest)))  # noqa: T201 - what was asked for
        return 0
    for line in map(_backup_line, backups):
        print(line)  # noqa: T201 - what was asked for
    return 0


def _backup_line(backup: Backup) -> str:
    manifest = backup.manifest
    damaged = f", {len(manifest.damaged)} damaged" if manifest.damaged else ""
    objects = _objects(manifest.object_count, manifest.object_bytes)
    where = "" if manifest.has_objects else " in the store only"
    return (
        f"{manifest.id}  database {_size(manifest.database_size)}, {objects}{where}{damaged}, schema {manifest.schema}"
    )


def _roll_back(options: argparse.Namespace) -> int:
    done = roll_back(options.data_dir, store=options.store, credentials_file=options.s3_credentials_file)
    lines = [
        f"The database is the one of {done.made_time:%Y-%m-%d %H:%M:%S} UTC again, schema {done.schema}.",
        f"The other one is kept as {done.kept}.",
        "Start the version of Holdfast that you had then: a newer one migrates again.",
    ]
    problems = []
    if done.missing:
        problems = [f"{_count(done.missing, 'object')} that it needs are not in the store any more."]
    advice = (
        "A `gc` has run since the migration. `holdfast fsck` tells which files need them; restore these from a backup."
    )
    return _finish(options, lines, problems, advice, schema=done.schema, kept=str(done.kept), missing=done.missing)


def _finish(
    options: argparse.Namespace, lines: Sequence[str], problems: Sequence[str], advice: str, **fields: Any
) -> int:
    """Print what was done and what is wrong; returns the exit code."""
    _clear_line()
    if options.json:
        print(json.dumps({**fields, "problems": list(problems)}))  # noqa: T201 - what was asked for
    else:
        for line in lines:
            print(line)  # noqa: T201 - what was asked for
    for problem in problems[:MAX_SHOWN]:
        print(f"Error: {problem}", file=sys.stderr)  # noqa: T201 - what is wrong
    if len(problems) > MAX_SHOWN:
        print(f"Error: and {len(problems) - MAX_SHOWN} more.", file=sys.stderr)  # noqa: T201 - what is wrong
    if problems:
        print(advice, file=sys.stderr)  # noqa: T201 - the way out
    return FAILED if problems else 0


def _verified_line(verified: Verified) -> str:
    return (
        f"Verified {_count(verified.row_count, 'row')} of {_count(verified.tables, 'table')} and every block of "
        f"{_count(verified.objects.count, 'object')} ({_size(verified.objects.size)}): "
        f"{_count(len(verified.problems), 'problem')}."
    )


def _progress(verb: str) -> Progress:
    """Shows how far it is where somebody looks, some times a second."""
    last = 0.0

    def show(copied: Copied) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 0.2 and sys.stderr.isatty():
            last = now
            sys.stderr.write(f"\r\x1b[K{_count(copied.count, 'object')} {verb}, {_size(copied.size)}")
            sys.stderr.flush()

    return show


def _clear_line() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _objects(count: int, size: int) -> str:
    return f"{_count(count, 'object')} of {_size(size)}"


def _copied_fields(copied: Copied) -> dict[str, int]:
    return {"copied_objects": copied.count, "copied_bytes": copied.size}


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


if __name__ == "__main__":
    sys.exit(main())
