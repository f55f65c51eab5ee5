"""Lenses: two-way transformations between sample types, and the network that they form.

Rule: a lens is found by the pair of types that its getter's annotations name, so that a dataset can
be read as another type without anybody passing functions around.
"""

from __future__ import annotations

import sys
import typing
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from atdata.protocol.errors import NotFound, TypeMismatch, UnsupportedType

S = TypeVar("S")
V = TypeVar("V")

MAX_PATH = 8  # lenses in a row


class Lens(Generic[S, V]):
    """A getter from source to view and, once it has one, a putter back. Calling it is getting."""

    def __init__(
        self,
        getter: Callable[[S], V],
        *,
        source_type: type[S],
        view_type: type[V],
        putter: Callable[[V, S], S] | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or getattr(getter, "__name__", "lens")
        self.source_type = source_type
        self.view_type = view_type
        self.getter = getter
        self.putter_function = putter
        self.__doc__ = getter.__doc__

    def get(self, source: S) -> V:
        """The view of ``source``."""
        return self.getter(source)

    __call__ = get

    def put(self, view: V, source: S) -> S:
        """``source`` with what ``view`` shows of it put in. Raises ``NotFound`` without putter."""
        if self.putter_function is None:
            raise NotFound(f"lens {self.name} has no putter; add one with @{self.name}.putter")
        return self.putter_function(view, source)

    def putter(self, function: Callable[[V, S], S]) -> Callable[[V, S], S]:
        """Decorator: ``function(view, source) -> source`` is this lens's way back."""
        self.putter_function = function
        return function

    def then(self, onward: Lens[V, Any]) -> Lens[S, Any]:
        """This lens and then ``onward``, as one."""

        def get(source: S) -> Any:
            return onward.get(self.get(source))

        def put(view: Any, source: S) -> S:
            return self.put(onward.put(view, self.get(source)), source)

        return Lens(
            get,
            source_type=self.source_type,
            view_type=onward.view_type,
            putter=put,
            name=f"{self.name} → {onward.name}",
        )

    def __repr__(self) -> str:
        return f"Lens({self.name}: {self.source_type.__name__} → {self.view_type.__name__})"


class LensNetwork:
    """Sample types joined by lenses."""

    def __init__(self) -> None:
        self._from: dict[type, dict[type, Lens[Any, Any]]] = {}

    def register(self, lens: Lens[Any, Any]) -> None:
        """Add a lens; a later one between the same two types takes the place of the earlier."""
        self._from.setdefault(lens.source_type, {})[lens.view_type] = lens

    def sources(self) -> tuple[type, ...]:
        """Every type that a lens leads away from."""
        return tuple(self._from)

    def path(self, source: type, view: type) -> tuple[Lens[Any, Any], ...] | None:
        """The fewest lenses that lead from ``source`` to ``view``, None if none do."""
        queue: deque[tuple[type, tuple[Lens[Any, Any], ...]]] = deque([(source, ())])
        seen = {source}
        while queue:
            at, path = queue.popleft()
            if at is view:
                return path
            if len(path) == MAX_PATH:
                continue
            for neighbour, lens in self._from.get(at, {}).items():
                if neighbour not in seen:
                    seen.add(neighbour)
                    queue.append((neighbour, (*path, lens)))
        return None

    def find(self, source: type, view: type) -> Lens[Any, Any]:
        """One lens from ``source`` to ``view``, composed if need be. Raises ``TypeMismatch``."""
        path = self.path(source, view)
        if not path:
            known = ", ".join(repr(lens) for lens in self._from.get(source, {}).values())
            raise TypeMismatch(
                f"no lens leads from {source.__name__} to {view.__name__}"
                f" (from {source.__name__} there is {known or 'none'}); write one with @lens"
            )
        found, *onward = path
        for lens in onward:
            found = found.then(lens)
        return found


NETWORK = LensNetwork()


def lens(getter: Callable[[S], V]) -> Lens[S, V]:
    """Make ``getter(source: A) -> B`` a lens and register it.

    Raises ``UnsupportedType`` if the annotations do not name both types.
    """
    # As for @packable: types of a function's own are resolved where the decorator stands.
    frame = sys._getframe(1)
    name = getattr(getter, "__name__", repr(getter))
    try:
        hints = typing.get_type_hints(getter, localns={**frame.f_globals, **frame.f_locals})
    except NameError as error:
        raise UnsupportedType(f"lens {name}: unresolved annotation: {error}") from error
    view_type = hints.pop("return", None)
    if len(hints) != 1 or not isinstance(view_type, type):
        raise UnsupportedType(f"lens {name}: annotate it as (source: A) -> B")
    (source_type,) = hints.values()
    made: Lens[S, V] = Lens(getter, source_type=source_type, view_type=view_type)
    NETWORK.register(made)
    return made
