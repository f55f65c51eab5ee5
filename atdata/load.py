"""From a reference to samples: find the record, decode its type, stream its shards.

Rule: whoever answers, a record is held against its CID and a blob against its own; shards at URLs
from the network are fetched over https by the guarded client, and nothing else is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, TypeVar

from atdata import api as search_api
from atdata.atmosphere.entries import DatasetEntry
from atdata.atmosphere.repository import resolve_repo
from atdata.blob_fetch import MAX_BLOB_BYTES
from atdata.buckets import bucket_urls
from atdata.dataset import Dataset, OnError
from atdata.dict_sample import DictSample
from atdata.find import FoundDataset, HasUri, fetch_schema, find_dataset
from atdata.index import DataSource
from atdata.lens import Lens
from atdata.lens_code import TrustedLens, code_lens, how_to_trust
from atdata.lens_path import find_lens_path
from atdata.local_lenses import local_start
from atdata.protocol.errors import (
    BlockedAddress,
    NetworkError,
    ProtocolError,
    TypeMismatch,
    UntrustedCode,
    XrpcError,
    quote,
    shown_url,
)
from atdata.protocol.records import (
    BlobStorage,
    ExternalShard,
    ExternalStorage,
    S3Shard,
    S3Storage,
)
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import LensView
from atdata.schema import array_fields, fits, type_of
from atdata.settings import settings
from atdata.sources import BlobSource, URLSource
from atdata.tar import Limits

__all__ = ["HasUri", "check_type", "check_url", "find_dataset", "load_dataset", "open_source"]

Sample = TypeVar("Sample")
Lenses = Lens[Any, Any] | TrustedLens | Sequence[TrustedLens]

SHOWN_LENSES = 5


def load_dataset(
    ref: str | HasUri,
    sample_type: type[Sample] | None = None,
    *,
    lens: Lenses | None = None,
    api: str | None = None,
    verify: bool = False,
    on_error: OnError = "raise",
    writable: bool = False,
    limits: Limits | None = None,
) -> Dataset[Sample]:
    """The samples of a published dataset.

    ``ref``: an AT URI, ``@handle/name`` (the newest of that name), a search hit, or an index entry.
    ``sample_type``: a ``packable`` class, or ``DictSample``; without one the type is decoded from
    the dataset's schema. If the class does not fit the schema, the lenses registered here
    (``@atdata.lens``) are followed to it, over several if need be; if the schema is not to be had,
    each sample is held against the class as it is read.
    ``lens``: the lens to see the samples through: one of your own, or published ones that you trust
    (``atdata.trust``), in order. Their code is fetched and run here, and never otherwise.
    ``on_error``, ``writable``, ``limits``: how samples are read; see ``atdata.Dataset``.

    A dataset that was pulled (``atdata.pull``) is read from the library, without the network, at
    the version that was pulled; a hit that is of another version is not. Its files are known by
    size and time; ``verify=True`` hashes them all. Otherwise the record comes from the search API
    (``api``, or the configured one), or from the author's own PDS if there is none or it does not
    know the dataset, and shards are streamed: blobs are checked against their CIDs.

    Raises ``NotFound``; ``TypeMismatch`` if ``sample_type`` does not fit the schema and no lens
    known here leads to it, naming what differs and the published lenses that lead there;
    ``UntrustedCode``; ``InvalidRecord``, ``CidMismatch``, ``BlockedAddress`` and ``NetworkError``.

    Source: lexicon ``ac.foundation.dataset.record`` and ``science.alt.dataset.entry``; see
    ``Dataset`` for the shards.
    """
    found = find_dataset(ref, api=api, verify=verify)
    source = _source(found)

    def dataset(of: type) -> Dataset[Any]:
        typed: Any = Dataset[of]  # type: ignore[valid-type]
        made: Dataset[Any] = typed(
            source,
            metadata=found.entry.metadata,
            limits=limits,
            on_error=on_error,
            writable=writable,
            arrays=_arrays(found) if issubclass(of, DictSample) else (),
        )
        return made

    if lens is not None:
        return _through(found, dataset, sample_type, lens)
    if sample_type is None:
        return dataset(found.sample_type())
    if reasons := _misfits(sample_type, found):
        start = local_start(found.schema, sample_type)
        if start is None:
            raise TypeMismatch(_mismatch(sample_type, found, reasons, api))
        return dataset(start).as_type(sample_type)
    return dataset(sample_type)


# --- shards --------------------------------------------------------------------------------------


def _source(found: FoundDataset) -> DataSource:
    if found.pulled is not None:
        return found.pulled.source()
    return open_source(found.entry, found.pds)


def open_source(
    entry: DatasetEntry, pds: str | None = None, *, max_bytes: int = MAX_BLOB_BYTES
) -> DataSource:
    """A source of all the shards of an entry. ``pds`` is the origin that serves its blobs; without
    it the author's DID document says so. A shard that is downloaded whole before anything of it is
    seen may have ``max_bytes``.

    Raises ``BlockedAddress`` for a shard URL that a record from the network must not name, and
    ``InvalidRecord`` for a bucket that has no address.
    """
    match entry.record.storage:
        case BlobStorage(shards=blobs):
            return BlobSource.from_uris(
                entry.data_urls, pds_endpoint=pds, known=blobs, max_bytes=max_bytes
            )
        case ExternalStorage(shards=shards):
            return _addresses(entry.data_urls, shards, max_bytes)
        case S3Storage(shards=keys) as bucket:
            return _addresses(bucket_urls(bucket), keys, max_bytes)


def _addresses(
    urls: Sequence[str], shards: Sequence[ExternalShard | S3Shard], max_bytes: int
) -> URLSource:
    for url in urls:
        check_url(url)
    pairs = zip(urls, shards, strict=True)
    checksums = {u: s.checksum for u, s in pairs if s.checksum is not None}
    return URLSource(urls, checksums=checksums, max_bytes=max_bytes)


def check_url(url: str) -> None:
    """Raises ``BlockedAddress`` unless a record from the network may name this shard."""
    scheme = url.partition("://")[0].lower()
    if scheme == "https" or (scheme == "http" and settings().dev):
        return
    raise BlockedAddress(
        f"shard {quote(shown_url(url), 200)}: records from the network may name https URLs only; "
        "to read a file of your own, give it to atdata.Dataset"
    )


# --- types ---------------------------------------------------------------------------------------


def check_type(sample_type: type, found: FoundDataset, api: str | None = None) -> None:
    """Raises ``TypeMismatch`` unless every sample of the dataset is a ``sample_type``."""
    if reasons := _misfits(sample_type, found):
        raise TypeMismatch(_mismatch(sample_type, found, reasons, api))


def _arrays(found: FoundDataset) -> list[str]:
    """The fields that are arrays, which only the schema tells where samples have no type."""
    schema = found.known_schema()
    return [] if schema is None else array_fields(schema)


def _misfits(sample_type: type, found: FoundDataset) -> list[str]:
    if issubclass(sample_type, DictSample):
        return []
    schema = found.known_schema()
    # Without it, each sample is held against the type as it is read.
    return [] if schema is None else fits(sample_type, schema)


def _mismatch(
    sample_type: type, found: FoundDataset, reasons: Sequence[str], api: str | None
) -> str:
    said = quote(f"{found.schema.name} {found.schema.version}", 150).strip("'\"")
    return (
        f"{sample_type.__name__} does not fit {said} "
        f"({found.entry.schema_ref}): {'; '.join(reasons)}"
        f"{_published_lenses(found.entry.schema_ref, sample_type, api)}"
    )


def _published_lenses(schema: str, sample_type: type, api: str | None) -> str:
    """What the index knows that leads on from the schema, for the message."""
    if not (api or settings().api):
        return ""
    try:
        path = find_lens_path(schema, sample_type, api=api)
        others = [] if path else list(islice(search_api.find_lenses(schema, api=api), SHOWN_LENSES))
    except (NetworkError, XrpcError, ProtocolError):
        return ""  # the mismatch is the news, not that the index is away
    if path:
        named = ", then ".join(f"{quote(lens.name)} ({_shown(lens.uri)})" for lens in path)
        trusted = ", ".join(map(how_to_trust, path))
        return (
            f". Published lenses lead to it: {named}. To run their authors' code, look at it and "
            f"say that you trust it: load_dataset(…, {sample_type.__name__}, lens=[{trusted}])"
        )
    if not others:
        return ". The index knows no lens from this schema"
    named = ", ".join(f"{quote(lens.name)} to {_shown(lens.target_schema)}" for lens in others)
    return f". Lenses from this schema: {named}"


def _shown(uri: str) -> str:
    """What the index calls an AT URI, without anything that a terminal would act on."""
    return quote(uri, 600).strip("'\"")


# --- lenses that the caller names ----------------------------------------------------------------


def _through(
    found: FoundDataset,
    dataset: Callable[[type], Dataset[Any]],
    sample_type: type | None,
    lens: Lenses,
) -> Dataset[Any]:
    if isinstance(lens, Lens):
        check_type(lens.source_type, found)
        view = dataset(lens.source_type).as_type(lens.view_type, lens)
        return view if sample_type in (None, lens.view_type) else view.as_type(sample_type)
    chain = [lens] if isinstance(lens, TrustedLens) else _trusted(lens)
    start = found.sample_type()
    made = _chain(chain, found.entry.schema_ref, start, sample_type)
    return dataset(start).as_type(made.view_type, made)


def _trusted(given: object) -> list[TrustedLens]:
    """Raises ``UntrustedCode`` for anything but lenses that came out of ``atdata.trust``."""
    several = list(given) if isinstance(given, list | tuple) else [given]
    trusted: list[TrustedLens] = []
    for lens in several:
        if isinstance(lens, str | LensView):
            raise UntrustedCode(
                "code from the network is not run unless you trust that one lens: look at it, "
                f"then pass lens={how_to_trust(lens)}"
            )
        if not isinstance(lens, TrustedLens):
            raise TypeError(f"a lens, or lenses from atdata.trust, expected; got {quote(lens)}")
        trusted.append(lens)
    if not trusted:
        raise TypeError("no lens in the list")
    return trusted


def _chain(
    lenses: Sequence[TrustedLens], schema: str, start: type, sample_type: type | None
) -> Lens[Any, Any]:
    """Trusted lenses, one after the other, checked before any of their code is fetched."""
    types: list[type] = [start]
    for lens in lenses:
        if not _same(lens.record.source_schema, schema):
            raise TypeMismatch(
                f"lens {lens.uri} reads {quote(lens.record.source_schema, 300)}, not {schema}"
            )
        schema = lens.record.target_schema
        types.append(type_of(fetch_schema(schema)))
    if sample_type is not None:
        if not issubclass(sample_type, DictSample) and (
            reasons := fits(sample_type, fetch_schema(schema))
        ):
            raise TypeMismatch(
                f"{sample_type.__name__} does not fit what lens {lenses[-1].uri} gives ({schema}): "
                f"{'; '.join(reasons)}"
            )
        types[-1] = sample_type
    made, *onward = [code_lens(lens, types[i], types[i + 1]) for i, lens in enumerate(lenses)]
    for following in onward:
        made = made.then(following)
    return made


def _same(one: str, other: str) -> bool:
    """Whether two references mean one schema, be its author named by DID or by handle."""
    return one == other or _with_did(one) == _with_did(other)


def _with_did(schema: str) -> str:
    uri = AtUri.parse(schema)
    return str(AtUri.of(resolve_repo(uri.authority), str(uri.collection), str(uri.rkey)))
