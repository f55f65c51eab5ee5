"""``atdata index run | record | replay | status``: the indexer without the API."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from atdata.cli.output import Json, console, named_errors, needs_servers, plain, print_json
from atdata.settings import DEFAULT_PLC

app = typer.Typer(help="The indexer: follow, record, replay, look.", no_args_is_help=True)

Plc = Annotated[str, typer.Option(help="The PLC directory.")]
Dev = Annotated[bool, typer.Option("--dev", help="Allow http and loopback addresses.")]


@app.command()
@named_errors
def run(
    source: Annotated[list[str], typer.Option(help="A relay or PDS, wss://host (repeatable).")],
    db: Annotated[Path, typer.Option(help="The index's DuckDB file.")] = Path("atdata.duckdb"),
    plc: Plc = DEFAULT_PLC,
    dev: Dev = False,
) -> None:
    """Index what the sources send, until ^C."""
    with needs_servers():
        from indexer.__main__ import configure_logging
        from indexer.__main__ import run as follow
        from indexer.config import IndexerConfig
    configure_logging()
    asyncio.run(follow(IndexerConfig(sources=tuple(source), db=db, plc=plc, dev=dev)))


@app.command()
@named_errors
def record(
    out: Annotated[Path, typer.Argument(help="A new directory.")],
    source: Annotated[list[str], typer.Option(help="name=wss://host (repeatable).")],
    plc: Plc = DEFAULT_PLC,
    dev: Dev = False,
    idle: Annotated[float, typer.Option(help="End after so many silent seconds.")] = 5.0,
    max_frames: Annotated[int | None, typer.Option(help="End after so many frames.")] = None,
    provenance: Annotated[str, typer.Option(help="How it came about, for the manifest.")] = "",
    json: Json = False,
) -> None:
    """Keep firehoses byte for byte, with the DID documents and blobs that belong to them."""
    with needs_servers():
        from indexer.__main__ import configure_logging
        from indexer.recordings import record as make
    configure_logging()
    sources = dict(pair.split("=", 1) for pair in source if "=" in pair)
    if len(sources) != len(source):
        raise typer.BadParameter("each --source is name=URL, with a name of its own")
    manifest = asyncio.run(
        make(
            sources,
            out,
            plc=plc,
            dev=dev,
            idle_seconds=idle,
            max_frames=max_frames,
            provenance=provenance,
        )
    )
    if json:
        print_json(asdict(manifest))
    else:
        frames = sum(item.frames for item in manifest.sources)
        console().print(f"{frames:,} frames in {out}")


@app.command()
@named_errors
def replay(
    folder: Annotated[Path, typer.Argument(help="A recording.")],
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 0,
    rate: Annotated[float | None, typer.Option(help="Frames per second and client.")] = None,
) -> None:
    """Serve a recording as a network of its own, until ^C. Prints its addresses as JSON."""
    with needs_servers():
        from indexer.__main__ import configure_logging
        from indexer.__main__ import replay as serve
    configure_logging()
    asyncio.run(serve(folder, host="127.0.0.1", port=port, rate=rate))


@app.command()
@named_errors
def status(
    db: Annotated[Path, typer.Option(help="The index's DuckDB file.")] = Path("atdata.duckdb"),
    json: Json = False,
) -> None:
    """What a database holds that no node has open (a running node answers getIndexStatus)."""
    with needs_servers():
        from indexer.__main__ import status as look
    found = look(db)
    if json:
        print_json(found)
    else:
        _print_status(found)


def _print_status(found: dict[str, Any]) -> None:
    out = console()
    for position in found["sources"]:
        out.print(f"{plain(position['url'])}: cursor {position['cursor']}", soft_wrap=True)
    for name in ("repos", "changes", "quarantined"):
        out.print(f"{name}: {found[name]:,}")
    for reason, count in sorted(found["drops"].items()):
        out.print(f"dropped {reason}: {count:,}")
