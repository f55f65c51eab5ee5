"""``atdata preview``: the first samples of a dataset in a terminal.

Rule: the same bounded preview that the page shows; what samples hold is printed harmless.
"""

from __future__ import annotations

from typing import Annotated

import typer

from atdata.cli.find import Api, Dev
from atdata.cli.output import Json, console, named_errors, plain, print_json
from atdata.protocol.preview_views import MAX_SAMPLES, SamplePreview, ValuePreview
from atdata.settings import configure

_BARS = "▁▂▃▄▅▆▇█"


@named_errors
def preview(
    ref: Annotated[str, typer.Argument(help="AT URI of a dataset, or @handle/name.")],
    samples: Annotated[int, typer.Option("-n", min=1, max=MAX_SAMPLES, help="How many.")] = 4,
    json: Json = False,
    api: Api = None,
    dev: Dev = False,
) -> None:
    """The first samples of a dataset: text, numbers, shapes and a small plot of each array."""
    from atdata.find import find_dataset
    from atdata.preview import preview as first_samples

    configure(api=api, dev=dev or None)
    made = first_samples(find_dataset(ref, api=api), samples)
    if json:
        print_json(made)
        return
    for sample in made.samples:
        _print_sample(sample)


def _print_sample(sample: SamplePreview) -> None:
    out = console()
    out.print(plain(sample.key), style="bold", soft_wrap=True)
    if sample.problem is not None:
        out.print(f"  {plain(sample.problem)}", style="red", soft_wrap=True)
    for value in sample.values:
        out.print(f"  {plain(value.name)}: {plain(_line(value))}", soft_wrap=True)
    if sample.fields > len(sample.values):
        out.print(f"  … and {sample.fields - len(sample.values)} more fields")


def _line(value: ValuePreview) -> str:
    parts = []
    if value.dtype is not None and value.shape is not None:
        parts.append(f"{value.dtype} [{', '.join(map(str, value.shape))}]")
    if value.low is not None and value.high is not None:
        parts.append(f"{value.low:.4g} … {value.high:.4g}")
    if value.lines:
        line = value.lines[0]
        heights = [(low + high) / 2 for low, high in zip(line.lows, line.highs, strict=True)]
        parts.append(_plot(heights[:: max(1, len(heights) // 32)]))
    elif value.bars:
        parts.append(_plot([count / max(value.bars) for count in value.bars]))
    if value.image is not None:
        parts.append(f"image {value.image.width}×{value.image.height}")
    elif value.text is not None:
        more = value.kind == "text" and len(value.text) < (value.length or 0)
        parts.append(value.text.replace("\n", " ") + ("…" if more else ""))
    if value.kind == "bytes":
        parts.append(f"({value.length:,} bytes)")
    return "  ".join(parts) or value.kind


def _plot(heights: list[float]) -> str:
    return "".join(_BARS[min(len(_BARS) - 1, int(height * len(_BARS)))] for height in heights)
