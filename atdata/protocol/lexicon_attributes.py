"""Reading a lexicon document attribute by attribute, with the path of whatever is wrong.

Rule: the one place where the JSON of a document is touched, so that every access is checked and
every failure is ``InvalidLexicon``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from atdata.protocol.errors import InvalidLexicon, InvalidSyntax, quote
from atdata.protocol.syntax import Nsid

MAX_DEPTH = 32
DEFINITION_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,127}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attributes:
    """A JSON object in a document, read attribute by attribute. ``path`` is its JSON pointer."""

    values: Mapping[str, object]
    path: str
    nsid: str

    @classmethod
    def of(cls, value: object, path: str, nsid: str) -> Self:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise InvalidLexicon(f"lexicon {nsid or '?'} at {path or '/'}: expected an object")
        if path.count("/") > 2 * MAX_DEPTH:
            raise InvalidLexicon(f"lexicon {nsid} at {path[:80]}…: nested too deeply")
        return cls(value, path, nsid)

    def wrong(self, name: str, why: str) -> InvalidLexicon:
        return InvalidLexicon(f"lexicon {self.nsid or '?'} at {self.path}/{name}: {why}")

    def child(self, name: str) -> Self:
        return self.of(self.values.get(name), f"{self.path}/{cut(name)}", self.nsid)

    def maybe(self, name: str, kind: type[T]) -> T | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(name, f"expected {kind.__name__}, not {type(value).__name__}")
        return value

    def needed(self, name: str, kind: type[T]) -> T:
        value = self.maybe(name, kind)
        if value is None:
            raise self.wrong(name, "is missing")
        return value

    def text(self, name: str) -> str | None:
        return self.maybe(name, str)

    def integer(self, name: str) -> int | None:
        return self.maybe(name, int)

    def length(self, name: str) -> int | None:
        value = self.integer(name)
        if value is not None and value < 0:
            raise self.wrong(name, "is negative")
        return value

    def items(self, name: str, kind: type[T]) -> tuple[T, ...] | None:
        """The items of an array, all of one kind."""
        values = self.maybe(name, list)
        if values is None:
            return None
        if not all(isinstance(item, kind) and not isinstance(item, bool) for item in values):
            raise self.wrong(name, f"expected only {kind.__name__}")
        return tuple(values)

    def range(self, low: str, high: str) -> None:
        """Check that two limits leave something between them."""
        least, most = self.integer(low), self.integer(high)
        if least is not None and most is not None and least > most:
            raise self.wrong(low, f"is above {high}")

    def reference(self, name: str, text: str) -> str:
        """``text`` made absolute: ``#name`` gets the document's own NSID, ``#main`` goes."""
        nsid, _, fragment = text.partition("#")
        try:
            Nsid.parse(nsid or self.nsid)
        except InvalidSyntax as error:
            raise self.wrong(name, str(error)) from error
        if "#" in text and DEFINITION_NAME.fullmatch(fragment) is None:
            raise self.wrong(name, f"{quote(text)} is not a reference")
        return absolute(nsid or self.nsid, fragment or "main")


def absolute(nsid: str, name: str) -> str:
    """The full name of a definition: ``nsid``, or ``nsid#name`` for other than ``main``."""
    return nsid if name == "main" else f"{nsid}#{name}"


def cut(name: str) -> str:
    return ascii(name)[1:-1][:60]
