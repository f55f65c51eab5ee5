"""How text becomes words: the same for what is indexed and what is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_api.words import (
    MAX_QUERY_WORDS,
    MAX_WORD,
    exact_form,
    index_words,
    query_words,
    whole_form,
)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("CIFAR-10", "cifar 10"),
        ("CIFAR-10", "cifar10"),
        ("CIFAR10", "cifar"),
        ("ImageSample", "sample"),
        ("ImageSample", "imagesample"),
        ("HTTPServerLogs", "server"),
        ("bounding_box", "bounding"),
        ("bounding_box", "boundingbox"),
        ("alice.example.com", "alice"),
        ("Café Zürich", "cafe zurich"),
        ("cafe", "CAFÉ"),
        ("Straße", "strasse"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("日本語の画像", "日本"),
        ("日本語の画像", "画像"),
        ("हिन्दी पाठ", "हिन्दी"),
        ("한국어 말뭉치", "말뭉치"),
        ("ＦＵＬＬ ｗｉｄｔｈ", "full width"),
        ("🪸 reef", "🪸"),
        ("İstanbul", "istanbul"),
    ],
)
def test_a_name_is_found_by_what_people_type(name: str, asked: str) -> None:
    assert query_words(asked)
    assert set(query_words(asked)) <= set(index_words(name))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Über", {"uber"}),
        ("Façon", {"facon"}),
        ("Wrocław", {"wrocław"}),
        ("GRÖSSE", {"grosse"}),
        ("Straße2", {"strasse2", "strasse", "2"}),
        ("MünchenTram", {"munchentram", "munchen", "tram"}),
        ("NaïveBayes", {"naivebayes", "naive", "bayes"}),
        ("ΑθήναΧάρτης", {"αθηναχαρτησ", "αθηνα", "χαρτησ"}),
        ("e\u0301tatMajor", {"etatmajor", "etat", "major"}),
    ],
)
def test_a_letter_with_an_accent_is_a_letter_of_its_part(name: str, words: set[str]) -> None:
    assert set(index_words(name)) == words


@given(st.text())
def test_every_text_is_found_by_itself(text: str) -> None:
    """Whatever the characters: no error, and asking for the text finds it."""
    assert set(query_words(text)) <= set(index_words(text))


@given(st.text())
def test_words_are_bounded_and_hold_no_blanks(text: str) -> None:
    for word in query_words(text) + index_words(text):
        assert 0 < len(word) <= MAX_WORD
        assert word.split() == [word]


def test_a_query_has_a_bounded_number_of_words() -> None:
    assert len(query_words("a " * 1000)) == MAX_QUERY_WORDS


def test_punctuation_alone_is_no_word() -> None:
    assert query_words("!!! \" ' () [] {} : \\ AND* + - ~ ^ ?") == ["and"]


def test_names_that_differ_in_case_and_punctuation_only_have_one_exact_form() -> None:
    assert exact_form("CIFAR-10") == exact_form("cifar 10") == exact_form(" Cifar_10! ")
    assert exact_form("cifar 10") != exact_form("cifar 100")


def test_a_name_as_a_whole_keeps_its_signs_and_accents() -> None:
    assert whole_form(' "C++  Code" ') == whole_form("c++ CODE") == "c++ code"
    assert len({whole_form(name) for name in ("C++", "C#", "C", "Café", "Cafe")}) == 5
    assert whole_form("e\u0301") == whole_form("É")
    assert whole_form("\ud83d") == "?"  # as a JSON message may have it: no text of an index
