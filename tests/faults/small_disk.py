"""A file system of a few megabytes that is really full when it is full: a tmpfs in a mount
namespace of its own, which nobody else sees, and which is gone with the process that holds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_NAMESPACES = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
_MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$0" && echo mounted && exec cat'
_BALLAST = "ballast"


@dataclass(frozen=True)
class SmallDisk:
    """``folder`` is where it is to the commands that run ``inside``, ``seen`` where it is to all
    others; DuckDB can't follow the latter."""

    folder: Path
    seen: Path
    holder: int

    def inside(self, *command: str) -> list[str]:
        """``command``, run in this working directory by a process that sees the disk."""
        entered = [name for name in _NAMESPACES if name != "--map-root-user"]
        kept = ["--preserve-credentials"] if "--user" in entered else []
        target = ["--target", str(self.holder), f"--wd={Path.cwd()}"]
        return ["nsenter", *entered, *kept, *target, "--", *command]

    @property
    def free(self) -> int:
        """In bytes."""
        return shutil.disk_usage(self.seen).free

    def fill(self, room: int) -> None:
        """Take all but ``room`` bytes."""
        with (self.seen / _BALLAST).open("ab") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, ballast.tell() + self.free - room)

    def make_room(self) -> None:
        """Give back what ``fill`` took."""
        (self.seen / _BALLAST).unlink()

    def names(self) -> set[str]:
        """Of what lies on the disk."""
        return {path.name for path in self.seen.iterdir()} - {_BALLAST}


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[SmallDisk]:
    """One of ``size`` bytes at ``folder``, which is made, for the time of the block."""
    folder.mkdir()
    command = ["unshare", *_NAMESPACES, "sh", "-c", _MOUNT, str(folder), str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"mounted\n"
            seen = Path(f"/proc/{holder.pid}/root{folder.resolve()}")
            yield SmallDisk(folder, seen, holder.pid)
        finally:
            holder.stdin.close()


def missing() -> str | None:
    """Why there can be none on this machine; None if there can."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "no unshare and nsenter"
    command = ["unshare", *_NAMESPACES, "sh", "-c", _MOUNT, tempfile.gettempdir(), "4096"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return None if done.returncode == 0 else "nothing may be mounted"
