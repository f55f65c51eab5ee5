"""Where a function's code lives, as git's own files say it."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from atdata.atmosphere.code import code_of, without_credentials
from atdata.protocol.records import CodeRef


@pytest.mark.parametrize(
    ("remote", "published"),
    [
        ("https://github.com/org/repo", "https://github.com/org/repo"),
        ("https://user:token@github.com/org/repo.git", "https://github.com/org/repo.git"),
        ("https://token@host:8443/org/repo?private=1#x", "https://host:8443/org/repo"),
        ("git@github.com:org/repo.git", "https://github.com/org/repo.git"),
        ("ssh://git@host/org/repo", "ssh://host/org/repo"),
        ("file:///home/person/repo", ""),
        ("/home/person/repo", ""),
        ("../elsewhere", ""),
        ("", ""),
    ],
)
def test_no_credential_and_no_local_path_is_published(remote: str, published: str) -> None:
    assert without_credentials(remote) == published


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@h", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def module_in(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("somebodys_lenses", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "lenses").mkdir(parents=True)
    (root / "lenses" / "simplify.py").write_text("def getter(sample):\n    return sample\n")
    git(root, "init", "--quiet")
    git(root, "remote", "add", "origin", "https://me:secret@git.example.org/me/lenses.git")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "a lens")
    return root


def test_a_function_in_a_checkout(checkout: Path) -> None:
    function = module_in(checkout / "lenses" / "simplify.py").getter
    expected = CodeRef(
        "https://git.example.org/me/lenses.git",
        git(checkout, "rev-parse", "HEAD"),
        "lenses/simplify.py:getter",
    )
    assert code_of(function) == expected
    git(checkout, "pack-refs", "--all")
    assert code_of(function) == expected
    git(checkout, "checkout", "--quiet", "--detach")
    assert code_of(function) == expected


def test_a_function_in_a_worktree(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "worktree", "add", "--quiet", str(tmp_path / "tree"), "-b", "other")
    code = code_of(module_in(tmp_path / "tree" / "lenses" / "simplify.py").getter)
    assert code.repository == "https://git.example.org/me/lenses.git"
    assert code.commit == git(checkout, "rev-parse", "HEAD")


def test_a_function_outside_of_any_checkout(tmp_path: Path) -> None:
    (tmp_path / "loose.py").write_text("def getter(sample):\n    return sample\n")
    assert code_of(module_in(tmp_path / "loose.py").getter) == CodeRef("", "", "loose.py:getter")
    assert code_of(len).path == "builtins:len"
