-- The DDL of schema version 2, as released: what migrations start from. Never changed.
CREATE TABLE IF NOT EXISTS meta (
    key   VARCHAR PRIMARY KEY,
    value VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS sources (
    source     BIGINT PRIMARY KEY,
    url        VARCHAR NOT NULL,
    cursor     BIGINT NOT NULL,
    event_time TIMESTAMPTZ,
    seen_at    TIMESTAMPTZ,
    gaps       JSON NOT NULL DEFAULT '[]'
);
CREATE TABLE IF NOT EXISTS repos (
    repo            BIGINT PRIMARY KEY,
    did             VARCHAR NOT NULL,
    handle          VARCHAR,
    handle_verified BOOLEAN NOT NULL DEFAULT false,
    pds             VARCHAR,
    active          BOOLEAN NOT NULL DEFAULT true,
    status          VARCHAR,
    account_seq     JSON NOT NULL DEFAULT '{}',
    rev             VARCHAR,
    data_cid        VARCHAR,
    sync_state      VARCHAR NOT NULL,
    sync_error      VARCHAR
);
CREATE TABLE IF NOT EXISTS records (
    doc        BIGINT PRIMARY KEY,
    repo       BIGINT NOT NULL,
    uri        VARCHAR NOT NULL,
    did        VARCHAR NOT NULL,
    kind       VARCHAR NOT NULL,
    namespace  VARCHAR NOT NULL,
    collection VARCHAR NOT NULL,
    rkey       VARCHAR NOT NULL,
    cid        VARCHAR NOT NULL,
    rev        VARCHAR NOT NULL,
    indexed_at TIMESTAMPTZ NOT NULL,
    created_at VARCHAR NOT NULL,
    sort_at    TIMESTAMPTZ NOT NULL,
    record     JSON NOT NULL
);
CREATE TABLE IF NOT EXISTS datasets (
    doc          BIGINT PRIMARY KEY,
    name         VARCHAR NOT NULL,
    description  VARCHAR,
    schema_uri   VARCHAR NOT NULL,
    schema_doc   BIGINT NOT NULL,
    license      VARCHAR,
    license_spdx VARCHAR,
    storage_kind VARCHAR NOT NULL,
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
    family      VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS schema_fields (
    doc         BIGINT NOT NULL,
    position    INTEGER NOT NULL,
    name        VARCHAR NOT NULL,
    kind        VARCHAR NOT NULL,
    dtype       VARCHAR,
    shape       JSON,
    items       VARCHAR,
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
CREATE TABLE IF NOT EXISTS changes (
    seq    BIGINT PRIMARY KEY,
    doc    BIGINT NOT NULL,
    action VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS quarantine (
    id      BIGINT PRIMARY KEY,
    source  VARCHAR NOT NULL,
    seq     BIGINT,
    did     VARCHAR,
    reason  VARCHAR NOT NULL,
    detail  VARCHAR NOT NULL,
    frame   BLOB NOT NULL,
    kept_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE IF NOT EXISTS drops (
    reason VARCHAR PRIMARY KEY,
    count  BIGINT NOT NULL
);
