-- The only DDL of the index (schema version 6; older files: migrations.py). Run at open in its own transaction, followed by
-- CHECKPOINT, before any row is written. No secondary indexes (docs/invariants.md).
--
-- Keys: `doc` and `repo` are the first 63 bits of SHA-256 over the AT URI or the DID. So a key is
-- a function of the network, not of the order of delivery, and a lookup by URI is a lookup by
-- integer without any second index.
--
-- Only tables in which records are looked up have a primary key: of one that has, DuckDB never gives
-- back the space of rows that were deleted. Those whose rows are replaced all the time (sources, repos,
-- quarantine, invalid_records, drops) have none; that a key is in them once is the writer's to see to.
--
-- Times are read with epoch_us(…): fetching a TIMESTAMPTZ into Python needs pytz, which is not among
-- the dependencies.

CREATE TABLE IF NOT EXISTS meta (
    key   VARCHAR PRIMARY KEY,
    value VARCHAR NOT NULL                -- schema_version, file_id, sweep, listed <url>, snapshot, restored
);

CREATE TABLE IF NOT EXISTS sources (
    source     BIGINT NOT NULL,           -- key of the url
    url        VARCHAR NOT NULL,
    cursor     BIGINT NOT NULL,           -- every event at or below it is durable or quarantined
    event_time TIMESTAMPTZ,               -- `time` of the event at the cursor
    seen_at    TIMESTAMPTZ,               -- when this index received it
    gaps       JSON NOT NULL DEFAULT '[]', -- what it could not replay, and whether that is healed
    halted_because VARCHAR                -- why it is not followed any more; NULL while it is
);

CREATE TABLE IF NOT EXISTS repos (
    repo            BIGINT NOT NULL,      -- key of the did
    did             VARCHAR NOT NULL,
    handle          VARCHAR,
    handle_verified BOOLEAN NOT NULL DEFAULT false,
    pds             VARCHAR,
    active          BOOLEAN NOT NULL DEFAULT true,
    status          VARCHAR,
    account_seq     JSON NOT NULL DEFAULT '{}',  -- source url → seq of its newest #account; 'claimed <url>' → the latest time (µs) that it claimed; '' → that of the newest of all
    rev             VARCHAR,
    data_cid        VARCHAR,
    sync_state      VARCHAR NOT NULL,     -- synced | desynchronized | new
    sync_error      VARCHAR               -- why it could not be fetched; NULL where it could
);

CREATE TABLE IF NOT EXISTS records (
    doc        BIGINT PRIMARY KEY,
    repo       BIGINT NOT NULL,
    uri        VARCHAR NOT NULL,
    did        VARCHAR NOT NULL,
    kind       VARCHAR NOT NULL,          -- schema | dataset | lens | label | lensVerification
    namespace  VARCHAR NOT NULL,
    collection VARCHAR NOT NULL,
    rkey       VARCHAR NOT NULL,
    cid        VARCHAR NOT NULL,
    rev        VARCHAR NOT NULL,
    indexed_at TIMESTAMPTZ NOT NULL,      -- when this index stored this version
    created_at VARCHAR NOT NULL,          -- as the author wrote it
    sort_at    TIMESTAMPTZ NOT NULL,      -- min(createdAt, time of rev): what "newest" sorts by
    record     JSON NOT NULL              -- the body, AT Protocol JSON
);

CREATE TABLE IF NOT EXISTS datasets (
    doc          BIGINT PRIMARY KEY,
    name         VARCHAR NOT NULL,
    description  VARCHAR,
    schema_uri   VARCHAR NOT NULL,
    schema_doc   BIGINT NOT NULL,         -- key of schema_uri
    license      VARCHAR,                 -- as written
    license_spdx VARCHAR,                 -- normalised; NULL if it cannot be read as SPDX
    storage_kind VARCHAR NOT NULL,        -- external | blobs | s3
    samples      BIGINT,
    bytes        BIGINT,
    shards       BIGINT
);

CREATE TABLE IF NOT EXISTS dataset_tags (
    doc      BIGINT NOT NULL,
    position INTEGER NOT NULL,
    tag      VARCHAR NOT NULL
);

CREATE TABLE IF NOT EXISTS schemas (
    doc         BIGINT PRIMARY KEY,
    name        VARCHAR NOT NULL,
    version     VARCHAR NOT NULL,
    description VARCHAR,
    family      VARCHAR NOT NULL          -- did + '/' + name: the versions of one schema
);

CREATE TABLE IF NOT EXISTS schema_fields (
    doc         BIGINT NOT NULL,
    position    INTEGER NOT NULL,
    name        VARCHAR NOT NULL,
    kind        VARCHAR NOT NULL,         -- str int float bool bytes ndarray array ref unknown
    dtype       VARCHAR,
    shape       JSON,
    items       VARCHAR,                  -- of an array: the item type in Python spelling
    optional    BOOLEAN NOT NULL,
    description VARCHAR
);

CREATE TABLE IF NOT EXISTS lenses (
    doc         BIGINT PRIMARY KEY,
    name        VARCHAR NOT NULL,
    description VARCHAR,
    source_uri  VARCHAR NOT NULL,
    target_uri  VARCHAR NOT NULL,
    source_doc  BIGINT NOT NULL,
    target_doc  BIGINT NOT NULL,
    language    VARCHAR,
    getter_code JSON,
    putter_code JSON
);

CREATE TABLE IF NOT EXISTS labels (
    doc         BIGINT PRIMARY KEY,
    name        VARCHAR NOT NULL,
    dataset_uri VARCHAR NOT NULL,
    dataset_doc BIGINT NOT NULL,
    version     VARCHAR,
    description VARCHAR
);

CREATE TABLE IF NOT EXISTS lens_verifications (
    doc                 BIGINT PRIMARY KEY,
    lens_uri            VARCHAR NOT NULL,
    lens_doc            BIGINT NOT NULL,
    lens_commit         VARCHAR NOT NULL,
    verification_method VARCHAR NOT NULL
);

-- Append-only: "look at this doc again". Derived indexes catch up from it by seq.
CREATE TABLE IF NOT EXISTS changes (
    seq    BIGINT PRIMARY KEY,
    doc    BIGINT NOT NULL,
    action VARCHAR NOT NULL               -- put | delete | visibility
);

CREATE TABLE IF NOT EXISTS quarantine (
    id      BIGINT NOT NULL,              -- key of all that follows but the time
    source  VARCHAR NOT NULL,
    seq     BIGINT,
    did     VARCHAR,
    reason  VARCHAR NOT NULL,
    detail  VARCHAR NOT NULL,
    frame   BLOB NOT NULL,                -- the whole frame, byte for byte
    kept_at TIMESTAMPTZ NOT NULL
);

-- Records that no known lexicon explains: with `records`, all that the repos hold. Not shown.
CREATE TABLE IF NOT EXISTS invalid_records (
    doc        BIGINT NOT NULL,
    repo       BIGINT NOT NULL,
    did        VARCHAR NOT NULL,
    collection VARCHAR NOT NULL,
    rkey       VARCHAR NOT NULL,
    cid        VARCHAR NOT NULL,
    rev        VARCHAR NOT NULL,
    reason     VARCHAR NOT NULL,
    detail     VARCHAR NOT NULL,
    source     VARCHAR NOT NULL,          -- the firehose, or the PDS that it was fetched from
    kept_at    TIMESTAMPTZ NOT NULL,
    size       BIGINT NOT NULL,           -- of block; 0 where it is not kept
    block      BLOB                       -- NULL: fetch the repo to judge it again
);

CREATE TABLE IF NOT EXISTS drops (
    reason VARCHAR NOT NULL,
    count  BIGINT NOT NULL
);
