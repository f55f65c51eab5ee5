"""What every command prints with: JSON for programs, tables for people, errors on stderr."""

from __future__ import annotations

import functools
import json
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from atdata.protocol.errors import AtdataError
from atdata.protocol.views import to_json

P = ParamSpec("P")
R = TypeVar("R")

EXIT_FAILED = 1

# What a process that starts itself anew tells the next one (indexer/restart).
Restarted = Annotated[str | None, typer.Option("--restarted", hidden=True)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def console() -> Console:
    """For people, on standard output."""
    return Console(highlight=False, emoji=False, markup=False)


def print_json(value: Any) -> None:
    """One JSON document, for programs."""
    sys.stdout.write(json.dumps(to_json(value), indent=2, ensure_ascii=False) + "\n")


def plain(text: str | None) -> str:
    """Text from the network for a terminal: controls and bidi marks become visible, never act."""
    return "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in {"Cc", "Cf", "Cs"} else c
        for c in text or ""
    )


def say(message: str) -> None:
    """A note for people, on standard error."""
    sys.stderr.write(message + "\n")


def named_errors(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose named errors end it with one line and status 1, not with a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except AtdataError as error:
            say(f"atdata: {error}")
            raise typer.Exit(EXIT_FAILED) from error

    return run


@contextmanager
def needs_servers() -> Iterator[None]:
    """Around the imports of a command that runs the servers."""
    try:
        yield
    except ImportError as error:
        say(f"atdata: this command needs the servers: pip install 'atdata[all]' ({error})")
        raise typer.Exit(EXIT_FAILED) from error


@contextmanager
def bar(title: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error, if that is a terminal. Call what it gives with how many are
    done and how many there will be (None if nobody knows)."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    terminal = Console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=terminal, disable=not terminal.is_terminal
    ) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
