"""Schemas by their words and by their fields, and the versions of one schema.

Rule: a schema is found by structure only if all that was asked for holds of it; words rank what is
found, the whole name first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from atdata.protocol.discovery_views import SchemaVersionView
from atdata.protocol.errors import InvalidSyntax, NotFound, quote
from atdata.protocol.syntax import AtUri
from atdata.protocol.versions import SemverKey, semver_key
from atdata.protocol.views import LatestSchema, SchemaVersion, SchemaView
from search_api import queries
from search_api.database import Session
from search_api.field_terms import FieldTerm, dtypes_read_as, items_read_as, kinds_read_as
from search_api.views import timestamp

MAX_WORDS = 8  # different ones that count: each is looked for in every schema
MAX_VERSIONS = 10_000  # of one schema family
MAX_FITTING = 1_000  # schemas that one type can be read from, as ends of lens paths

Place: TypeAlias = tuple[int, int, int]  # tier, sort_at in microseconds, doc: where a page ended
_Conditions: TypeAlias = tuple[list[str], list[object]]


@dataclass(frozen=True, slots=True)
class SchemaQuestion:
    """What schemas to find; every given condition must hold. ``fields`` are there as described;
    ``needs`` are the fields of a type as which samples are to be read."""

    q: str = ""
    author: str | None = None
    fields: tuple[FieldTerm, ...] = ()
    needs: tuple[FieldTerm, ...] = ()


def search(
    session: Session, asked: SchemaQuestion, limit: int, after: Place | None
) -> list[tuple[Place, SchemaView]]:
    """Those whose name is the words first, then begins with them, then holds them all; last those
    where a word is only in a field or the description. Newest first among equals."""
    where, params = _conditions(asked)
    tier, of_tier = _tier(asked.q)
    condition, cut = "true", list[object]()
    if after is not None:
        condition, cut = "(tier, -moment, -doc) > (?, ?, ?)", [after[0], -after[1], -after[2]]
    rows = session.rows(
        f"SELECT tier, moment, doc FROM (SELECT {tier} AS tier, "  # noqa: S608
        "epoch_us(r.sort_at) AS moment, s.doc AS doc FROM schemas s "
        "JOIN records r ON r.doc = s.doc JOIN repos p ON p.repo = r.repo AND p.active "
        f"WHERE {' AND '.join(where)}) WHERE {condition} "
        "ORDER BY tier, moment DESC, doc DESC LIMIT ?",
        [*of_tier, *params, *cut, limit],
    )
    views = queries.schemas(session, [row[2] for row in rows])
    return [((row[0], row[1], row[2]), view) for row, view in zip(rows, views, strict=True)]


def _tier(q: str) -> tuple[str, list[object]]:
    words = _words(q)
    if not words:
        return "0", []
    text = " ".join(q.lower().split())
    held = " AND ".join(["contains(lower(s.name), ?)"] * len(words))
    tier = "WHEN lower(s.name) = ? THEN 0 WHEN starts_with(lower(s.name), ?) THEN 1"
    return f"CASE {tier} WHEN {held} THEN 2 ELSE 3 END", [text, text, *words]


def _words(q: str) -> list[str]:
    return list(dict.fromkeys(q.lower().split()))[:MAX_WORDS]


def _conditions(asked: SchemaQuestion) -> _Conditions:
    where, params = ["true"], list[object]()
    for word in _words(asked.q):
        where.append(
            "(contains(lower(s.name), ?) OR contains(lower(s.description), ?) OR s.doc IN ("
            "SELECT doc FROM schema_fields WHERE contains(lower(name), ?)))"
        )
        params += [word, word, word]
    if asked.author is not None:
        where.append("r.did = ?")
        params.append(asked.author)
    terms = (*map(_has, dict.fromkeys(asked.fields)), *map(_gives, dict.fromkeys(asked.needs)))
    for sql, values in terms:
        where.append(sql)
        params += values
    return where, params


def _has(term: FieldTerm) -> tuple[str, list[object]]:
    """The schema has a field exactly like this."""
    tests = list(_tests(term, exactly=True))
    if term.optional is not None:
        tests.append(("optional = ?", [term.optional]))
    return _field_in("s.doc IN", tests)


def _gives(term: FieldTerm) -> tuple[str, list[object]]:
    """A sample's field can be read as this one, or may be missing where this one is optional."""
    fits = list(_tests(term, exactly=False))
    if not term.optional:
        return _field_in("s.doc IN", [*fits, ("NOT optional", [])])
    if len(fits) < 2:  # any type will do
        return "true", []
    name, *types = fits
    wrong = " AND ".join(test for test, _ in types)
    values = [value for _, own in types for value in own]
    return _field_in("s.doc NOT IN", [name, (f"NOT ({wrong})", values)])


def _tests(term: FieldTerm, *, exactly: bool) -> Iterator[tuple[str, list[object]]]:
    if term.name is not None:
        yield "name = ?", [term.name]
    if term.kind is not None:
        kinds = (term.kind,) if exactly else kinds_read_as(term.kind)
        yield "kind = ANY(?)", [list(kinds)]
    if term.detail is None:
        return
    if term.kind == "array":
        items = (term.detail,) if exactly else items_read_as(term.detail)
        yield "items = ANY(?)", [list(items)]
    elif exactly:
        yield "dtype = ?", [term.detail]
    else:
        yield "(dtype IS NULL OR dtype = ANY(?))", [list(dtypes_read_as(term.detail))]


def _field_in(how: str, tests: Sequence[tuple[str, list[object]]]) -> tuple[str, list[object]]:
    conditions = " AND ".join(test for test, _ in tests) or "true"
    values = [value for _, own in tests for value in own]
    return f"{how} (SELECT doc FROM schema_fields WHERE {conditions})", values  # noqa: S608


def needs_of(view: SchemaView) -> tuple[FieldTerm, ...]:
    """The fields of a published schema, as those of one's own type."""
    return tuple(
        FieldTerm(f.name, f.kind, f.dtype if f.kind == "ndarray" else f.items, f.optional)
        for f in view.fields
    )


def fitting(session: Session, needs: Sequence[FieldTerm]) -> dict[int, str]:
    """Keys and URIs of the visible schemas that have all that is needed, the newest of them."""
    where, params = _conditions(SchemaQuestion(needs=tuple(needs)))
    rows = session.rows(
        "SELECT s.doc, r.uri FROM schemas s JOIN records r ON r.doc = s.doc "  # noqa: S608
        f"JOIN repos p ON p.repo = r.repo AND p.active WHERE {' AND '.join(where)} "
        "ORDER BY r.sort_at DESC, s.doc LIMIT ?",
        [*params, MAX_FITTING],
    )
    return dict(rows)


# --- versions -----------------------------------------------------------------------------------

_VERSIONS = (
    "SELECT r.uri, r.rkey, s.version, r.cid, epoch_us(r.indexed_at), s.doc FROM schemas s "
    "JOIN records r ON r.doc = s.doc JOIN repos p ON p.repo = r.repo AND p.active "
)


def latest(session: Session, schema_id: str, *, prereleases: bool = True) -> LatestSchema:
    """The newest of the schemas whose record key is ``{schema_id}:{semver}`` (``@`` in writers
    that predate the rule for record keys). Raises ``NotFound``.

    Where several authors have the same family, all its versions count, and of one version the
    first URI. Without ``prereleases`` they count only where there is nothing else.
    """
    found = _by_id(session, schema_id)
    if not prereleases:
        found = [one for one in found if not one[1].prerelease] or found
    if not found:
        raise NotFound(f"the index has no schema {quote(schema_id)}")
    newest = found[0][1]
    record = session.value("SELECT record FROM records WHERE uri = ?", [newest.uri])
    return LatestSchema(
        uri=newest.uri,
        version=newest.version,
        record=json.loads(record),
        all_versions=tuple(SchemaVersion(view.uri, view.version) for _, view in found),
    )


def versions(
    session: Session, schema_id: str | None, uri: AtUri | None
) -> tuple[SchemaVersionView, ...]:
    """All versions of a family, newest first: those that share ``schema_id``, or those that the
    author of ``uri`` published under the same name. Raises ``NotFound``."""
    found = _by_id(session, schema_id) if schema_id is not None else _by_family(session, uri)
    if not found:
        raise NotFound(f"the index has no schema {quote(str(schema_id or uri), 300)}")
    return tuple(view for _, view in found)


def of_author(session: Session, did: str, schema_id: str) -> tuple[SchemaVersionView, ...]:
    """The versions of ``schema_id`` that one author published, newest first."""
    own = f"at://{did}/"
    return tuple(view for _, view in _by_id(session, schema_id) if view.uri.startswith(own))


def _by_id(session: Session, schema_id: str) -> list[tuple[SemverKey, SchemaVersionView]]:
    rows = session.rows(
        f"{_VERSIONS} WHERE starts_with(r.rkey, ?) OR starts_with(r.rkey, ?) "
        "ORDER BY r.uri LIMIT ?",
        [f"{schema_id}:", f"{schema_id}@", MAX_VERSIONS],
    )
    cut = len(schema_id) + 1
    return _sorted((uri, rkey[cut:], cid, us) for uri, rkey, _, cid, us, _ in rows)


def _by_family(session: Session, uri: AtUri | None) -> list[tuple[SemverKey, SchemaVersionView]]:
    doc = None if uri is None else queries.key_of_uri(session, uri)
    if doc is None:
        return []
    rows = session.rows(
        f"{_VERSIONS} WHERE s.family = (SELECT family FROM schemas WHERE doc = ?) "  # noqa: S608
        "ORDER BY r.uri LIMIT ?",
        [doc, MAX_VERSIONS],
    )
    if doc not in {row[5] for row in rows}:
        return []
    return _sorted((uri, version, cid, us) for uri, _, version, cid, us, _ in rows)


def _sorted(
    rows: Iterator[tuple[str, str, str, int]],
) -> list[tuple[SemverKey, SchemaVersionView]]:
    """What has no semantic version is of no family."""
    found = []
    for uri, version, cid, us in rows:
        try:
            key = semver_key(version)
        except InvalidSyntax:
            continue
        view = SchemaVersionView(uri, version, cid, timestamp(us), prerelease=not key[3])
        found.append((key, view))
    return sorted(found, key=lambda one: one[0], reverse=True)
