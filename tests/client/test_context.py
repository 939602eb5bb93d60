"""Where a run says that it comes from."""

from __future__ import annotations

import subprocess

import pytest

from holdfast._context import context_tags, git_commit


def git(directory, *args: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *args], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main", "repo")
    repository = tmp_path / "repo"
    git(repository, "commit", "-q", "--allow-empty", "-m", "one")
    return repository


def test_the_commit_of_a_branch(repository):
    (repository / "a" / "b").mkdir(parents=True)
    assert git_commit(str(repository / "a" / "b")) == git(repository, "rev-parse", "HEAD")


def test_the_commit_of_packed_references(repository):
    git(repository, "pack-refs", "--all")
    assert git_commit(str(repository)) == git(repository, "rev-parse", "HEAD")


def test_a_detached_commit(repository):
    git(repository, "checkout", "-q", "--detach")
    assert git_commit(str(repository)) == git(repository, "rev-parse", "HEAD")


def test_the_commit_of_a_worktree(repository, tmp_path):
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    git(tmp_path / "side", "commit", "-q", "--allow-empty", "-m", "two")
    assert git_commit(str(tmp_path / "side")) == git(tmp_path / "side", "rev-parse", "HEAD")
    assert git_commit(str(tmp_path / "side")) != git_commit(str(repository))


def test_no_commit_without_a_repository_or_before_the_first(tmp_path):
    assert git_commit(str(tmp_path)) == ""
    git(tmp_path, "init", "-q", "empty")
    assert git_commit(str(tmp_path / "empty")) == ""


def test_a_broken_repository_is_none(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert git_commit(str(tmp_path)) == ""


def test_no_tag_is_empty(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])
    tags = context_tags()
    assert tags["mlflow.source.name"] == "train.py"
    assert all(tags.values())
