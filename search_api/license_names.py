"""What people call licences by that names several: "public domain". Pure.

Rule: a name that means several finds each of them; one that means a single licence is read by
``spdx_of`` and not here.
"""

from __future__ import annotations

import re

# Nothing is asked in return: SPDX has no licence of the name "public domain" itself.
PUBLIC_DOMAIN = ("CC0-1.0", "CC-PDDC", "CC-PDM-1.0", "PDDL-1.0", "Unlicense")

_CALLED = {
    "publicdomain": PUBLIC_DOMAIN,
    "publicdomainmark": PUBLIC_DOMAIN,
    "publicdomaindedication": PUBLIC_DOMAIN,
}


def licenses_called(text: str) -> tuple[str, ...]:
    """The SPDX names of all licences that ``text`` means together; empty if it is none of these
    names. Case, blanks and signs do not count, nor does the word licence."""
    squashed = re.sub(r"[^a-z]|licen[cs]e", "", text.lower())
    return _CALLED.get(squashed, ())


def spoken(spdx: str) -> str:
    """Words that a dataset under ``spdx`` is found by besides; empty for most."""
    return "public domain" if spdx in PUBLIC_DOMAIN else ""
