"""Logging and reading artifacts through the client and the fluent functions."""

from __future__ import annotations

import hashlib
import io
import json
from concurrent import futures
from pathlib import Path

import pytest

import holdfast
from holdfast import artifacts
from holdfast.entities import FileInfo
from holdfast.errors import InvalidArgumentError, NotFoundError


@pytest.fixture(autouse=True)
def _connected(fluent):
    """The functions under test use the process's client."""


def test_files_and_directories_land_where_mlflow_puts_them(client, run_id, tmp_path):
    tree = tmp_path / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "a.txt").write_text("a")
    client.log_artifact(run_id, tree / "a.txt")
    client.log_artifact(run_id, str(tree), "below")
    client.log_artifacts(run_id, tree, "contents")
    assert client.list_artifacts(run_id) == [
        FileInfo("a.txt", is_dir=False, file_size=1, digest=hashlib.sha256(b"a").hexdigest()),
        FileInfo("below", is_dir=True, file_size=None),
        FileInfo("contents", is_dir=True, file_size=None),
    ]
    assert [entry.path for entry in client.list_artifacts(run_id, "below/tree")] == [
        "below/tree/a.txt",
        "below/tree/empty",
    ]
    assert [entry.path for entry in artifacts.list_artifacts(f"runs:/{run_id}/contents")] == [
        "contents/a.txt",
        "contents/empty",
    ]


def test_what_is_logged_is_what_is_read(run_id):
    base = f"runs:/{run_id}"
    holdfast.log_text("grüße\n", "t/a.txt", run_id)
    holdfast.log_dict({"a": [1]}, "d.yaml", run_id)
    holdfast.log_dict({"a": [2]}, "d.json", run_id)
    holdfast.log_bytes(b"\0\1", "b.bin", run_id)
    holdfast.log_stream(io.BytesIO(b"x" * 100_000), "s.bin", run_id)
    assert artifacts.load_text(f"{base}/t/a.txt") == "grüße\n"
    assert artifacts.load_dict(f"{base}/d.yaml") == {"a": [1]}
    assert artifacts.load_dict(f"{base}/d.json") == {"a": [2]}
    with artifacts.open(f"{base}/b.bin") as reader:
        assert reader.read() == b"\0\1"
    with artifacts.open(f"{base}/s.bin", "rb") as reader:
        assert (reader.seek(-5, io.SEEK_END), reader.read()) == (99_995, b"xxxxx")
    with artifacts.open(f"{base}/t/a.txt", "r") as reader:
        assert reader.read() == "grüße\n"
    with pytest.raises(InvalidArgumentError, match="for reading"):
        artifacts.open(f"{base}/b.bin", "wb")


def test_a_run_logs_and_fetches_its_own(client, run_id, tmp_path):
    run = client.get_run(run_id)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "f").write_bytes(b"f")
    run.log_artifact(tmp_path / "in" / "f", "one")
    run.log_artifacts(tmp_path / "in", "two")
    run.log_text("t", "t.txt")
    run.log_dict({}, "d.json")
    run.log_bytes(b"b", "b.bin")
    run.log_stream(io.BytesIO(b"s"), "s.bin")
    run.log_table({"a": [1]}, "t.json")
    assert sorted(entry.path for entry in run.list_artifacts()) == [
        "b.bin", "d.json", "one", "s.bin", "t.json", "t.txt", "two",
    ]  # fmt: skip
    local = run.download_artifacts("one", tmp_path / "out")
    assert (local / "f").read_bytes() == b"f"


def test_downloads_take_a_uri_or_a_run_with_a_path(run_id, tmp_path):
    holdfast.log_text("x", "dir/x.txt", run_id)
    for path in (
        artifacts.download_artifacts(f"runs:/{run_id}/dir/x.txt", dst_path=tmp_path / "a"),
        artifacts.download_artifacts(run_id=run_id, artifact_path="dir/x.txt", dst_path=str(tmp_path / "b")),
        artifacts.download_artifacts(run_id=run_id, artifact_path="dir/x.txt"),
    ):
        assert isinstance(path, str)
        assert Path(path).read_text() == "x"
    whole = Path(artifacts.download_artifacts(run_id=run_id, dst_path=tmp_path / "c"))
    assert (whole / "dir" / "x.txt").read_text() == "x"


@pytest.mark.parametrize(
    "arguments",
    [{}, {"artifact_uri": "runs:/x", "run_id": "x"}, {"artifact_uri": "runs:/x", "artifact_path": "y"}],
    ids=["nothing", "both", "path beside the URI"],
)
def test_artifacts_are_named_in_one_way(arguments):
    with pytest.raises(InvalidArgumentError):
        artifacts.download_artifacts(**arguments)


def test_a_missing_file_begins_no_run(name, tmp_path):
    experiment = holdfast.set_experiment(name)
    with pytest.raises(FileNotFoundError):
        holdfast.log_artifact(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        holdfast.log_artifacts(tmp_path / "absent")
    assert holdfast.active_run() is None
    assert holdfast.search_runs([experiment.experiment_id], output_format="list") == []


def test_unknown_runs_and_files_are_not_found(run_id, tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(NotFoundError) as info:
        holdfast.log_artifact(tmp_path / "f", run_id="0" * 32)
    assert info.value.reason == "RUN_NOT_FOUND"
    with pytest.raises(NotFoundError) as info:
        artifacts.load_text(f"runs:/{run_id}/absent")
    assert info.value.reason == "FILE_NOT_FOUND"


def test_logging_without_a_run_begins_one(name, tmp_path):
    holdfast.set_experiment(name)
    (tmp_path / "f").write_text("x")
    holdfast.log_artifact(tmp_path / "f")
    run = holdfast.active_run()
    assert [entry.path for entry in run.list_artifacts()] == ["f"]


def test_files_of_the_wrong_kind_say_so(run_id):
    holdfast.log_bytes(b"\xff", "a.json", run_id)
    holdfast.log_text("{", "b.json", run_id)
    holdfast.log_text("{", "c.yaml", run_id)
    for file, message in (("a.json", "UTF-8"), ("b.json", "not JSON"), ("c.yaml", "not YAML")):
        with pytest.raises(InvalidArgumentError, match=message):
            artifacts.load_dict(f"runs:/{run_id}/{file}")


def test_artifacts_are_deleted(client, fluent, run_id):
    for path in ("a/b/one", "a/two", "three"):
        client.log_text(run_id, path, path)
    client.delete_artifacts(run_id, "a/b")
    assert [f.path for f in client.list_artifacts(run_id, "a")] == ["a/two"]
    holdfast.artifacts.delete_artifacts(run_id, "three")
    assert [f.path for f in client.list_artifacts(run_id)] == ["a"]
    holdfast.artifacts.delete_artifacts(run_id)
    assert client.list_artifacts(run_id) == []
    client.delete_artifacts(run_id)  # nothing is left, which is what was asked for


@pytest.mark.parametrize("path", ["", "../a", "a//b", 7])
def test_a_bad_path_deletes_nothing(client, run_id, path):
    client.log_text(run_id, "x", "a")
    with pytest.raises(InvalidArgumentError, match="is refused"):
        client.delete_artifacts(run_id, path)
    with pytest.raises(NotFoundError, match="no file or directory 'b'"):
        client.delete_artifacts(run_id, "b")
    assert [f.path for f in client.list_artifacts(run_id)] == ["a"]


def test_tables_grow_with_each_call(run_id):
    holdfast.log_table({"q": ["a"], "n": [1]}, "t.json", run_id)
    holdfast.log_table({"q": ["b"], "n": [2]}, "t.json", run_id)
    assert artifacts.load_dict(f"runs:/{run_id}/t.json") == {"columns": ["q", "n"], "data": [["a", 1], ["b", 2]]}


def test_rows_of_concurrent_writers_are_all_kept(client, run_id):
    with futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: client.log_table(run_id, {"n": [number]}, "t.json"), range(12)))
    rows = json.loads(client.artifacts.read_bytes(f"runs:/{run_id}/t.json"))["data"]
    assert sorted(row[0] for row in rows) == list(range(12))


def test_a_table_of_an_unknown_run_is_not_begun():
    with pytest.raises(NotFoundError) as info:
        holdfast.log_table({"a": [1]}, "t.json", "0" * 32)
    assert info.value.reason == "RUN_NOT_FOUND"


def test_figures_and_images_are_logged(client, run_id):
    class Figure:
        """What log_figure needs of a figure of matplotlib."""

        def savefig(self, file, **options):
            file.write(json.dumps(options).encode())

    client.log_figure(run_id, Figure(), "plots/a.png", save_kwargs={"dpi": 50})
    with holdfast.start_run() as run:
        holdfast.log_figure(Figure(), "b.svg")
    assert artifacts.load_dict(f"runs:/{run.info.run_id}/b.svg") == {"format": "svg"}
    assert artifacts.load_dict(f"runs:/{run_id}/plots/a.png") == {"format": "png", "dpi": 50}
    with pytest.raises(InvalidArgumentError, match="either artifact_file, or key"):
        client.log_image(run_id, None)
    with pytest.raises(InvalidArgumentError, match="with key only"):
        client.log_image(run_id, None, "a.png", step=1)


def test_images_round_trip(client, run_id):
    pytest.importorskip("PIL")
    np = pytest.importorskip("numpy")
    client.log_image(run_id, np.full((2, 2, 3), 7, np.uint8), "a.png")
    assert artifacts.load_image(f"runs:/{run_id}/a.png").getpixel((0, 0)) == (7, 7, 7)
    client.log_image(run_id, np.zeros((2, 2)), key="val/x", step=3)
    (entry,) = client.list_artifacts(run_id, "images")
    assert entry.path.startswith("images/val#x+step+3+")


def test_models_have_artifacts_of_their_own(client, experiment_id, run_id, tmp_path):
    (tmp_path / "MLmodel").write_text("x")
    model = client.create_logged_model(experiment_id, "forest", source_run_id=run_id)
    client.log_model_artifacts(model.model_id, tmp_path)
    client.finalize_logged_model(model.model_id, "READY")
    for uri in (model.model_uri, f"runs:/{run_id}/forest"):
        assert artifacts.load_text(f"{uri}/MLmodel") == "x"
    version = holdfast.register_model(f"runs:/{run_id}/forest", f"name-{run_id}", tags={"a": "b"})
    assert (version.version, version.tags) == ("1", {"a": "b"})
    assert artifacts.load_text(f"models:/name-{run_id}/1/MLmodel") == "x"
    assert "forest" in [entry.path for entry in client.list_artifacts(run_id)]
