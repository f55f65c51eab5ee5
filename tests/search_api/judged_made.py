"""What people might ask of the made corpus (``tests.bench.search_corpus``): they know one dataset,
or what one should have, and say it in their own way.

Whoever looks for one dataset is helped by that one alone, or by one of the same name. Whoever says
what it should have is helped by all that have it, most where they mean it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import duckdb

from tests.bench.search_corpus import SEED, words
from tests.search_api.judged import Judged

EACH = 20  # queries of each kind
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SPELT = {
    "CC-BY-4.0": "Creative Commons Attribution 4.0",
    "MIT": "mit license",
    "Apache-2.0": "Apache License, Version 2.0",
    "CC0-1.0": "cc-zero",
    "ODbL-1.0": "odbl-1.0",
}
_ABSENT = words()[-3_000:]  # too rare for a small corpus: nearly all of them are in no dataset


@dataclass(frozen=True)
class Row:
    """What is judged of a dataset; ``fields`` are those of its schema."""

    uri: str
    name: str
    description: str
    tags: frozenset[str]
    fields: frozenset[str]
    handle: str
    spdx: str | None

    @property
    def said(self) -> list[str]:
        """The words of its name, without the number."""
        return self.name.split()[:-1]

    @property
    def all_words(self) -> set[str]:
        """Those of its name, description and fields."""
        return {*self.name.split(), *self.description.split(), *self.fields}


def rows(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    """All datasets, in the order of their URIs."""
    found = connection.execute(
        "SELECT r.uri, d.name, d.description, "
        "(SELECT list(tag) FROM dataset_tags t WHERE t.doc = d.doc), "
        "(SELECT list(f.name) FROM schema_fields f WHERE f.doc = d.schema_doc), "
        "a.handle, d.license_spdx "
        "FROM datasets d JOIN records r USING (doc) JOIN repos a USING (repo) ORDER BY r.uri"
    ).fetchall()
    return [
        Row(uri, name, text, frozenset(tags), frozenset(fields), handle, spdx)
        for uri, name, text, tags, fields, handle, spdx in found
    ]


@dataclass(frozen=True)
class _Corpus:
    rows: Sequence[Row]
    chance: random.Random

    def one(self, row: Row) -> dict[str, int]:
        """Who looks for ``row``, by its name or in a way that gives it away."""
        return {other.uri: 3 for other in self.rows if other.name == row.name}

    def named(self, row: Row) -> dict[str, int]:
        """Who looks for ``row`` by all words of its name but the number."""
        said = set(row.said)
        return self.graded(
            lambda other: 3 if said <= set(other.said) else int(said <= other.all_words)
        )

    def graded(self, grade: Callable[[Row], int]) -> dict[str, int]:
        """Whom ``grade`` gives one."""
        return {row.uri: mark for row in self.rows if (mark := grade(row))}


Asked = Callable[[_Corpus, Row], tuple[str, dict[str, int]]]


# --- spelling -----------------------------------------------------------------------------------


def _swapped(word: str, chance: random.Random) -> str:
    """Two neighbours in each other's place."""
    at = chance.randrange(len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _changed(word: str, chance: random.Random) -> str:
    """One letter missing, doubled or another."""
    at = chance.randrange(1, len(word))
    put = chance.choice(("", word[at] * 2, chance.choice(_LETTERS)))
    return word[:at] + put + word[at + 1 :]


def _wrong(text: str, chance: random.Random, typos: int) -> str:
    """As many typos in the longer words of ``text``, at times two in one."""
    parts = text.split()
    longest = sorted(range(len(parts)), key=lambda i: -len(parts[i]))[:2]
    for at in chance.choices(longest, k=typos) if typos > 1 else longest[:typos]:
        parts[at] = chance.choice((_swapped, _changed))(parts[at], chance)
    return " ".join(parts)


# --- one dataset --------------------------------------------------------------------------------


def _whole_name(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    return row.name.upper(), of.one(row)


def _turned_name(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    return " ".join(reversed(row.name.split())), of.one(row)


def _one_typo(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    return _wrong(" ".join(row.said), of.chance, 1), of.named(row)


def _two_typos(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    return _wrong(" ".join(row.said), of.chance, 2), of.named(row)


def _remembered(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """A word of the name, and two words of the description that are no longer than others."""
    return " ".join([row.said[0], *of.chance.sample(row.description.split(), 2)]), of.one(row)


def _begun(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """The name before its last word is complete; all that begin like it are right."""
    *first, last = row.said
    text = " ".join([*first, last[: max(3, len(last) - 3)]])
    return text, {other.uri: 3 for other in of.rows if other.name.startswith(text)}


def _no_such_word(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """The name, with another word for what nobody calls so."""
    return f"{' '.join(row.said)} {of.chance.choice(_ABSENT)}", of.named(row)


# --- what it should have ------------------------------------------------------------------------


def _tags(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    two = set(sorted(row.tags)[:2])
    text = " ".join(f"tag:{tag}" for tag in sorted(two))
    return text, of.graded(lambda other: 3 * (two <= other.tags))


def _tag_misspelt(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """Two tags as plain words, one of them wrong."""
    one, other = (sorted(row.tags) * 2)[:2]
    stem, _, number = one.partition("-")
    text = f"{_wrong(stem, of.chance, 1)}-{number} {other}"
    return text, of.graded(lambda row: 3 * ({one, other} <= row.tags))


def _tag_value_misspelt(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """A tag as a condition, with a typo; or as a condition without its hyphen."""
    tag = min(row.tags)
    text = of.chance.choice((_wrong(tag, of.chance, 1), tag.replace("-", "_")))
    return f"tag:{text}", of.graded(lambda other: 3 * (tag in other.tags))


def _other_form(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """The words of the name, of each the singular for the plural and the other way."""
    text = " ".join(word[:-1] if word.endswith("s") else f"{word}s" for word in row.said)
    return text, of.named(row)


def _author_by_label(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """The first label of the author's handle as a condition."""
    return f"author:{row.handle.partition('.')[0]}", of.graded(
        lambda other: 3 * (other.handle == row.handle)
    )


def _field_and_topic(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """A field of the schema as a condition, and a word of the name."""
    name, word = of.chance.choice(sorted(row.fields)), row.said[-1]
    return f"field:{name} {word}", of.graded(
        lambda other: (
            (3 if word in other.said else int(word in other.all_words)) * (name in other.fields)
        )
    )


def _fields_as_words(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """Two fields of the schema: best where they are fields, good where they name something."""
    two = set((sorted(row.fields) * 2)[:2])

    def grade(other: Row) -> int:
        if two <= other.fields:
            return 3
        tags = {tag.partition("-")[0] for tag in other.tags}
        return 2 if two <= other.fields | set(other.said) | tags else int(two <= other.all_words)

    return " ".join(sorted(two)), of.graded(grade)


def _author_and_topic(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """The author's handle, and a word of the name."""
    word = row.said[-1]
    return f"{row.handle} {word}", of.graded(
        lambda other: (
            (3 if word in other.said else int(word in other.all_words))
            * (other.handle == row.handle)
        )
    )


def _license_and_topic(of: _Corpus, row: Row) -> tuple[str, dict[str, int]]:
    """A licence in another spelling as a condition, and a word of the name."""
    word, spelt = row.said[-1], _SPELT[row.spdx or ""]
    return f'license:"{spelt}" {word}', of.graded(
        lambda other: (
            (3 if word in other.said else int(word in other.all_words)) * (other.spdx == row.spdx)
        )
    )


KINDS: dict[str, Asked] = {
    "known item": _whole_name,
    "in another order": _turned_name,
    "one typo": _one_typo,
    "two typos": _two_typos,
    "half remembered": _remembered,
    "begun": _begun,
    "singular and plural": _other_form,
    "a word that nobody uses": _no_such_word,
    "several tags": _tags,
    "tags misspelt": _tag_misspelt,
    "tag values misspelt": _tag_value_misspelt,
    "field and topic": _field_and_topic,
    "fields as words": _fields_as_words,
    "author by label": _author_by_label,
    "author and topic": _author_and_topic,
    "licence and topic": _license_and_topic,
}


def made_queries(all_rows: Sequence[Row]) -> Iterator[Judged]:
    """``EACH`` of each kind, always the same."""
    for kind, asked in KINDS.items():
        of = _Corpus(all_rows, random.Random(SEED))
        chosen = [row for row in all_rows if row.spdx] if kind.startswith("licence") else all_rows
        for row in of.chance.sample(list(chosen), EACH):
            q, grades = asked(of, row)
            yield Judged(kind, q, grades)
