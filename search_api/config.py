"""The search API's configuration: parsed once into one frozen object.

Every setting can come from the environment as ``ATDATA_SEARCH_<NAME>``; nothing reads the
environment later.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LEVEL_SECONDS = 0.75


class SearchConfig(BaseSettings):
    """What the search API needs to know."""

    model_config = SettingsConfigDict(env_prefix="ATDATA_SEARCH_", frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    db: Path = Field(default=Path("atdata.duckdb"), description="The index's DuckDB file.")
    text_index: Path | None = Field(
        default=None,
        description="Directory of the text index. Default: beside the file, `<db>.text`.",
    )
    export: Path | None = Field(
        default=None,
        description="Directory of the bulk export's files. Default: beside the file, "
        "`<db>.export`.",
    )
    mirror: Path | None = Field(
        default=None,
        description="Directory in which blobs of indexed datasets are cached and given out "
        "(com.atproto.sync.getBlob). Default: no mirror.",
    )
    mirror_bytes: int = Field(
        default=50_000_000_000, ge=1, description="Size of that cache, and of a blob in it."
    )
    previews: bool = Field(
        default=True,
        description="Show samples of datasets in their pages: processes of their own, two at a "
        "time, fetch each dataset's first shard (at most 64 MB) when somebody looks at it.",
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[A-Za-z0-9.:\-\[\]]+$",
        description="Where clients reach this service: scheme and host, no path. Without it, "
        "pages and the DID document name the address that they were asked under.",
    )
    dev: bool = Field(
        default=False, description="A network on one's own machine: http and loopback."
    )
    query_seconds: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="A request that asks the database for longer is stopped.",
    )
    threads: int = Field(
        default=4,
        ge=1,
        le=1_000,
        description="Queries worked on at a time; they share one interpreter lock.",
    )
    long_threads: int = Field(
        default=2,
        ge=1,
        le=1_000,
        description="Of what may take longer than a search, worked on at a time beside them.",
    )
    follow_seconds: float = Field(
        default=0.1, gt=0, le=60, description="How often the text index looks for changes."
    )
    level_seconds: float = Field(
        default=LEVEL_SECONDS,
        ge=0,
        le=1,
        description="How old the text index may be for a search to be answered from it alone; "
        "where it is older, what has changed since is read from the database.",
    )
    max_connections: int = Field(
        default=4_000,
        ge=1,
        le=100_000,
        description="Connections at a time; fewer where the system allows fewer open files.",
    )
    client_connections: int = Field(
        default=100, ge=1, le=100_000, description="Connections of one client at a time."
    )
    request_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="A connection that has not sent the head of a request in that time is "
        "closed, and so is one whose body takes as long again.",
    )
    max_subscribers: int = Field(
        default=2_000,
        ge=0,
        le=100_000,
        description="Subscriptions to changes at a time, and three quarters of the connections.",
    )
    subscriber_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="A subscriber that takes nothing for that long is dropped.",
    )
    rate_per_second: float = Field(
        default=20.0,
        ge=0,
        le=100_000,
        description="Requests per second and client, each of 25 ms of processor time. 0: no limit.",
    )
    rate_burst: int = Field(
        default=100, ge=1, le=1_000_000, description="Requests that a client may make at once."
    )
    rate_loopback: bool = Field(
        default=False, description="Limit clients on this machine too. Set it behind a local proxy."
    )
    trusted_proxy: bool = Field(
        default=False,
        description="Believe X-Forwarded-For from loopback: its last address is the client.",
    )

    def text_directory(self) -> Path:
        """Where the text index is."""
        return self.text_index or self.db.with_name(self.db.name + ".text")

    def export_directory(self) -> Path:
        """Where the files of the bulk export are."""
        return self.export or self.db.with_name(self.db.name + ".export")
