"""One command puts back the database of before a migration."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.backup.conftest import Backend, Command, log_files, new_contents, read_all
from tests.server_process import running_server

from holdfast._client import Client
from holdfast_server.storage.sql.migrate import migrations

# A newer version of the server, with two migrations more.
NEWER = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from tests.storage.migrating_program import add_later_migrations
add_later_migrations()
from holdfast_server.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def newer(tmp_path: Path) -> list[str]:
    """The command of the newer server."""
    program = tmp_path / "newer.py"
    program.write_text(NEWER)
    return [sys.executable, str(program), str(Path(__file__).parents[2])]


def test_the_database_of_before_a_migration_is_put_back(
    local_backend: Backend, holdfast: Command, newer: list[str], tmp_path: Path
) -> None:
    contents, data_dir = new_contents(), local_backend.data_dir
    roll_back = ("restore", "--before-migration", data_dir)
    with local_backend.server(), Client(local_backend.uri) as client:
        run_id = log_files(client, tmp_path / "set", contents)
    assert "no copy in" in holdfast(*roll_back, expect=1).stderr
    with local_backend.server(command=newer), Client(local_backend.uri) as client:
        assert client.get_run(run_id).info.run_name == "changed"
        later = log_files(client, tmp_path / "later", {"later": b"later"})
        assert "A server is using" in holdfast(*roll_back, expect=1).stderr
    with pytest.raises(AssertionError, match="A newer Holdfast wrote this database"), local_backend.server():
        pass
    done = holdfast.json(*roll_back)
    assert (done["missing"], done["schema"]) == (0, migrations()._migrations[-1].name)
    assert Path(done["kept"]).is_file()
    assert Path(done["kept"]).parent == data_dir
    with local_backend.server(), Client(local_backend.uri) as client:
        assert client.get_run(run_id).info.run_name != "changed"
        assert read_all(client, run_id, list(contents)) == contents
        assert later not in {run.info.run_id for run in client.search_runs(["0"])}
        assert client.check_storage(deep=True).problems == 0
    assert "no copy in" in holdfast(*roll_back, expect=1).stderr
    with local_backend.server(command=newer), Client(local_backend.uri) as client:
        assert client.get_run(run_id).info.run_name == "changed"


def test_a_rollback_after_gc_tells_what_the_store_lacks(
    local_backend: Backend, holdfast: Command, newer: list[str], tmp_path: Path
) -> None:
    with local_backend.server(), Client(local_backend.uri) as client:
        run_id = log_files(client, tmp_path / "set", new_contents())
    with local_backend.server(command=newer), Client(local_backend.uri) as client:
        client.delete_run(run_id)
        client.collect_garbage(grace=0, purge_deleted=0)
    done = holdfast("restore", "--before-migration", local_backend.data_dir, expect=1)
    assert "3 objects that it needs are not in the store any more" in done.stderr
    with local_backend.server(), Client(local_backend.uri) as client:
        assert client.check_storage().problems > 0


def test_a_server_that_was_killed_leaves_a_database_to_be_kept_whole(
    local_backend: Backend, holdfast: Command, newer: list[str], tmp_path: Path
) -> None:
    with local_backend.server(), Client(local_backend.uri) as client:
        log_files(client, tmp_path / "set", {"file": b"content"})
    with local_backend.server(command=newer) as server, Client(local_backend.uri) as client:
        later = log_files(client, tmp_path / "later", {"later": b"later"})
        server.process.kill()
        server.process.wait()
    kept = Path(holdfast.json("restore", "--before-migration", local_backend.data_dir)["kept"])
    assert not list(local_backend.data_dir.glob("*-wal"))
    kept.replace(local_backend.data_dir / "holdfast.db")
    with running_server(*local_backend.arguments, command=newer), Client(local_backend.uri) as client:
        assert read_all(client, later, ["later"]) == {"later": b"later"}
