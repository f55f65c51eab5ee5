"""Other forms of a word, held against pairs that people mix up and pairs that they don't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_api.word_forms import forms, roots


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("image", "images"),
        ("map", "maps"),
        ("city", "cities"),
        ("day", "days"),
        ("box", "boxes"),
        ("class", "classes"),
        ("speech", "speeches"),
        ("recording", "recordings"),
        ("record", "recordings"),
        ("sample", "sampling"),
        ("map", "mapping"),
        ("label", "labeled"),
        ("annotate", "annotated"),
        ("automaton", "automata"),
        ("spectrum", "spectra"),
        ("analysis", "analyses"),
        ("vertex", "vertices"),
        ("matrix", "matrices"),
        ("larva", "larvae"),
        ("stimulus", "stimuli"),
    ],
)
def test_two_forms_of_one_word_propose_each_other(one: str, other: str) -> None:
    assert other in forms(one)
    assert one in forms(other)


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("gas", "ga"),
        ("bus", "bu"),
        ("class", "clas"),
        ("string", "str"),
        ("king", "k"),
        ("thing", "the"),
        ("red", "r"),
        ("virus", "viru"),
        ("signal", "sign"),
        ("cifar", "cifa"),
    ],
)
def test_an_ending_is_not_cut_off_a_word_that_has_none(word: str, other: str) -> None:
    assert other not in forms(word)


def test_numbers_names_and_other_scripts_have_one_form() -> None:
    assert not any(map(forms, ("", "ab", "10", "cifar10", "größe", "画", "x" * 41)))


def test_nouns_of_adjectives_in_all_their_forms() -> None:
    assert "music" in roots("musical")
    assert "dimensions" in roots("dimensional")
    assert "hour" in roots("hourly")
    assert roots("final") == roots("music") == ()


@given(st.text(alphabet="abdeginosuxy", min_size=1, max_size=12))
def test_any_word_has_a_bounded_number_of_others(word: str) -> None:
    assert word not in forms(word)
    assert len(forms(word)) == len(set(forms(word))) <= 60
    assert len(roots(word)) <= 120
