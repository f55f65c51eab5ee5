"""The query box: what is syntax, and that everything else is plain words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_api.query_language import (
    FIELDS,
    MAX_CONDITIONS,
    FieldCondition,
    ParsedQuery,
    parse_query,
)
from search_api.words import MAX_QUERY_WORDS, query_words


def condition(name: str, value: str, *, excluded: bool = False) -> ParsedQuery:
    return ParsedQuery(conditions=(FieldCondition(name, value, excluded),))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("", ParsedQuery()),
        ("Coral reef", ParsedQuery(("coral", "reef"), open_end=True)),
        (
            '"Coral reef" fish',
            ParsedQuery(("coral", "reef", "fish"), (("coral", "reef"),), open_end=True),
        ),
        ('fish "coral reef"', ParsedQuery(("fish", "coral", "reef"), (("coral", "reef"),))),
        (
            "reef -bleached",
            ParsedQuery(("reef",), excluded=(("bleached",),), open_end=True),
        ),
        ('-"red sea" reef', ParsedQuery(("reef",), excluded=(("red", "sea"),), open_end=True)),
        ("tag:marine", condition("tag", "marine")),
        ('tag:"red sea"', condition("tag", "red sea")),
        ("-tag:marine", condition("tag", "marine", excluded=True)),
        ("LICENCE:MIT", condition("license", "MIT")),
        ("did:plc:abc", condition("did", "plc:abc")),
        ("schema:at://x/y/z", condition("schema", "at://x/y/z")),
        ("author:@alice.test", condition("author", "@alice.test")),
    ],
)
def test_syntax(text: str, parsed: ParsedQuery) -> None:
    assert parse_query(text) == parsed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"coral reef', ("coral", "reef")),
        ('coral" reef', ("coral", "reef")),
        ("colour:red", ("colour", "red")),
        ("tag:", ("tag",)),
        ('tag:""', ("tag",)),
        ("mnist schema:-", ("mnist", "schema")),
        ("author:@ mnist", ("author", "mnist")),
        ('-tag:"?!"', ("tag",)),
        ("- -", ()),
        ("-", ()),
        ("AND OR (x)", ("and", "or", "x")),
        ("https://example.com/a", ("https", "example", "com", "a")),
        ("semi-supervised", ("semi", "supervised")),
        ("a-b -", ("a", "b")),
        ("*", ()),
    ],
)
def test_what_is_no_syntax_is_words(text: str, words: tuple[str, ...]) -> None:
    parsed = parse_query(text)
    assert parsed.words == words
    assert (list(parsed.phrases), list(parsed.excluded), list(parsed.conditions)) == ([], [], [])


def test_stop_words_decide_only_where_there_are_no_others() -> None:
    assert parse_query("the sounds of whales").needed == ("sounds", "whales")
    assert parse_query("to be or").needed == ("to", "be", "or")


def test_the_last_word_may_be_begun_but_not_in_quotes() -> None:
    assert parse_query("coral re").prefix == "re"
    assert parse_query('coral "re"').prefix is None
    assert parse_query("coral the").prefix is None
    assert parse_query("th").prefix == "th"


@pytest.mark.parametrize("behind", ["tag:marine", "-bleached", '-"red sea" tag:a', "-", "-- !"])
def test_what_narrows_a_search_leaves_its_last_word_open(behind: str) -> None:
    assert parse_query(f"coral re {behind}").prefix == "re"


@pytest.mark.parametrize("behind", ['"red sea"', "the"])
def test_more_words_end_it(behind: str) -> None:
    assert parse_query(f"coral re {behind}").prefix is None


@pytest.mark.parametrize(
    ("text", "author", "beside"),
    [
        ("alice.example.com reefs", "alice.example.com", ("reefs",)),
        ("reefs @Alice.Example.COM", "alice.example.com", ("reefs",)),
        ("@sound-lab", "sound-lab", ()),
        ("data of @sound-lab", "sound-lab", ()),
        ("music music.example.com", "music.example.com", ("music",)),
        ("a.example b.example", "a.example", ("b", "example")),
        ("version 1.0", None, ("version", "1", "0")),
        ('"alice.example.com" -bob.example.com', None, ("alice", "example", "com")),
        ("sound-lab", None, ("sound", "lab")),
        ("a@b.example", None, ("a", "b", "example")),
    ],
)
def test_a_handle_among_the_words(text: str, author: str | None, beside: tuple[str, ...]) -> None:
    parsed = parse_query(text)
    assert (parsed.author, parsed.beside.words) == (author, beside)
    assert parsed.beside.author is None


def test_what_is_written_in_one_piece_is_known() -> None:
    parsed = parse_query('noisy semi-supervised time-series "red sea" a.example')
    assert [parsed.words[start:end] for start, end in parsed.runs] == [
        ("semi", "supervised"),
        ("time", "series"),
    ]
    assert parsed.beside.runs == ()


def test_behind_a_handle_nothing_is_begun() -> None:
    assert parse_query("@alice re").beside.prefix == "re"
    assert parse_query("reefs @alice").beside.prefix is None


@given(st.text() | st.text(alphabet='-" :tag\t'))
def test_every_text_is_a_query(text: str) -> None:
    parsed = parse_query(text)
    assert len(parsed.words) <= MAX_QUERY_WORDS
    assert len(parsed.phrases + parsed.excluded + parsed.conditions) <= MAX_CONDITIONS
    assert all(condition.name in FIELDS and condition.value for condition in parsed.conditions)
    assert bool(parsed.needed) == bool(parsed.words)
    assert len(parsed.beside.words) <= len(parsed.words)


@given(st.text(alphabet=st.characters(exclude_characters='-":')))
def test_without_syntax_every_word_is_asked_for(text: str) -> None:
    assert list(parse_query(text).words) == query_words(text)
