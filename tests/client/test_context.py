"""Where a run says that it comes from."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from holdfast import _context
from holdfast._context import context_tags
from holdfast._git import checkout_around


def git(directory, *args: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *args], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit_around(directory) -> str:
    checkout = checkout_around(str(directory))
    assert checkout is not None
    return checkout.commit


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main", "repo")
    repository = tmp_path / "repo"
    git(repository, "commit", "-q", "--allow-empty", "-m", "one")
    return repository


@pytest.fixture(autouse=True)
def _no_caches():
    yield
    _context._checkout_of.cache_clear()


def test_the_commit_of_a_branch(repository):
    (repository / "a" / "b").mkdir(parents=True)
    assert commit_around(repository / "a" / "b") == git(repository, "rev-parse", "HEAD")


def test_the_commit_of_packed_references(repository):
    git(repository, "pack-refs", "--all")
    assert commit_around(repository) == git(repository, "rev-parse", "HEAD")


def test_a_detached_commit_has_no_branch(repository):
    assert checkout_around(str(repository)).branch == "main"
    git(repository, "checkout", "-q", "--detach")
    assert commit_around(repository) == git(repository, "rev-parse", "HEAD")
    assert checkout_around(str(repository)).branch == ""


def test_the_commit_and_branch_of_a_worktree(repository, tmp_path):
    git(repository, "worktree", "add", "-q", "-b", "topic/side", str(tmp_path / "side"))
    git(tmp_path / "side", "commit", "-q", "--allow-empty", "-m", "two")
    assert commit_around(tmp_path / "side") == git(tmp_path / "side", "rev-parse", "HEAD")
    assert commit_around(tmp_path / "side") != commit_around(repository)
    assert checkout_around(str(tmp_path / "side")).branch == "topic/side"


def test_the_commit_of_a_branch_that_stands_for_another(repository):
    git(repository, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    git(repository, "symbolic-ref", "HEAD", "refs/heads/alias")
    assert commit_around(repository) == git(repository, "rev-parse", "HEAD")


def test_references_in_tables_are_asked_of_git(tmp_path):
    made = subprocess.run(
        ["git", "init", "-q", "-b", "main", "--ref-format=reftable", "repo"], cwd=tmp_path, check=False,
        capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("this git has no reftable")
    git(tmp_path / "repo", "commit", "-q", "--allow-empty", "-m", "one")
    assert commit_around(tmp_path / "repo") == git(tmp_path / "repo", "rev-parse", "HEAD")
    assert checkout_around(str(tmp_path / "repo")).branch == "main"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@example.org/a/b.git", "https://example.org/a/b.git"),
        ("https://example.org/a/b.git", "https://example.org/a/b.git"),
        ("ssh://git@example.org:22/a/b.git", "ssh://example.org:22/a/b.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("/srv/b.git", "/srv/b.git"),
    ],
)
def test_the_first_remote_is_told_without_secrets(repository, url, shown):
    assert checkout_around(str(repository)).url == ""
    git(repository, "config", "url.x.insteadOf", "y")
    git(repository, "remote", "add", "origin", url)
    git(repository, "remote", "add", "other", "https://example.org/other.git")
    assert checkout_around(str(repository)).url == shown


def test_no_commit_without_a_repository_or_before_the_first(tmp_path):
    assert checkout_around(str(tmp_path)) is None
    git(tmp_path, "init", "-q", "empty")
    assert checkout_around(str(tmp_path / "empty")) is None


def test_a_broken_repository_is_none(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert checkout_around(str(tmp_path)) is None


def test_git_itself_is_not_needed(repository, monkeypatch):
    commit = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", os.devnull)
    assert commit_around(repository) == commit


def test_no_tag_is_empty(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])
    tags = context_tags()
    assert tags["mlflow.source.name"] == "train.py"
    assert tags["mlflow.source.type"] == "LOCAL"
    assert all(tags.values())


def test_a_program_is_tagged_with_the_repository_it_lies_in(repository, monkeypatch, tmp_path):
    git(repository, "remote", "add", "origin", "https://example.org/b.git")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["repo/train.py"])
    tags = context_tags()
    commit = git(repository, "rev-parse", "HEAD")
    assert tags["mlflow.source.git.commit"] == commit
    assert tags["mlflow.source.git.branch"] == "main"
    assert tags["mlflow.source.git.repoURL"] == "https://example.org/b.git"
    git(repository, "commit", "-q", "--allow-empty", "-m", "made while the program runs")
    assert context_tags()["mlflow.source.git.commit"] == commit


def test_a_console_has_a_name_and_the_commit_of_its_directory(repository, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr("sys.argv", [""])
    assert context_tags()["mlflow.source.name"] == "<console>"
    git(repository, "commit", "-q", "--allow-empty", "-m", "made meanwhile")
    assert context_tags()["mlflow.source.git.commit"] == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize("told_by", ["server", "editor"])
def test_a_notebook_is_named_and_has_the_commit_of_its_directory(repository, monkeypatch, told_by):
    class ZMQInteractiveShell:
        user_ns = {"__vsc_ipynb_file__": "/home/me/train.ipynb"} if told_by == "editor" else {}

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=ZMQInteractiveShell))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if told_by == "server":
        monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/train.ipynb")
    monkeypatch.setattr("sys.argv", ["/usr/lib/python3/site-packages/ipykernel_launcher.py", "-f", "kernel.json"])
    monkeypatch.chdir(repository)
    tags = context_tags()
    assert tags["mlflow.source.name"] == "train.ipynb"
    assert tags["mlflow.source.type"] == "NOTEBOOK"
    assert tags["mlflow.source.git.commit"] == git(repository, "rev-parse", "HEAD")
