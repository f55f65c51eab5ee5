"""Publish, find and stream typed datasets on the AT Protocol network.

Everything here is loaded on first use: ``import atdata`` alone loads neither NumPy nor any network
code, so that programs which need only the protocol's vocabulary stay small.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

# Not lazy: ``atdata.lens`` is a module and, for ``@atdata.lens``, the decorator in it. Bound here
# once, the name is the decorator always; ``from atdata.lens import …`` finds the module as ever.
from atdata.lens import Lens, lens

if TYPE_CHECKING:
    from atdata import settings as settings
    from atdata.batches import SampleBatch as SampleBatch
    from atdata.dataset import Dataset as Dataset
    from atdata.dict_sample import DictSample as DictSample
    from atdata.discovery import find_lens_path as find_lens_path
    from atdata.discovery import find_lenses as find_lenses
    from atdata.discovery import search as search
    from atdata.download import pull as pull
    from atdata.lens_code import trust as trust
    from atdata.load import load_dataset as load_dataset
    from atdata.protocol.syntax import AtUri as AtUri
    from atdata.samples import PackableSample as PackableSample
    from atdata.samples import packable as packable
    from atdata.settings import configure as configure
    from atdata.sources import BlobSource as BlobSource
    from atdata.sources import LocalSource as LocalSource
    from atdata.sources import URLSource as URLSource
    from atdata.streams import Stream as Stream
    from atdata.tar import Limits as Limits

    __version__: str

_LAZY = {
    "AtUri": "atdata.protocol.syntax",
    "BlobSource": "atdata.sources",
    "Dataset": "atdata.dataset",
    "DictSample": "atdata.dict_sample",
    "Limits": "atdata.tar",
    "LocalSource": "atdata.sources",
    "PackableSample": "atdata.samples",
    "SampleBatch": "atdata.batches",
    "Stream": "atdata.streams",
    "URLSource": "atdata.sources",
    "configure": "atdata.settings",
    "find_lens_path": "atdata.discovery",
    "find_lenses": "atdata.discovery",
    "load_dataset": "atdata.load",
    "packable": "atdata.samples",
    "pull": "atdata.download",
    "search": "atdata.discovery",
    "trust": "atdata.lens_code",
}

__all__ = [
    "AtUri",
    "BlobSource",
    "Dataset",
    "DictSample",
    "Lens",
    "Limits",
    "LocalSource",
    "PackableSample",
    "SampleBatch",
    "Stream",
    "URLSource",
    "configure",
    "find_lens_path",
    "find_lenses",
    "lens",
    "load_dataset",
    "packable",
    "pull",
    "search",
    "trust",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("atdata")
    if name == "settings":
        return import_module("atdata.settings")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'atdata' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
