"""What ``atdata`` and ``atdata.atmosphere`` offer is there, and says what it is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import atdata
from atdata import atmosphere, discovery, index


def public(module: ModuleType) -> list[tuple[str, Any]]:
    return [(f"{module.__name__}.{name}", getattr(module, name)) for name in module.__all__]


SEAMS = [
    (f"atdata.index.{name}", value)
    for name, value in vars(index).items()
    if inspect.isclass(value) and value.__module__ == "atdata.index"
]
NAMES = [*public(atdata), *public(atmosphere), *SEAMS]


LEXICONS = Path(atdata.__file__).parent / "lexicons/ac/foundation/dataset"


def _lexicons_named() -> set[str]:
    texts = [inspect.getdoc(thing) or "" for _, thing in NAMES]
    return set(re.findall(r"ac\.foundation\.dataset\.\w+", " ".join(texts)))


def undocumented(name: str, thing: Any) -> Iterator[str]:
    """The thing itself and what a class of ours adds to it."""
    if not inspect.getdoc(thing):
        yield name
    for part, value in vars(thing).items() if inspect.isclass(thing) else ():
        function = getattr(value, "fget", None) or getattr(value, "__func__", value)
        ours = inspect.isfunction(function) and function.__module__.startswith("atdata")
        if ours and not part.startswith("_") and not inspect.getdoc(getattr(thing, part)):
            yield f"{name}.{part}"


@pytest.mark.parametrize(("name", "thing"), NAMES, ids=[name for name, _ in NAMES])
def test_a_public_name_says_what_it_is(name: str, thing: Any) -> None:
    assert list(undocumented(name, thing)) == []


# What has no format or protocol of others in it: functions of the caller's own, values in memory,
# and seams that are about no particular place.
OUR_OWN = {"Lens", "lens", "SampleBatch", "configure", *(name.split(".")[-1] for name, _ in SEAMS)}
LOOKED_FOR = [(f"atdata.discovery.{name}", getattr(discovery, name)) for name in discovery.__all__]


@pytest.mark.parametrize(
    ("name", "thing"), dict([*NAMES, *LOOKED_FOR]).items(), ids=dict([*NAMES, *LOOKED_FOR])
)
def test_a_public_name_says_whose_format_it_follows(name: str, thing: Any) -> None:
    said = "\nSource: " in (inspect.getdoc(thing) or "")
    assert said != (name.split(".")[-1] in OUR_OWN)


@pytest.mark.parametrize("lexicon", sorted(_lexicons_named()))
def test_a_lexicon_that_is_named_is_one_of_ours(lexicon: str) -> None:
    assert (LEXICONS / f"{lexicon.rpartition('.')[2]}.json").is_file()


TALKERS = [
    (name, thing)
    for name, thing in public(atmosphere)
    if name.endswith(("Loader", "Publisher", "Index", "Client", "Store"))
]


@pytest.mark.parametrize(("name", "thing"), TALKERS, ids=[name for name, _ in TALKERS])
def test_what_talks_to_hosts_says_what_it_raises(name: str, thing: Any) -> None:
    methods = [(part, value) for part, value in vars(thing).items() if inspect.isfunction(value)]
    silent = [
        part
        for part, method in methods
        if not part.startswith("_")
        and not re.search(r"Raises|See ``", inspect.getdoc(method) or "")
    ]
    assert (len(methods) > 0, silent) == (True, [])


def test_what_is_offered_is_listed() -> None:
    assert set(atdata.__all__) <= set(dir(atdata))
    assert set(atmosphere.__all__) <= set(dir(atmosphere))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        atdata.nothing  # noqa: B018
