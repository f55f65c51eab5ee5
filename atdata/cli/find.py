"""``atdata search | show | lenses | pull``: the index from a terminal.

All of them ask a search API: ``--api URL``, or ``ATDATA_API``. ``--dev`` allows http and loopback.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from atdata.cli.output import EXIT_FAILED, Json, console, named_errors, plain, print_json, say
from atdata.protocol.records import StorageKind
from atdata.protocol.views import DatasetDetail, DatasetView, FieldView, LensView, SizeView
from atdata.settings import configure

Api = Annotated[str | None, typer.Option("--api", help="Base URL of the search API.")]
Dev = Annotated[bool, typer.Option("--dev", help="Allow http and loopback addresses.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many results.")]


def _connect(api: str | None, dev: bool) -> None:
    configure(api=api, dev=dev or None)


def _size(size: SizeView) -> str:
    parts = []
    if size.samples is not None:
        parts.append(f"{size.samples:,} samples")
    if size.bytes is not None:
        parts.append(f"{size.bytes / 1e6:,.1f} MB")
    if size.shards is not None:
        parts.append(f"{size.shards:,} shards")
    return ", ".join(parts)


def _type(field: FieldView) -> str:
    """A field's type in Python's spelling."""
    name = {"ndarray": f"NDArray[{field.dtype}]" if field.dtype else "NDArray"}.get(field.kind)
    name = name or (field.items if field.kind == "array" and field.items else field.kind)
    return f"{name} | None" if field.optional else name


def _print_datasets(hits: list[DatasetView]) -> None:
    """A paragraph each: URIs are too long for columns, and are there to be copied whole."""
    out = console()
    for hit in hits:
        author, licence = hit.handle or hit.did, hit.license_spdx or hit.license
        facts = [author, licence or "no licence", _size(hit.size), ", ".join(hit.tags)]
        out.print(plain(hit.name), style="bold", soft_wrap=True)
        out.print("  " + " · ".join(plain(fact) for fact in facts if fact), soft_wrap=True)
        out.print("  " + hit.uri, soft_wrap=True)


@named_errors
def search(
    q: Annotated[str, typer.Argument(help="Words to look for; empty lists everything.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag (repeatable).")] = None,
    license_: Annotated[str | None, typer.Option("--license", help="Only this licence.")] = None,
    schema: Annotated[str | None, typer.Option(help="Only of this schema (AT URI).")] = None,
    author: Annotated[str | None, typer.Option(help="Only by this DID or handle.")] = None,
    storage: Annotated[StorageKind | None, typer.Option(help="external, blobs or s3.")] = None,
    limit: Limit = 25,
    json: Json = False,
    api: Api = None,
    dev: Dev = False,
) -> None:
    """Find datasets."""
    from atdata.discovery import search as find

    _connect(api, dev)
    results = find(
        q, tags=tag or (), license=license_, schema=schema, author=author, storage=storage
    )
    hits = [hit.view for hit in islice(results, limit)]
    if json:
        print_json({"hitsTotal": results.total, "datasets": hits})
        return
    _print_datasets(hits)
    say(f"{len(hits)} of {results.total} datasets")


def _print_detail(detail: DatasetDetail) -> None:
    out, view = console(), detail.dataset
    out.print(plain(view.name), style="bold")
    out.print(plain(view.description))
    rows = {
        "author": view.handle or view.did,
        "licence": plain(view.license_spdx or view.license) or "not stated",
        "tags": ", ".join(map(plain, view.tags)),
        "size": _size(view.size),
        "storage": view.storage_kind,
        "schema": view.schema_uri,
        "uri": view.uri,
        "cid": view.cid,
        "indexed": view.indexed_at,
    }
    for label, value in rows.items():
        if value:
            out.print(f"{label:>8}  {value}", soft_wrap=True)
    if detail.schema:
        out.print(f"\n{plain(detail.schema.name)} {plain(detail.schema.version)}", style="bold")
        for field in detail.schema.fields:
            out.print(f"    {plain(field.name)}: {_type(field)}")


@named_errors
def show(
    uri: Annotated[str, typer.Argument(help="AT URI of a dataset.")],
    json: Json = False,
    api: Api = None,
    dev: Dev = False,
) -> None:
    """One dataset, with its schema."""
    from atdata.api import get_dataset

    _connect(api, dev)
    detail = get_dataset(uri)
    if json:
        print_json(detail)
    else:
        _print_detail(detail)


def _print_lenses(found: list[LensView]) -> None:
    out = console()
    for item in found:
        facts = [item.handle or item.did, item.language, item.description]
        out.print(plain(item.name), style="bold", soft_wrap=True)
        out.print("  " + " · ".join(plain(fact) for fact in facts if fact), soft_wrap=True)
        out.print(f"  from {plain(item.source_schema)}", soft_wrap=True)
        out.print(f"    to {plain(item.target_schema)}", soft_wrap=True)


@named_errors
def lenses(
    source: Annotated[str | None, typer.Option(help="AT URI of the schema to start from.")] = None,
    target: Annotated[str | None, typer.Option(help="AT URI of the schema to arrive at.")] = None,
    limit: Limit = 25,
    json: Json = False,
    api: Api = None,
    dev: Dev = False,
) -> None:
    """Lenses by schema pair."""
    from atdata.api import find_lenses

    _connect(api, dev)
    found = list(islice(find_lenses(source=source, target=target), limit))
    if json:
        print_json({"lenses": found})
    else:
        _print_lenses(found)


@named_errors
def pull(
    ref: Annotated[str, typer.Argument(help="AT URI of a dataset, or @handle/name.")],
    library: Annotated[
        Path | None,
        typer.Argument(
            help="The library to keep it in (default: ATDATA_LIBRARY).", file_okay=False
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Shards at a time.")] = 4,
    json: Json = False,
    api: Api = None,
    dev: Dev = False,
) -> None:
    """Download a dataset into a library, every shard checked. Interrupted, it goes on next time."""
    from atdata.download import pull as download

    _connect(api, dev)
    try:
        files = download(ref, library, workers=workers)
    except OSError as error:
        say(f"atdata: {error}")
        raise typer.Exit(EXIT_FAILED) from error
    if json:
        print_json({"uri": ref, "files": [str(path) for path in files]})
    else:
        for path in files:
            console().print(str(path), soft_wrap=True)
