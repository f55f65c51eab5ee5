"""Plots of a preview as paths for SVG. Pure.

Rule: a path is made of numbers alone, each within the picture, whatever the preview says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from atdata.protocol.preview_views import MAX_BARS, MAX_POINTS, LinePreview

WIDTH, HEIGHT = 120, 48
MARGIN = 3  # above and below a line, for its width
GAP = 0.16  # between bars, of their width


def line_path(line: LinePreview) -> str:
    """A band from the lowest to the highest values, closed; empty for fewer than two points."""
    pairs = list(zip(line.lows, line.highs, strict=False))[:MAX_POINTS]
    if len(pairs) < 2:
        return ""
    step = WIDTH / (len(pairs) - 1)
    above = [f"{_n(i * step)} {_n(_y(high))}" for i, (_, high) in enumerate(pairs)]
    below = [f"{_n(i * step)} {_n(_y(low))}" for i, (low, _) in enumerate(pairs)]
    return f"M{'L'.join([*above, *reversed(below)])}Z"


def bars_path(bars: Sequence[int]) -> str:
    """A bar for each number, the highest as high as the picture."""
    counts = [max(0, count) for count in bars[:MAX_BARS]]
    if not counts or not max(counts):
        return ""
    width = WIDTH / len(counts)
    parts = []
    for position, count in enumerate(counts):
        # One item is seen, too.
        height = max(1.0, count / max(counts) * (HEIGHT - MARGIN)) if count else 0
        if height:
            left, thick = _n((position + GAP / 2) * width), _n(width * (1 - GAP))
            parts.append(f"M{left} {HEIGHT}v-{_n(height)}h{thick}v{_n(height)}z")
    return "".join(parts)


def _y(part: float) -> float:
    """Where a value between 0 and 1 lies, from the top."""
    inside = min(1.0, max(0.0, part))
    return MARGIN + (1 - inside) * (HEIGHT - 2 * MARGIN)


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def number(value: float) -> str:
    """A number in a few characters: ``0.25``, ``-1.5e+09``, ``1234``."""
    if not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.4g}"
