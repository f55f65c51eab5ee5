"""Arrays in the dtype that an annotation names.

Rule: what is converted stays what it was. Integers must have room in the new dtype, value by value;
floats may be rounded, but none becomes infinite; anything else is refused.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atdata.protocol.errors import InvalidArray

Array = NDArray[Any]

NUMBERS = frozenset("biufc")  # kinds of dtypes: booleans, integers, floats, complex
_INTEGERS = frozenset("iu")


def conform(array: Array, dtype: np.dtype[Any] | None) -> Array:
    """``array`` in ``dtype``: itself (no copy) if it is that already, else converted.

    Numbers are converted within their kind or to a wider one (int → float, float64 → float32; not
    float → int, nor signed → unsigned), as long as all of them fit: an integer must be one of the
    new dtype, or below the power of two up to which a float holds every integer (2²⁴ for float32),
    and a finite float must stay finite. Raises ``InvalidArray`` for anything else.
    """
    if dtype is None or array.dtype == dtype:
        return array
    if dtype.itemsize == 0 or dtype.kind in "mM":  # text of any width, times of any unit
        if array.dtype.kind == dtype.kind:
            return array
    elif array.dtype.kind in NUMBERS and np.can_cast(array.dtype, dtype, "same_kind"):
        _check_integers(array, dtype)
        return _converted(array, dtype)
    raise InvalidArray(f"an array of {array.dtype} cannot be read as {dtype}")


def widens(have: np.dtype[Any], want: np.dtype[Any]) -> bool:
    """Whether arrays of ``have`` can be read as ``want``, but for values at the edge: floats that
    become infinite, and 64-bit integers that a float64 does not hold."""
    if want.itemsize == 0 or want.kind in "mM":
        return have.kind == want.kind
    if not {have.kind, want.kind} <= NUMBERS:
        return False
    floats = {have.kind, want.kind} <= frozenset("fc") and np.can_cast(have, want, "same_kind")
    return floats or bool(np.can_cast(have, want, "safe"))


def _check_integers(array: Array, dtype: np.dtype[Any]) -> None:
    bounds = _bounds(array.dtype, dtype)
    if bounds is None or not array.size:
        return
    for value in (int(array.min()), int(array.max())):
        if not bounds[0] <= value <= bounds[1]:
            raise InvalidArray(
                f"an array of {array.dtype} cannot be read as {dtype}: {value} is not between "
                f"{bounds[0]} and {bounds[1]}"
            )


@lru_cache(maxsize=1024)
def _bounds(have: np.dtype[Any], want: np.dtype[Any]) -> tuple[int, int] | None:
    """Between which the integers of ``have`` must lie to be the same in ``want``; None if all of
    them are."""
    if have.kind not in _INTEGERS:
        return None
    if want.kind in _INTEGERS:
        low, high = int(np.iinfo(want).min), int(np.iinfo(want).max)
    else:
        high = 2 ** (np.finfo(want).nmant + 1)  # up to there, a float holds every integer
        low = -high
    own = np.iinfo(have)
    return None if low <= own.min and own.max <= high else (low, high)


def _converted(array: Array, dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):  # which is looked for below, and has a name
        converted: Array = array.astype(dtype)
    narrows = array.dtype.kind in "fc" and not np.can_cast(array.dtype, dtype, "safe")
    if narrows and bool((np.isfinite(array) & ~np.isfinite(converted)).any()):
        raise InvalidArray(
            f"an array of {array.dtype} cannot be read as {dtype}: a value is too large for it"
        )
    converted.flags.writeable = array.flags.writeable
    return converted
