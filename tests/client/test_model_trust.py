"""Loading models of a server: whom it believes, what a version pins, and what a cache keeps."""

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from tests.client.conftest import ServerThread, forget_connection
from tests.server_process import clean_environment

import holdfast
import holdfast.models
import holdfast.models._reader
import holdfast.pyfunc
import holdfast.sklearn
from holdfast import _connection
from holdfast._channel import Channel
from holdfast._config import cache_size
from holdfast.errors import DataLossError, InvalidArgumentError, NotFoundError, UntrustedModelError
from holdfast.format.digests import bytes_digest
from holdfast.models._cache import CacheUsage, ModelCache
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast_server.storage.sql.connection import Connection, connect

PROGRAM = str(Path(sys.executable).parent / "holdfast")
MODEL = LogisticRegression().fit([[0.0], [1.0]], [0, 1])


@pytest.fixture(scope="module")
def own_server(tmp_path_factory) -> Iterator[tuple[ServerThread, Path]]:
    """A server whose database tests may tamper with."""
    data_dir = tmp_path_factory.mktemp("own")
    server = ServerThread(data_dir)
    yield server, data_dir / "holdfast.db"
    server.stop()


@pytest.fixture
def database(own_server, monkeypatch) -> Iterator[Connection]:
    """The fluent functions speak to the server of this database."""
    server, path = own_server
    forget_connection(monkeypatch)
    monkeypatch.setenv("HOLDFAST_URI", server.uri)
    # By the server's own library: two of SQLite in one process do not see each other's locks.
    with contextlib.closing(connect(path)) as connection:
        yield connection
    holdfast.end_run()
    _connection.current_client().close()


@pytest.fixture
def authenticated(monkeypatch):
    """Has the server say that it knows its callers, and that this one is ada."""
    call = Channel.call

    def answered(self, method, request, **options):
        answer = call(self, method, request, **options)
        if isinstance(answer, pb.GetCapabilitiesResponse):
            answer.authentication_enabled, answer.principal = True, "ada"
        return answer

    monkeypatch.setattr(Channel, "call", answered)


def logged(name=None, **options):
    with holdfast.start_run():
        return holdfast.sklearn.log_model(MODEL, name="m", registered_model_name=name, **options)


def by(database, principal, info):
    database.execute("UPDATE logged_models SET principal = ? WHERE model_id = ?", (principal, info.model_id))
    database.execute("UPDATE model_versions SET logged_by = ? WHERE model_id = ?", (principal, info.model_id))


def test_without_authentication_everything_is_loaded(database, name):
    info = logged(name)
    assert holdfast.sklearn.load_model(info.model_uri).coef_.tolist() == MODEL.coef_.tolist()
    assert holdfast.Client().get_logged_model(info.model_id).principal is None
    assert holdfast.Client().get_model_version(name, 1).principal is None


def test_with_authentication_only_what_the_same_principal_logged_is_loaded(database, authenticated, name, monkeypatch):
    info = logged(name)
    uris = [info.model_uri, f"models:/{name}/1", f"runs:/{info.run_id}/m"]
    by(database, "ada", info)
    for uri in uris:
        assert holdfast.sklearn.load_model(uri).coef_.tolist() == MODEL.coef_.tolist()
    by(database, "bob", info)
    assert holdfast.Client().get_model_version(name, 1).principal == "bob"
    for uri in uris:
        for load in (holdfast.sklearn.load_model, holdfast.pyfunc.load_model):
            with pytest.raises(UntrustedModelError, match=r"'bob', not by 'ada'.*allow_pickle=True"):
                load(uri)
            assert load(uri, allow_pickle=True)
    monkeypatch.setenv("HOLDFAST_ALLOW_PICKLE", "1")
    assert holdfast.sklearn.load_model(uris[0])
    monkeypatch.delenv("HOLDFAST_ALLOW_PICKLE")
    by(database, "", info)
    with pytest.raises(UntrustedModelError, match="somebody whom the server does not know"):
        holdfast.sklearn.load_model(uris[0])


def test_a_copy_of_a_version_is_still_of_the_one_who_logged_it(database, authenticated, name):
    info = logged(name)
    by(database, "bob", info)
    holdfast.Client().copy_model_version(f"models:/{name}/1", f"{name}-copy")
    with pytest.raises(UntrustedModelError, match="'bob'"):
        holdfast.sklearn.load_model(f"models:/{name}-copy/1")


def test_files_of_a_run_are_of_nobody_in_particular(database, authenticated, tmp_path):
    holdfast.sklearn.save_model(MODEL, tmp_path / "m")
    with holdfast.start_run() as run:
        holdfast.log_artifacts(tmp_path / "m", "copy")
    with pytest.raises(UntrustedModelError, match="does not know"):
        holdfast.sklearn.load_model(f"runs:/{run.info.run_id}/copy")


def test_skops_of_another_is_loaded_by_the_types_named_in_the_call(database, authenticated):
    trusted = [f"{__name__}.Mine"]
    with holdfast.start_run(), pytest.warns(UserWarning, match="no installed distribution"):
        info = holdfast.sklearn.log_model(Mine(), name="m", serialization_format="skops", skops_trusted_types=trusted)
    by(database, "ada", info)
    assert isinstance(holdfast.sklearn.load_model(info.model_uri), Mine)
    by(database, "bob", info)
    with pytest.raises(InvalidArgumentError, match="own list is not believed"):
        holdfast.sklearn.load_model(info.model_uri)
    assert isinstance(holdfast.sklearn.load_model(info.model_uri, skops_trusted_types=trusted), Mine)
    plain = logged(serialization_format="skops")
    by(database, "bob", plain)
    assert holdfast.pyfunc.load_model(plain.model_uri).predict(np.array([[1.0]])).tolist() == [1]


class Mine(BaseEstimator):
    def predict(self, data):
        return data


def test_a_registered_model_forbids_pickles_whatever_the_call_allows(database, name, tmp_path):
    info = logged(name)
    client = holdfast.Client()
    client.set_registered_model_alias(name, "prod", "1")
    client.update_registered_model(name, pickle_forbidden=True)
    for uri in (f"models:/{name}/1", f"models:/{name}@prod", f"models:/{name}/latest"):
        for allow in (None, True):
            with pytest.raises(UntrustedModelError, match=f"'{name}' forbids that.*--permit-pickle"):
                holdfast.sklearn.load_model(uri, allow_pickle=allow)
    assert holdfast.sklearn.load_model(info.model_uri)  # the rule is that of the name
    logged(name, serialization_format="skops")
    assert holdfast.sklearn.load_model(f"models:/{name}/2").coef_.tolist() == MODEL.coef_.tolist()
    (tmp_path / "hf_extra.py").write_text("")
    logged(name, serialization_format="skops", code_paths=[tmp_path / "hf_extra.py"])
    with pytest.raises(UntrustedModelError, match="Importing code/"):
        holdfast.sklearn.load_model(f"models:/{name}/3")
    client.update_registered_model(name, pickle_forbidden=False)
    assert holdfast.sklearn.load_model(f"models:/{name}@prod")
    changes = [(c.kind, c.old_value, c.new_value) for c in client.get_model_history(name) if "PICKLE" in c.kind]
    assert changes == [("PICKLE_CHANGED", "forbidden", "allowed"), ("PICKLE_CHANGED", "allowed", "forbidden")]
    with pytest.raises(InvalidArgumentError, match="True or False"):
        client.update_registered_model(name, pickle_forbidden="yes")


@pytest.mark.parametrize("way", ["memory", "disk", "cache"])
def test_a_package_that_was_swapped_as_a_whole_is_refused(database, name, tmp_path, monkeypatch, way):
    if way == "cache":
        monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    good, evil = logged(name), logged()
    holdfast.sklearn.load_model(evil.model_uri)
    # MLmodel and all files of another package, true to each other, in the place of those that were registered.
    database.execute("UPDATE model_versions SET owner = ? WHERE model_id = ?", (evil.model_id, good.model_id))
    (tmp_path / "copy").mkdir()
    with pytest.raises(DataLossError, match="not those that were registered"):
        holdfast.sklearn.load_model(f"models:/{name}/1", dst_path=tmp_path / "copy" if way == "disk" else None)


@pytest.fixture
def directory(database, name, tmp_path):
    """The run of a version that is a directory of it."""
    holdfast.sklearn.save_model(MODEL, tmp_path / "m")
    with holdfast.start_run() as run:
        holdfast.log_text("hello", "notes/other.txt")
        holdfast.log_artifacts(tmp_path / "m", "in/model")
        holdfast.log_artifacts(tmp_path / "m", "in/package/model")
    holdfast.register_model(f"runs:/{run.info.run_id}/in/model", name)
    holdfast.register_model(f"runs:/{run.info.run_id}/in/package", name)
    return run.info.run_id


def test_a_version_of_a_directory_of_a_run_is_checked_by_itself(database, name, directory):
    uris = [f"models:/{name}/1", f"models:/{name}/2/model"]  # the second is inside what was registered
    database.execute("UPDATE model_versions SET tree_digest = zeroblob(32) WHERE owner = ?", (directory,))
    for uri in uris:
        assert holdfast.sklearn.load_model(uri).coef_.tolist() == MODEL.coef_.tolist()
    database.execute("UPDATE model_versions SET directory_digest = zeroblob(32) WHERE owner = ?", (directory,))
    for uri in uris:
        with pytest.raises(DataLossError, match="not those that were registered"):
            holdfast.sklearn.load_model(uri)


def test_a_version_that_an_older_server_made_is_checked_with_the_whole_run(database, name, directory):
    database.execute("UPDATE model_versions SET directory_digest = x'' WHERE owner = ?", (directory,))
    assert holdfast.sklearn.load_model(f"models:/{name}/1").coef_.tolist() == MODEL.coef_.tolist()
    database.execute("UPDATE model_versions SET tree_digest = zeroblob(32) WHERE owner = ?", (directory,))
    with pytest.raises(DataLossError, match="not those that were registered"):
        holdfast.sklearn.load_model(f"models:/{name}/1")


def test_a_file_changed_after_the_download_is_refused(database, tmp_path, monkeypatch):
    from holdfast.models import _remote

    info = logged()
    real = _remote.LocalFiles

    def tampered(folder, pinned):
        model = holdfast.models.MLmodel.load(folder)
        model.metadata = {"changed": True}
        model.digests = None  # and so nothing in the package contradicts it
        model.save(folder)
        return real(folder, pinned)

    monkeypatch.setattr(_remote, "LocalFiles", tampered)
    (tmp_path / "copy").mkdir()
    with pytest.raises(DataLossError, match="MLmodel is not the file that the server has"):
        holdfast.sklearn.load_model(info.model_uri, dst_path=tmp_path / "copy")


def test_what_is_no_directory_of_one_model_says_so(database):
    info = logged()
    with pytest.raises(NotFoundError, match="is a file; name the directory"):
        holdfast.sklearn.load_model(f"{info.model_uri}/MLmodel")
    with pytest.raises(NotFoundError, match="all artifacts of a run"):
        holdfast.sklearn.load_model(f"runs:/{info.run_id}")
    with holdfast.start_run() as run:
        holdfast.log_text("x", "d/f.txt")
    with pytest.raises(NotFoundError, match="has no MLmodel, so it holds no model"):
        holdfast.sklearn.load_model(f"runs:/{run.info.run_id}/d")


def test_large_files_and_many_files_are_read_into_memory(database, tmp_path):
    class Large(BaseEstimator):
        def __init__(self):
            self.data = np.arange(3 << 19)

        def predict(self, data):
            return data

    for number in range(40):
        (tmp_path / f"{number}.bin").write_bytes(os.urandom(1 << 20))
    files = [tmp_path / f"{number}.bin" for number in range(40)]
    with holdfast.start_run():
        info = holdfast.sklearn.log_model(Large(), name="m", extra_files=files)
    assert holdfast.sklearn.load_model(info.model_uri).data[-1] == (3 << 19) - 1
    with holdfast.models._reader.open_package(info.model_uri) as package:
        assert package.read("extra_files/39.bin") == files[39].read_bytes()
        assert len([name for name in package.files.names() if name.startswith("extra_files/")]) == 40


# The cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    return ModelCache(tmp_path / "cache", 1 << 30)


def test_nothing_is_kept_unless_asked(database, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HOLDFAST_CACHE", raising=False)
    holdfast.sklearn.load_model(logged().model_uri)
    assert not (tmp_path / "home").exists()


@pytest.fixture
def calls(monkeypatch):
    """What is sent to the server, by names of requests; streams are just that."""
    found = []
    call, run = Channel.call, Channel.run

    def called(self, method, request, **options):
        found.append(type(request).__name__.removesuffix("Request"))
        return call(self, method, request, **options)

    def ran(self, attempt, *, position=None, **options):
        found.extend(["a stream"] if position else [])
        return run(self, attempt, position=position, **options)

    monkeypatch.setattr(Channel, "call", called)
    monkeypatch.setattr(Channel, "run", ran)
    return found


def test_a_second_load_sends_only_what_resolves_it(database, name, cache, calls):
    info = logged(name)
    for uri, expected in (
        (f"models:/{name}/1", ["ResolveArtifact", "GetCapabilities"]),
        (info.model_uri, ["ResolveArtifact", "GetCapabilities", "GetTree"]),
    ):
        holdfast.sklearn.load_model(uri)
        calls.clear()
        assert holdfast.sklearn.load_model(uri).coef_.tolist() == MODEL.coef_.tolist()
        assert calls == expected
    assert cache.usage().files == 2  # MLmodel and the model, once for both URIs


def test_a_new_version_is_not_taken_for_the_old_one(database, name, cache):
    logged(name)
    assert holdfast.sklearn.load_model(f"models:/{name}/latest").C == 1.0
    with holdfast.start_run():
        holdfast.sklearn.log_model(LogisticRegression(C=5.0), name="m", registered_model_name=name)
    assert holdfast.sklearn.load_model(f"models:/{name}/latest").C == 5.0


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap"])
def test_a_damaged_entry_is_fetched_again(database, name, cache, tmp_path, damage):
    logged(name)
    uri = f"models:/{name}/1"
    holdfast.sklearn.load_model(uri)
    kept = sorted(file for file in (tmp_path / "cache").rglob("*") if file.is_file())
    assert len(kept) == 3
    contents = [file.read_bytes() for file in kept]
    for number, file in enumerate(kept):
        data = bytearray(contents[number])
        if damage == "flip":
            data[len(data) // 2] ^= 1
        file.write_bytes({"cut": data[:-1], "empty": b"", "swap": contents[number - 1]}.get(damage, bytes(data)))
    assert holdfast.sklearn.load_model(uri).coef_.tolist() == MODEL.coef_.tolist()
    assert [file.read_bytes() for file in kept] == contents


def test_the_rule_holds_for_what_is_cached(database, authenticated, name, cache):
    info = logged(name)
    by(database, "bob", info)
    assert holdfast.sklearn.load_model(info.model_uri, allow_pickle=True)
    with pytest.raises(UntrustedModelError):
        holdfast.sklearn.load_model(info.model_uri)


def test_a_cache_that_cannot_be_written_keeps_nothing_and_fails_nothing(database, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "file"))
    info = logged()
    assert holdfast.sklearn.load_model(info.model_uri)
    monkeypatch.setenv("HOLDFAST_CACHE_SIZE", "much")
    with pytest.raises(InvalidArgumentError, match="500M or 20G, not 'much'"):
        holdfast.sklearn.load_model(info.model_uri)


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("2k", 2048), ("3M", 3 << 20), ("4 GiB", 4 << 30), ("1TB", 1 << 40)]
)
def test_sizes_are_read(text, size):
    assert cache_size({"HOLDFAST_CACHE_SIZE": text}) == size
    assert cache_size({}) == 10 << 30


def digest(data):
    return bytes_digest(data)


def test_the_least_recently_used_go_first(tmp_path):
    cache = ModelCache(tmp_path / "c", 3_000)
    blobs = [bytes([number]) * 1_000 for number in range(4)]
    for number, data in enumerate(blobs[:3]):
        cache.put(digest(data), data)
        os.utime(cache._place("files", digest(data)), (number, number))
    assert cache.get(digest(blobs[0]), 1_000) == blobs[0]  # used now
    cache.put(digest(blobs[3]), blobs[3])
    assert [cache.get(digest(data), 1_000) is not None for data in blobs] == [True, False, True, True]
    assert cache.usage() == CacheUsage(files=3, size=3_000, capacity=3_000)
    cache.put(digest(b"x" * 3_001), b"x" * 3_001)  # larger than all of it
    assert cache.usage().files == 3
    assert cache.clear().files == 3
    assert cache.usage().size == 0


def test_what_a_dead_writer_left_goes(tmp_path):
    cache = ModelCache(tmp_path / "c", 10_000)
    (tmp_path / "c" / "new").mkdir(parents=True)
    for name, age in (("old", 100_000), ("young", 0)):
        (tmp_path / "c" / "new" / name).write_bytes(b"half")
        os.utime(tmp_path / "c" / "new" / name, (time.time() - age,) * 2)
    cache.put(digest(b"a"), b"a")
    assert [file.name for file in (tmp_path / "c" / "new").iterdir()] == ["young"]


def _use(directory, seed):
    cache = ModelCache(directory, 40_000)
    for number in range(150):
        data = bytes([(seed * 7 + number) % 90]) * 1_000
        found = cache.get(digest(data), 1_000)
        assert found is None or found == data
        if found is None:
            cache.put(digest(data), data)


def test_many_processes_share_a_cache(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_use, args=(tmp_path / "c", seed)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    cache = ModelCache(tmp_path / "c", 40_000)
    cache.put(digest(b"last"), b"last")
    assert cache.usage().size <= 40_000
    assert list((tmp_path / "c" / "new").iterdir()) == []


def test_the_command_shows_and_clears_it(tmp_path):
    cache = ModelCache(tmp_path / "c", 10 << 30)
    cache.put(digest(b"abc"), b"abc")
    environment = clean_environment({"HOLDFAST_CACHE": str(tmp_path / "c")})

    def run(*args, env=environment, expect=0):
        done = subprocess.run(
            [PROGRAM, "cache", *args], env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == expect, done.stderr
        return done.stdout + done.stderr

    assert run("show") == f"{tmp_path / 'c'} holds 1 file in 3 B of 10.0 GiB.\n"
    shown = json.loads(run("show", "--json"))
    assert shown == {"directory": str(tmp_path / "c"), "files": 1, "size": 3, "capacity": 10 << 30}
    assert run("clear") == "Removed 1 file, 3 B.\n"
    assert cache.usage().files == 0
    assert "set HOLDFAST_CACHE" in run("show", env=clean_environment(), expect=2)
