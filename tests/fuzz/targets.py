"""What is fed with anything, and what must hold of it: no exception but the one that says what is wrong with the input.

Each target takes bytes. Hypothesis gives them a few hundred on each run of the tests, atheris as many as one likes
(``make fuzz``).
"""

from __future__ import annotations

import json
import pickle
import posixpath
import re
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.format.chunks import decode_chunk, encode_chunk
from holdfast.format.digests import BLOCK_SIZE
from holdfast.format.paths import MAX_COMPONENTS, MAX_PATH_BYTES, ancestors, broken_name_rule, broken_rule, nfc
from holdfast.models._mlmodel import MLmodel
from holdfast.models._pickle_scan import scan_pickle
from holdfast.v1 import artifact_service_pb2
from holdfast_server.domain.artifacts import has_digest
from holdfast_server.errors import DomainError, InvalidArgument, NotFound
from holdfast_server.host import RandomIds
from holdfast_server.rpc.block_assembly import BlockAssembler
from holdfast_server.rpc.errors import told_message, trailing_metadata
from holdfast_server.rpc.page_tokens import decode_path_token, decode_position_token
from holdfast_server.rpc.uploads import _decode
from holdfast_server.services.artifact_uris import resolve_model
from holdfast_server.services.search import fields
from holdfast_server.services.search.filter import parse_filter
from holdfast_server.services.search.mask import RUN_LISTS, parse_mask
from holdfast_server.services.search.order import parse_order_by
from holdfast_server.services.search.page_token import open_token
from holdfast_server.storage.sql.connection import connect
from holdfast_server.storage.sql.migrate import migrate
from holdfast_server.storage.sql.transaction import SqlTransaction

Target = Callable[[bytes], None]
SEARCHES = (fields.RUNS, fields.EXPERIMENTS, fields.LOGGED_MODELS, fields.REGISTERED_MODELS, fields.MODEL_VERSIONS)
KEY = bytes(32)
# A header of 8 KiB has room for it, with what gRPC itself sends.
MAX_DETAILS = 6_000


def _text(data: bytes) -> str:
    return data.decode("utf-8", "ignore")


def _refuses(call: Callable[[], object], *allowed: type[DomainError]) -> bool:
    """Whether it refuses its input, by an error that can be sent."""
    refusal: DomainError | None = None
    try:
        call()
    except allowed as error:
        refusal = error
    if refusal is not None:
        assert told_message(refusal).isprintable()
        assert sum(len(value) for _, value in trailing_metadata(refusal)) < MAX_DETAILS
    return refusal is not None


def filters(data: bytes) -> None:
    """The filter of a search."""
    text = _text(data)
    for searched in SEARCHES:
        _refuses(lambda searched=searched: parse_filter(text, searched), InvalidArgument)


def orderings(data: bytes) -> None:
    """The orderings of a search, and which fields it answers."""
    texts = _text(data).split("\0")
    for searched in SEARCHES:
        _refuses(lambda searched=searched: parse_order_by(texts, searched), InvalidArgument)
    _refuses(lambda: parse_mask(texts, RUN_LISTS), InvalidArgument)


def paths(data: bytes) -> None:
    """Artifact paths: what is accepted stays within its tree on any system."""
    path = data.decode("utf-8", "surrogatepass") if _is_decodable(data) else _text(data)
    broken_name_rule(path)
    if broken_rule(path):
        return
    parts = path.split("/")
    assert len(path.encode()) <= MAX_PATH_BYTES
    assert len(parts) <= MAX_COMPONENTS
    assert not {"", ".", ".."}.intersection(parts), path
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\\]", path), path
    assert len(ancestors(path)) == len(parts) - 1
    assert nfc(nfc(path)) == nfc(path)
    assert posixpath.normpath(f"/root/{path}") == f"/root/{path}"


def _is_decodable(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


class _Resolver:
    """Artifact URIs in a database that has nothing; made when the first comes."""

    _transaction: SqlTransaction | None = None

    def __call__(self, data: bytes) -> None:
        if self._transaction is None:
            directory = tempfile.TemporaryDirectory(prefix="holdfast-fuzz-")
            self._directory = directory  # which is removed with this
            path = Path(directory.name) / "holdfast.db"
            migrate(path)
            self._transaction = SqlTransaction(connect(path, read_only=True), 0, RandomIds())
        transaction, text = self._transaction, _text(data)
        assert _refuses(lambda: resolve_model(transaction, text), InvalidArgument, NotFound)


def tokens(data: bytes) -> None:
    """Page tokens of either kind; nobody makes one that is signed."""
    text = _text(data)
    assert _refuses(lambda: open_token(KEY, "query", text), InvalidArgument)
    _refuses(lambda: decode_path_token(text, "query"), InvalidArgument)
    _refuses(lambda: decode_position_token(text, "query"), InvalidArgument)


def chunks(data: bytes) -> None:
    """The hand-made coding of chunks agrees with protobuf about all that it reads."""
    chunk = decode_chunk(data)
    if chunk is None:
        return
    message = artifact_service_pb2.WriteBlocksRequest.FromString(data)
    assert not message.blocks
    assert (message.chunk.digest, message.chunk.data) == (chunk.digest, bytes(chunk.data))
    assert message.chunk.size == chunk.size & 0xFFFF_FFFF
    if chunk.digest and chunk.size < 1 << 32:
        again = decode_chunk(encode_chunk(chunk))
        assert again is not None
        assert (again.digest, again.size, bytes(again.data)) == (chunk.digest, chunk.size, bytes(chunk.data))


def blocks(data: bytes) -> None:
    """A stream of messages of WriteBlocks, each behind its length in two bytes."""
    assembler, at = BlockAssembler(), 0

    def feed() -> None:
        nonlocal at
        while at < len(data):
            length = int.from_bytes(data[at : at + 2], "little")
            message = _decode(data[at + 2 : at + 2 + length])
            at += 2 + length
            for block in assembler.feed(message):
                assert 0 < block.size == sum(map(len, block.parts)) <= BLOCK_SIZE
                has_digest(block)
            assert assembler.kept <= len(data)

    _refuses(feed, InvalidArgument)
    assembler.close()


def mlmodels(data: bytes) -> None:
    """The file MLmodel of a package that anybody may have written."""
    try:
        model = MLmodel.parse(data)
        model.get_input_schema()
        model.get_output_schema()
        again = MLmodel.parse(model.to_yaml().encode())
    except HoldfastError:
        return
    assert again.flavors.keys() == model.flavors.keys()


def pickles(data: bytes) -> None:
    """The scan of a pickle, which is to be told what loading it would do."""
    content = scan_pickle(data)
    assert 0 <= content.size <= len(data)
    if not content.problems:
        assert data[content.size - 1 : content.size] == b"."


TARGETS: dict[str, Target] = {
    "filters": filters,
    "orderings": orderings,
    "paths": paths,
    "uris": _Resolver(),
    "tokens": tokens,
    "chunks": chunks,
    "blocks": blocks,
    "mlmodels": mlmodels,
    "pickles": pickles,
}
_MLMODEL = b"""artifact_path: model
flavors:
  python_function:
    loader_module: mlflow.sklearn
    python_version: 3.11.7
mlflow_version: 3.17.2
model_id: m-00000000000000000000000000000000
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
  params: null
holdfast:
  files:
    model.pkl: {size: 3, digest: abc}
utc_time_created: '2026-01-01 00:00:00'
"""
SEEDS: dict[str, Sequence[bytes]] = {
    "filters": [
        b"metrics.`a b` < 1e3 AND params.p LIKE 'a%' AND tags.\"k\" IS NOT NULL",
        b"run_id IN ('a', 'b',) AND attributes.start_time >= -1.5 AND dataset.name ILIKE 'x'",
        b"name = 'it''s' AND version_number != 3",
        b"1" * 9_000 + b"a",
    ],
    "orderings": [b"metrics.m DESC DATASET 'iris' DIGEST 'd'\0params.`a b` ASC\0start_time", b"metrics.loss\0tags.*"],
    "paths": [b"dir/file.txt", "caf\u00e9/\u65e5\u672c".encode(), b"a/../b", b"C:\\a", b"%2e%2e/a", b"a\xed\xa0\x80"],
    "uris": [
        b"runs:/abababababababababababababababab/a/b",
        b"models:/name/1/a",
        b"models:/name@alias",
        b"models:/name/latest",
        b"models:/m-abababababababababababababababab/a",
    ],
    "tokens": [b"MTIAYWJjZGVmMDEyMzQ1Njc4OQBkaXIvZmlsZQ==", b"AAAA", b"MQA5Yjk5NmJjMWI3Y2JlOTIyADEw"],
    "chunks": [b"\x12\x2a\x0a\x20" + bytes(32) + b"\x10\x03\x1a\x03abc", b"\x12\x05\x1a\x03abc", b"\x12\x80\x80\x00"],
    "blocks": [
        b"\x2c\x00\x12\x2a\x0a\x20" + bytes(32) + b"\x10\x04\x1a\x03abc\x05\x00\x12\x03\x1a\x01d",
        b"\x29\x00\x0a\x27\x0a\x20" + bytes(32) + b"\x12\x03abc",
    ],
    "mlmodels": [
        _MLMODEL,
        b"{flavors: {a: {b: !!timestamp 2001-01-01}}, metadata: {? !!set {a} : 1}}",
        b"metadata: {a: !!bool x, b: !!int '', c: !!float x, d: !!binary x, e: !!null x, f: !!omap [a: 1]}",
        json.dumps({"flavors": {}, "signature": {"inputs": json.dumps([{"type": "array", "items": "long"}])}}).encode(),
        b"? [a, b]\n: 1\n",
        b"a: &x 1\nb: *x\n",
    ],
    "pickles": [
        *(pickle.dumps([len, {"a": (1, b"x", "y", 2.5)}, zlib.crc32], protocol) for protocol in range(6)),
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x94h\x00.",
    ],
}
