"""Where a Python function's code lives: its file, and the git checkout's origin and commit.

Read from git's own files; git itself is not run. Rule: what is published must not contain a
password, nor a path of this machine outside of the checkout.
"""

from __future__ import annotations

import configparser
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from atdata.protocol.records import CodeRef

MAX_GIT_FILE = 10_000_000


def code_of(function: Callable[..., Any]) -> CodeRef:
    """``file.py:function`` in its checkout. Without one, repository and commit are empty."""
    name = function.__qualname__
    try:
        file = Path(inspect.getfile(function)).resolve()
    except (TypeError, OSError):
        return CodeRef("", "", f"{function.__module__}:{name}"[:500])
    root = next((folder for folder in file.parents if (folder / ".git").exists()), None)
    if root is None:
        return CodeRef("", "", f"{file.name}:{name}"[:500])
    git = _git_folder(root / ".git")
    path = f"{file.relative_to(root).as_posix()}:{name}"
    return CodeRef(_origin(git), _commit(git), path[:500])


def _git_folder(git: Path) -> Path:
    """A worktree has a file there that names the folder."""
    if git.is_dir():
        return git
    text = _read(git)
    return (git.parent / text.removeprefix("gitdir:").strip()).resolve()


def _common(git: Path) -> Path:
    """Where worktrees share their configuration and references."""
    shared = _read(git / "commondir").strip()
    return (git / shared).resolve() if shared else git


def _origin(git: Path) -> str:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string("\n".join(map(str.strip, _read(_common(git) / "config").splitlines())))
    except configparser.Error:
        return ""
    url = parser.get('remote "origin"', "url", fallback="") or ""
    return without_credentials(url)[:500]


def without_credentials(url: str) -> str:
    """A remote's URL without user and password. A path of this machine becomes empty."""
    if "://" not in url:  # git@host:owner/name, or a path
        host, colon, path = url.rpartition("@")[2].partition(":")
        return f"https://{host}/{path}" if colon and "/" not in host else ""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _commit(git: Path) -> str:
    head = _read(git / "HEAD").strip()
    if not head.startswith("ref:"):
        return head[:40]
    name = head.removeprefix("ref:").strip()
    loose = _read(_common(git) / name).strip()
    if loose:
        return loose[:40]
    for line in _read(_common(git) / "packed-refs").splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return commit[:40]
    return ""


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_GIT_FILE)
    except OSError:
        return ""
