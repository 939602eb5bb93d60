"""What an archive is made of: a tar file with plain members of which every bit is checked."""

from __future__ import annotations

import re
import tarfile

from holdfast.errors import DataLossError, InvalidArgumentError

FORMAT = "holdfast-archive"
FORMAT_VERSION = 1
HEAD = "holdfast.json"
# Names every other member but the files with its digest, and comes last, so that what is cut off is missed.
SUMS = "digests.json"
FILE_PREFIX = "files/"
RECORD = 512
END = bytes(2 * RECORD)
# What is read into memory at once: descriptions, and lines of lists.
MAX_DOCUMENT = 64 << 20
MAX_LINE = 16 << 20

_NAME = re.compile(r"files/[0-9a-f]{64}|(models/m-[0-9a-f]{32}/)?[a-z]{1,40}\.jsonl?")


def header(name: str, size: int) -> bytes:
    """The header of a member, always the same for the same name and size."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def parse_header(block: bytes) -> tuple[str, int] | None:
    """Name and size of the member that a header begins; None when it is no header, or changed since it was written.

    Raises:
        InvalidArgumentError: It is none that we write: of a link or device, with another name or other attributes.
    """
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError):
        return None
    if not _NAME.fullmatch(member.name):
        raise not_ours(f"it has a member {member.name[:100]!a}")
    if member.size < 0 or header(member.name, member.size) != block:
        raise not_ours(f"its member {member.name[:100]!a} is no plain file as an export writes it")
    return member.name, member.size


def padding(size: int) -> int:
    """Bytes after the content of a member, up to the next header."""
    return -size % RECORD


def damaged(what: str) -> DataLossError:
    """The error for an archive that is not as it was written."""
    return DataLossError(
        f"The archive is damaged: {what}. Nothing was imported; export again, or copy the file again.",
        reason="DATA_LOSS",
    )


def not_ours(what: str) -> InvalidArgumentError:
    """The error for a file that no export made."""
    return InvalidArgumentError(f"This is no archive that Holdfast exported: {what}. Nothing was imported.")
