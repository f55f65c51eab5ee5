"""What an author wrote as a licence, read as an SPDX expression, or not at all.

Pure and tolerant: "CC BY 4.0", "cc-by-4.0" and the deed's URL mean CC-BY-4.0. Text that cannot be
read stays as written beside a NULL; hostile text costs bounded time and never raises.
"""

from __future__ import annotations

import re
from functools import cache

from license_expression import ExpressionError, Licensing, get_spdx_licensing

MAX_CHARS = 200  # the lexicons' limit
MAX_DEPTH = 8  # parentheses

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")

_URL = re.compile(
    r"https?://(?:www\.)?(?:"
    r"creativecommons\.org/licenses/(?P<cc>[a-z-]+)/(?P<version>[0-9.]+)(?:/.*)?"
    r"|creativecommons\.org/publicdomain/(?P<zero>zero)/1\.0(?:/.*)?"
    r"|(?:opensource\.org/licenses?|spdx\.org/licenses)/(?P<id>[A-Za-z0-9.+-]+?)(?:\.html|/)?"
    r"|(?:www\.)?apache\.org/licenses/(?P<apache>LICENSE-2\.0)(?:\.txt|\.html)?"
    r")",
    re.IGNORECASE,
)

# Spellings that are common and are no SPDX id even after squashing. Keys are squashed.
_ALIASES = {
    "cc0": "CC0-1.0",
    "creativecommonszero": "CC0-1.0",
    "publicdomaincc0": "CC0-1.0",
    "creativecommonsattribution40": "CC-BY-4.0",
    "creativecommonsattribution40international": "CC-BY-4.0",
    "creativecommonsattributionsharealike40": "CC-BY-SA-4.0",
    "creativecommonsattributionsharealike40international": "CC-BY-SA-4.0",
    "creativecommonsattributionnoncommercial40": "CC-BY-NC-4.0",
    "creativecommonsattributionnoncommercial40international": "CC-BY-NC-4.0",
    "apache": "Apache-2.0",
    "apache2": "Apache-2.0",
    "apacheversion20": "Apache-2.0",
    "asl20": "Apache-2.0",
    "expat": "MIT",
    "bsd2": "BSD-2-Clause",
    "bsd3": "BSD-3-Clause",
    "newbsd": "BSD-3-Clause",
    "simplifiedbsd": "BSD-2-Clause",
    "gpl2": "GPL-2.0-only",
    "gpl3": "GPL-3.0-only",
    "gplv2": "GPL-2.0-only",
    "gplv3": "GPL-3.0-only",
    "gnugplv3": "GPL-3.0-only",
    "gnugeneralpublicv30": "GPL-3.0-only",
    "gnugeneralpublicv20": "GPL-2.0-only",
    "lgpl3": "LGPL-3.0-only",
    "lgplv3": "LGPL-3.0-only",
    "agpl3": "AGPL-3.0-only",
    "agplv3": "AGPL-3.0-only",
    "mpl2": "MPL-2.0",
    "mozillapublic20": "MPL-2.0",
    "odbl": "ODbL-1.0",
    "opendatacommonsopendatabasev10": "ODbL-1.0",
    "odcby": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
    "unlicensed": "",  # npm's word for "no licence granted"; not the Unlicense
}


def spdx_of(written: str | None) -> str | None:
    """The SPDX expression that ``written`` means, in canonical spelling, or None."""
    if written is None or len(written) > MAX_CHARS:
        return None
    text = " ".join(written.split())
    if not text:
        return None
    if (url := _URL.fullmatch(text)) is not None:
        return _by_name(_id_of_url(url))
    return _by_name(text) or _by_expression(text)


def _id_of_url(match: re.Match[str]) -> str:
    if match["cc"]:
        return f"CC-{match['cc']}-{match['version']}"
    if match["zero"]:
        return "CC0-1.0"
    return "Apache-2.0" if match["apache"] else match["id"]


def _by_expression(text: str) -> str | None:
    """``MIT OR Apache-2.0``; the library knows precedence, the ids and the retired ids."""
    if not _is_well_formed(text):
        return None
    try:
        parsed = _licensing().parse(text, validate=True, strict=True)  # type: ignore[no-untyped-call]
        return None if parsed is None else _without_refs(str(parsed.render("{symbol.key}")))
    except ExpressionError:
        return None


def _is_well_formed(text: str) -> bool:
    """Ids joined by operators, parentheses balanced. (The library's parser indexes past the end of
    its own stack on some malformed input, so that it is only shown what has this shape.)"""
    depth, want_id = 0, True
    for word in text.replace("(", " ( ").replace(")", " ) ").split():
        operator = word.upper() in {"AND", "OR", "WITH"}
        if word == "(":
            depth += 1
            if not want_id or depth > MAX_DEPTH:
                return False
        elif word == ")":
            depth -= 1
            if want_id or depth < 0:
                return False
        elif operator == want_id or (not operator and _ID.fullmatch(word) is None):
            return False
        else:
            want_id = operator
    return depth == 0 and not want_id


def _by_name(text: str) -> str | None:
    """One licence by a loose spelling of its id."""
    squashed = _squash(text)
    if squashed in _ALIASES:
        return _ALIASES[squashed] or None
    return _names().get(squashed)


def _squash(text: str) -> str:
    """Letters, digits and + only, lower case, without the word "licence"."""
    words = re.sub(r"[^a-z0-9+ ]", " ", text.lower()).split()
    kept = (word for word in words if word not in {"the", "license", "licence", "version"})
    return "".join(kept)


def _without_refs(expression: str) -> str | None:
    """A LicenseRef names a private text; it is nothing that a facet could count across authors."""
    return None if "LicenseRef" in expression else expression


@cache
def _licensing() -> Licensing:
    licensing: Licensing = get_spdx_licensing()  # type: ignore[no-untyped-call]
    return licensing


@cache
def _names() -> dict[str, str]:
    """Squashed SPDX id → the id in force. Ids that squash alike are left to the exact grammar."""
    found: dict[str, set[str]] = {}
    for key, symbol in _licensing().known_symbols.items():
        if not key.startswith("LicenseRef") and not symbol.is_exception:
            found.setdefault(_squash(key), set()).add(key)
    return {name: next(iter(keys)) for name, keys in found.items() if len(keys) == 1}
