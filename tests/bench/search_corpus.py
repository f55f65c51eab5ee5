"""A made index of any size, always the same: what ``tests.bench.search`` asks.

Words follow Zipf's law, as do tags, authors and schemas; licences are written as people write them.
Rows are made in DuckDB from hashes of their number, so that a million take a minute or two.
"""

from __future__ import annotations

import random
from pathlib import Path

import duckdb

SEED = 20260101
TAGS = 5_000
SCHEMAS = 20_000
AUTHORS = 50_000
VOCABULARY = 60_000
_AT_ONCE = 100_000  # datasets
SCHEMA_SQL = Path(__file__).parents[2] / "indexer" / "schema.sql"

_LICENSES = (
    *(("CC BY 4.0", "CC-BY-4.0"), ("CC-BY-4.0", "CC-BY-4.0"), ("cc-by-4.0", "CC-BY-4.0")),
    *(("MIT", "MIT"), ("The MIT License", "MIT"), ("Apache 2.0", "Apache-2.0")),
    *(("CC0", "CC0-1.0"), ("Apache-2.0", "Apache-2.0"), ("ODbL", "ODbL-1.0")),
    *(("research use only", None), (None, None)),
)
_SYLLABLES = (
    "ba be bi bo bra ca ce co cre da de di dra el en fa fi flo ga ge gra ha hi in ka ki la le "
    "lo ma me mi mo na ne no or pa pe pla ra re ri ro sa se si sta ta te ti tra u va ve vo wa "
    "we xi za"
)
_KNOWN = ("image", "audio", "text", "marine", "street", "speech", "satellite", "medical", "robot")
_ENDS = ("", "", "", "s", "er", "ing", "ion")


def words(count: int = VOCABULARY) -> list[str]:
    """The vocabulary, most frequent first."""
    chance = random.Random(SEED)
    made = dict.fromkeys(_KNOWN)
    syllables = _SYLLABLES.split()
    while len(made) < count:
        chosen = chance.choices(syllables, k=chance.randint(2, 4))
        made["".join(chosen) + chance.choice(_ENDS)] = None
    return list(made)


def fill(connection: duckdb.DuckDBPyConnection, datasets: int) -> None:
    """Make the tables and their rows, ``datasets`` datasets among them."""
    connection.execute(SCHEMA_SQL.read_text(encoding="utf-8"))
    connection.execute("SET preserve_insertion_order = false; SET memory_limit = '6GB'")
    connection.execute(
        "CREATE TEMP TABLE word AS SELECT generate_subscripts($1, 1) - 1 AS i, unnest($1) AS w",
        [words()],
    )
    connection.execute("CREATE TEMP TABLE licence (i BIGINT, written VARCHAR, spdx VARCHAR)")
    connection.executemany(
        "INSERT INTO licence VALUES (?, ?, ?)", [(i, *names) for i, names in enumerate(_LICENSES)]
    )
    for statement in _statements(datasets):
        connection.execute(statement)


def _pick(salt: str, size: int) -> str:
    """SQL: a number below ``size`` by Zipf's law, for the row ``n`` and the position ``k``."""
    share = f"((hash('{salt}', n, k, {SEED}) % 1000003) / 1000003.0)"
    return f"least({size} - 1, floor(pow({size} + 1.0, {share}) - 1.0))::BIGINT"


def _texts(table: str, salt: str, length: str, datasets: int) -> list[str]:
    """SQL: ``length`` words for each row ``n`` of ``dataset_number``; some rows at a time, since
    an ordered aggregate is made in memory."""
    return [
        f"CREATE TEMP TABLE {table} (n BIGINT, text VARCHAR)",
        *(
            f"INSERT INTO {table} SELECT n, string_agg(w, ' ' ORDER BY k) FROM (SELECT n, k, "
            f"{_pick(salt, VOCABULARY)} AS i FROM dataset_number, "
            f"range(({length})::BIGINT) AS t(k) WHERE n >= {first} AND n < {first + _AT_ONCE}) "
            "JOIN word USING (i) GROUP BY n"
            for first in range(0, datasets, _AT_ONCE)
        ),
    ]


def _statements(datasets: int) -> list[str]:
    key = "(('0x' || left(sha256({}), 16))::UBIGINT >> 1)::BIGINT"  # as protocol.keys has it
    did = "printf('did:plc:%024d', {})"
    start = "make_timestamptz(1700000000000000 + n * 50000000)"
    return [
        f"CREATE TEMP TABLE dataset_number AS SELECT range AS n FROM range({datasets})",
        (
            f"CREATE TEMP TABLE author AS SELECT range AS a, {did.format('range')} AS did, "
            f"{key.format(did.format('range'))} AS repo FROM range({AUTHORS})"
        ),
        (
            "INSERT INTO repos (repo, did, handle, handle_verified, pds, sync_state) "
            "SELECT repo, did, printf('%s%d.example.com', w, a), true, "
            "'https://pds.example.com', 'synced' "
            "FROM author JOIN word ON word.i = a % 2000"
        ),
        (
            "CREATE TEMP TABLE made_schema AS SELECT range AS n, author.repo, author.did, printf("
            "'at://%s/ac.foundation.dataset.sampleSchema/s%d:1.0.0', author.did, range) AS uri, "
            f"{key.format('uri')} AS doc FROM range({SCHEMAS}) JOIN author "
            f"ON a = hash(range, {SEED}) % {AUTHORS}"
        ),
        (
            "INSERT INTO records SELECT doc, repo, uri, did, 'schema', 'ac.foundation.dataset', "
            "'ac.foundation.dataset.sampleSchema', printf('s%d:1.0.0', n), 'bafyschema', "
            f"'3kaaaaaaaaaaa', {start}, '2026-01-01T00:00:00Z', {start}, '{{}}' FROM made_schema"
        ),
        (
            "INSERT INTO schemas SELECT doc, upper(w[1]) || w[2:] || 'Sample', '1.0.0', NULL, uri "
            "FROM made_schema JOIN word ON i = n % 4000"
        ),
        (
            "INSERT INTO schema_fields SELECT doc, k, w, CASE WHEN k = 0 THEN 'ndarray' ELSE 'str' "
            "END, CASE WHEN k = 0 THEN 'float32' END, NULL, NULL, false, NULL FROM (SELECT doc, k, "
            f"{_pick('field', 3000)} AS i FROM made_schema, range(5) AS t(k)) JOIN word USING (i)"
        ),
        (
            "CREATE TEMP TABLE made AS SELECT n, author.repo, author.did, printf("
            "'at://%s/ac.foundation.dataset.record/d%d', author.did, n) AS uri, "
            f"{key.format('uri')} AS doc FROM (SELECT n, {_pick('author', AUTHORS)} AS a "
            "FROM dataset_number, range(1) AS t(k)) JOIN author USING (a)"
        ),
        (
            "INSERT INTO dataset_tags SELECT doc, k, w || '-' || i % 7 FROM (SELECT doc, k, "
            f"{_pick('tag', TAGS)} AS i FROM made, range(4) AS t(k)) JOIN word USING (i)"
        ),
        (
            "INSERT INTO records SELECT doc, repo, uri, did, 'dataset', 'ac.foundation.dataset', "
            "'ac.foundation.dataset.record', printf('d%d', n), 'bafydataset', '3kaaaaaaaaaaa', "
            f"{start}, '2026-01-01T00:00:00Z', {start}, json_object('tags', tags) FROM made "
            "JOIN (SELECT doc, list(tag ORDER BY position) AS tags FROM dataset_tags GROUP BY doc) "
            "USING (doc)"
        ),
        *_texts("made_name", "name", "2 + hash(n) % 3", datasets),
        *_texts("made_text", "text", "10 + hash(n, 1) % 40", datasets),
        (
            "INSERT INTO datasets SELECT made.doc, made_name.text || ' ' || n % 97, "
            "made_text.text, made_schema.uri, made_schema.doc, written, spdx, "
            "CASE n % 5 WHEN 0 THEN 'external' "
            "WHEN 1 THEN 's3' ELSE 'blobs' END, hash(n, 2) % 1000000, hash(n, 3) % 1000000000000, "
            "1 + n % 64 FROM made JOIN made_name USING (n) JOIN made_text USING (n) "
            f"JOIN (SELECT n, {_pick('schema', SCHEMAS)} AS s, "
            f"{_pick('licence', len(_LICENSES))} AS l FROM dataset_number, range(1) AS t(k)) "
            "USING (n) JOIN made_schema ON made_schema.n = s "
            "JOIN licence ON licence.i = l"
        ),
        "INSERT INTO changes SELECT 1 + row_number() OVER (ORDER BY doc), doc, 'put' FROM made",
    ]
