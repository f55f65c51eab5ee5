"""The formats that a lexicon can ask of a string, by name.

Source: https://atproto.com/specs/lexicon#string-formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from atdata.protocol import syntax
from atdata.protocol.errors import InvalidSyntax


def _rule(kind: str, holds: Callable[[str], bool]) -> Callable[[str], object]:
    def check(text: str) -> None:
        if not isinstance(text, str):
            raise InvalidSyntax(kind, type(text).__name__, "it must be text")
        if not holds(text):
            raise InvalidSyntax(kind, text, "it breaks the rule of the format")

    return check


# Each raises InvalidSyntax for text that is not of its format.
FORMATS: Mapping[str, Callable[[str], object]] = {
    "at-identifier": syntax.parse_at_identifier,
    "at-uri": syntax.AtUri.parse,
    "cid": _rule("CID", syntax.is_cid_syntax),
    "datetime": syntax.parse_datetime,
    "did": syntax.Did.parse,
    "handle": syntax.Handle.parse,
    "language": _rule("language tag", syntax.is_language),
    "nsid": syntax.Nsid.parse,
    "record-key": syntax.RecordKey.parse,
    "tid": syntax.Tid.parse,
    "uri": _rule("URI", syntax.is_uri),
}
