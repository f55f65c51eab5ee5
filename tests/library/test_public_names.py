"""What ``atdata`` and ``atdata.atmosphere`` offer is there, and says what it is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import atdata
from atdata import atmosphere, index


def public(module: ModuleType) -> list[tuple[str, Any]]:
    return [(f"{module.__name__}.{name}", getattr(module, name)) for name in module.__all__]


SEAMS = [
    (f"atdata.index.{name}", value)
    for name, value in vars(index).items()
    if inspect.isclass(value) and value.__module__ == "atdata.index"
]
NAMES = [*public(atdata), *public(atmosphere), *SEAMS]


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


def test_what_is_offered_is_listed() -> None:
    assert set(atdata.__all__) <= set(dir(atdata))
    assert set(atmosphere.__all__) <= set(dir(atmosphere))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        atdata.nothing  # noqa: B018
