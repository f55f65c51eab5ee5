"""``atdata index …``: the indexer without the API, and what people ask of a file that is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atdata.cli.output import (
    Json,
    Restarted,
    bar,
    console,
    named_errors,
    needs_servers,
    plain,
    print_json,
)
from atdata.settings import DEFAULT_PLC

if TYPE_CHECKING:
    from indexer.at_rest import AtRest
    from indexer.batch import Position
    from indexer.sweep import SweepState

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
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Serve Prometheus metrics on 127.0.0.1:PORT."),
    ] = None,
    restarted: Restarted = None,
) -> None:
    """Index what the sources send, until ^C."""
    with needs_servers():
        from indexer.__main__ import follow
        from indexer.config import IndexerConfig
        from indexer.logs import configure_logging
        from indexer.machine import cores
    configure_logging()
    config = IndexerConfig(sources=tuple(source), db=db, plc=plc, dev=dev)
    follow(config.on(cores()), metrics_port=metrics_port, restarted=restarted)


@app.command()
@named_errors
def load(
    folder: Annotated[Path, typer.Argument(help="A recording.")],
    db: Annotated[Path, typer.Option(help="The index's DuckDB file.")] = Path("atdata.duckdb"),
    port: Annotated[int, typer.Option(help="Port of the recording's network (0: any).")] = 0,
) -> None:
    """Index a recording from its files, and end."""
    with needs_servers():
        from indexer.loading import load as index
        from indexer.logs import configure_logging
    configure_logging()
    console().print(f"{asyncio.run(index(folder, db, port=port)):,} records")


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
        from indexer.logs import configure_logging
        from indexer.recordings import record as make
    configure_logging()
    sources = dict(pair.split("=", 1) for pair in source if "=" in pair)
    if len(sources) != len(source):
        raise typer.BadParameter("each --source is name=URL, with a name of its own")
    with bar("record", "frames") as progress:
        manifest = asyncio.run(
            make(
                sources,
                out,
                plc=plc,
                dev=dev,
                idle_seconds=idle,
                max_frames=max_frames,
                provenance=provenance,
                progress=lambda frames: progress(frames, max_frames),
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
        from indexer.__main__ import replay as serve
        from indexer.logs import configure_logging
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
        from indexer.at_rest import status as look
    found = look(db)
    if json:
        print_json(asdict(found))
        return
    for line in _status_lines(found):
        console().print(plain(line), soft_wrap=True)


def _status_lines(found: AtRest) -> Iterator[str]:
    for position in found.sources:
        yield f"{position.url}: {_source(position)}"
    repos, kept = found.repos_by_state, sum(found.quarantine.values())
    yield (
        f"repos: {found.repos:,} ({repos.synced:,} synced, {repos.new:,} new, "
        f"{repos.desynchronized:,} desynchronized, {repos.inactive:,} inactive; "
        f"{repos.failing:,} could not be fetched the last time)"
    )
    yield f"open gaps: {found.open_gaps:,}"
    yield f"sweep: {'none has ended' if found.sweep is None else _sweep(found.sweep)}"
    yield f"changes: {found.changes:,}"
    yield f"quarantined: {kept:,}{_by_reason(found.quarantine)}"
    yield f"invalid records: {found.invalid:,}"
    for reason, count in sorted(found.drops.items()):
        yield f"dropped {reason}: {count:,}"


def _source(position: Position) -> str:
    words = [f"cursor {position.cursor}"]
    if position.event_time is not None:
        words.append(f"last event of {_time(position.event_time)}")
    if position.gaps:
        still = sum(gap.healed_at is None for gap in position.gaps)
        words.append(f"{len(position.gaps):,} gaps, {still:,} of them open")
    if position.halted_because is not None:
        words.append(f"HALTED: {position.halted_because}")
    return ", ".join(words)


def _sweep(sweep: SweepState) -> str:
    ended = "–" if sweep.finished_at is None else _time(sweep.finished_at)
    every = "" if sweep.period is None else f", one every {sweep.period:,} s"
    return (
        f"the last one ended {ended}{every}; {sweep.listed:,} repos listed, {sweep.checked:,} "
        f"compared; healed {sweep.healed:,} ({sweep.adopted:,} unknown, {sweep.differing:,} "
        f"differing, {sweep.gone:,} gone); failed: {sweep.unreachable:,} repos not reached, "
        f"{sweep.unlisted:,} sources not listed"
    )


def _by_reason(kept: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(kept.items()))
    return f" ({reasons})" if reasons else ""


def _time(at: int) -> str:
    """Microseconds since 1970 as people read them."""
    return f"{datetime.fromtimestamp(at // 1_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


quarantine = typer.Typer(help="What was not indexed, and why.", no_args_is_help=True)
app.add_typer(quarantine, name="quarantine")

Db = Annotated[Path, typer.Option(help="The index's DuckDB file; no process may have it open.")]
DEFAULT_DB = Path("atdata.duckdb")


@app.command()
@named_errors
def resync(did: Annotated[str, typer.Argument(help="A DID.")], db: Db = DEFAULT_DB) -> None:
    """Have the next run fetch this repo whole."""
    with needs_servers():
        from indexer import admin
    state = admin.resync(db, did)
    away = f"is {state.status or 'inactive'}: it is fetched when its account is active again"
    console().print(plain(f"{did} {'is queued' if state.active else away}"), soft_wrap=True)


@app.command()
@named_errors
def snapshot(db: Db = DEFAULT_DB, json: Json = False) -> None:
    """Keep what the index holds now, as Parquet files that prove themselves, beside it."""
    with needs_servers():
        from indexer import admin
    made = admin.snapshot(db)
    if json:
        print_json({"snapshot": str(made.path), **asdict(made.manifest)})
    else:
        console().print(f"{made.path}: {made.manifest.rows:,} rows", soft_wrap=True)


@app.command()
@named_errors
def restore(
    name: Annotated[str | None, typer.Argument(help="A snapshot; none: the newest good.")] = None,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Put a snapshot in the place of the index; what was there is set aside. The next run goes on
    from the snapshot's cursors."""
    with needs_servers():
        from indexer import admin
        from indexer.logs import configure_logging
    configure_logging()
    made = admin.restore(db, name)
    if json:
        print_json(asdict(made))
    else:
        console().print(f"{db} is restored; set aside: {made.set_aside or '-'}", soft_wrap=True)


@app.command()
@named_errors
def requeue(db: Db = DEFAULT_DB) -> None:
    """Judge invalid records again. Where their bytes were not kept, the next run fetches them."""
    with needs_servers():
        from indexer import admin
    found = admin.requeue(db)
    console().print(
        f"{found.valid:,} records are valid now, {found.invalid:,} are not; "
        f"{len(found.to_fetch):,} repos are queued"
    )


@app.command()
@named_errors
def verify(
    did: Annotated[list[str] | None, typer.Argument(help="DIDs; none: all.")] = None,
    db: Db = DEFAULT_DB,
    plc: Plc = DEFAULT_PLC,
    dev: Dev = False,
    json: Json = False,
) -> None:
    """Compare the index with the accounts' PDSes, record by record, and with what its sources list.
    Ends with 1 if they differ."""
    with needs_servers():
        from indexer import admin
        from indexer.config import IndexerConfig
    found = admin.differences(IndexerConfig(db=db, plc=plc, dev=dev), tuple(did or ()))
    if json:
        print_json([asdict(item) for item in found])
    else:
        for item in found:
            line = f"{item.uri}: index {item.ours}, PDS {item.theirs}"
            console().print(plain(line), soft_wrap=True)
    if found:
        raise typer.Exit(1)


@quarantine.command("list")
@named_errors
def list_quarantine(
    db: Db = DEFAULT_DB,
    limit: Annotated[int, typer.Option(help="At most so many, the newest.")] = 100,
    json: Json = False,
) -> None:
    """What is kept, the newest first."""
    with needs_servers():
        from indexer import admin
    kept = admin.quarantined(db, limit)
    if json:
        print_json([{**asdict(item), "frame": len(item.frame)} for item in kept])
        return
    for item in kept:
        line = f"{item.id} {item.reason} {item.did or '-'}: {item.detail}"
        console().print(plain(line), soft_wrap=True)


@quarantine.command()
@named_errors
def show(
    row: Annotated[int, typer.Argument(help="The number in the list.")], db: Db = DEFAULT_DB
) -> None:
    """One drop with its bytes, in hexadecimal, as JSON."""
    with needs_servers():
        from indexer import admin
    kept = admin.quarantined_row(db, row)
    print_json({**asdict(kept), "frame": kept.frame.hex()})


@quarantine.command("replay")
@named_errors
def replay_quarantine(
    row: Annotated[int | None, typer.Argument(help="The number in the list; none: all.")] = None,
    db: Db = DEFAULT_DB,
    plc: Plc = DEFAULT_PLC,
    dev: Dev = False,
) -> None:
    """Judge what is kept again, as if it came now."""
    with needs_servers():
        from indexer import admin
        from indexer.config import IndexerConfig
    gone = admin.replay(IndexerConfig(db=db, plc=plc, dev=dev), row)
    console().print(f"{gone:,} let go of")
