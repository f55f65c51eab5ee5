"""Hits in the order of several integer keys, from any place on.

The text index sorts by one field and leaves ties in no lasting order; so the hits that share the
value at which a page is cut are asked for again by the next key. Rule: the last key is unique, so
that the order is total, and a page costs a bounded number of searches however many share a value.
"""

from __future__ import annotations

from collections.abc import Sequence

from tantivy import DocAddress, Query, Schema, Searcher

from search_api.text_query import both, equal, less

Found = tuple[tuple[int, ...], DocAddress]


def ordered(
    searcher: Searcher,
    schema: Schema,
    inside: Query,
    keys: Sequence[str],
    after: Sequence[int] | None,
    room: int,
) -> list[Found]:
    """The first ``room`` hits of ``inside`` below ``after`` (its value of each of its keys),
    highest first, each with its values."""
    if room <= 0:
        return []
    key, *rest = keys
    found: list[Found] = []
    if after is not None:
        first, *tail = after
        if rest:
            tied = both([inside, equal(schema, key, first)])
            found = _under(first, ordered(searcher, schema, tied, rest, tail, room))
        inside = both([inside, less(schema, key, first)])
    room -= len(found)
    if room == 0:
        return found
    page = _page(searcher, inside, keys, room)
    if len(page) < room or not rest:
        return found + page
    # The cut may fall among hits of equal value.
    last = page[-1][0][0]
    whole = [hit for hit in page if hit[0][0] > last]
    tied = both([inside, equal(schema, key, last)])
    more = ordered(searcher, schema, tied, rest, None, room - len(whole))
    return found + whole + _under(last, more)


def _page(searcher: Searcher, inside: Query, keys: Sequence[str], room: int) -> list[Found]:
    hits = searcher.search(inside, limit=room, count=False, order_by_field=keys[0]).hits
    return keyed(searcher, keys, [address for _, address in hits])


def keyed(searcher: Searcher, keys: Sequence[str], addresses: Sequence[DocAddress]) -> list[Found]:
    """``addresses`` with their values of ``keys``, highest first."""
    columns = [searcher.fast_field_values(key, list(addresses)) for key in keys]
    values = [tuple(int(value) for value in row) for row in zip(*columns, strict=True)]
    return sorted(zip(values, addresses, strict=True), key=lambda hit: hit[0], reverse=True)


def _under(value: int, found: Sequence[Found]) -> list[Found]:
    return [((value, *keys), address) for keys, address in found]
