"""The seams of the library: what an index, an entry, a data store and a data source must offer.

Code that publishes, lists or reads is written against these protocols, so that a repository on the
AT Protocol, a local folder or a bucket are interchangeable. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from atdata.dataset import Dataset


@runtime_checkable
class IndexEntry(Protocol):
    """One dataset in an index: what it is called, of which type, and where its shards are."""

    @property
    def uri(self) -> str:
        """The entry's own reference; an AT URI on the network."""

    @property
    def cid(self) -> str:
        """The content identifier of the entry: it changes whenever the entry does."""

    @property
    def name(self) -> str:
        """The dataset's name, for people."""

    @property
    def schema_ref(self) -> str:
        """Reference of the schema that its samples follow; an AT URI on the network."""

    @property
    def data_urls(self) -> list[str]:
        """One URL per shard, in order. The store that wrote them knows how to read them."""

    @property
    def metadata(self) -> dict[str, Any] | None:
        """What the author says about it beyond the named fields, or None."""


@runtime_checkable
class DataSource(Protocol):
    """Shards as byte streams, each under a name that stays the same from run to run."""

    def list_shards(self) -> list[str]:
        """The names of all shards, in order."""

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """The bytes of one shard, from its beginning. The caller closes it."""

    @property
    def shards(self) -> Iterator[tuple[str, IO[bytes]]]:
        """Every shard in order: its name and its open stream."""


@runtime_checkable
class AbstractDataStore(Protocol):
    """A place that keeps shards."""

    def write_shards(
        self,
        dataset: Dataset[Any],
        *,
        prefix: str = "",
        maxcount: int | None = None,
        maxsize: float | None = None,
    ) -> list[str]:
        """Copy the shards of ``dataset`` into the store and return one URL for each.

        ``maxcount`` (samples) and ``maxsize`` (bytes) bound a shard; without them the shards stay
        as they are. ``prefix`` names them for people.
        """

    def read_url(self, url: str) -> str:
        """A URL from ``write_shards`` as one that any HTTP client can read."""

    def create_source(self, urls: Sequence[str]) -> DataSource:
        """A source that streams the shards under these URLs."""


@runtime_checkable
class AbstractIndex(Protocol):
    """A place where datasets and the schemas of their samples are published and listed."""

    def publish_schema(
        self,
        sample_type: type,
        *,
        version: str = "1.0.0",
        name: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish the schema of ``sample_type`` and return its reference."""

    def insert_dataset(
        self,
        dataset: Dataset[Any],
        *,
        name: str,
        schema_ref: str | None = None,
        description: str | None = None,
        tags: Sequence[str] = (),
        license: str | None = None,  # noqa: A002 - the record's own name for it
        metadata: Mapping[str, Any] | None = None,
    ) -> IndexEntry:
        """Publish ``dataset``; without ``schema_ref`` its type's schema is published first."""

    def get_dataset(self, ref: str) -> IndexEntry:
        """One entry by its reference. Raises ``NotFound``."""

    def list_datasets(self, repo: str | None = None) -> Iterator[IndexEntry]:
        """Every entry, lazily; of another account's repository if ``repo`` names one."""

    def get_schema(self, ref: str) -> dict[str, Any]:
        """The body of one schema by its reference. Raises ``NotFound``."""

    def list_schemas(self, repo: str | None = None) -> Iterator[dict[str, Any]]:
        """The body of every schema, lazily; of another account's repository if named."""

    def decode_schema(self, ref: str) -> type:
        """The Python type of samples of one schema."""
