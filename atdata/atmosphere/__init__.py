"""Publishing and discovering datasets on the AT Protocol network.

Everything is loaded on first use: reading a public record needs neither the SDK nor a session.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atdata.atmosphere.blobs import PDSBlobStore as PDSBlobStore
    from atdata.atmosphere.client import AtmosphereClient as AtmosphereClient
    from atdata.atmosphere.datasets import DatasetLoader as DatasetLoader
    from atdata.atmosphere.datasets import DatasetPublisher as DatasetPublisher
    from atdata.atmosphere.index import AtmosphereIndex as AtmosphereIndex
    from atdata.atmosphere.index_entry import AtmosphereIndexEntry as AtmosphereIndexEntry
    from atdata.atmosphere.lenses import LensLoader as LensLoader
    from atdata.atmosphere.lenses import LensPublisher as LensPublisher
    from atdata.atmosphere.schemas import SchemaLoader as SchemaLoader
    from atdata.atmosphere.schemas import SchemaPublisher as SchemaPublisher
    from atdata.protocol.syntax import AtUri as AtUri

_LAZY = {
    "AtUri": "atdata.protocol.syntax",
    "AtmosphereClient": "atdata.atmosphere.client",
    "AtmosphereIndex": "atdata.atmosphere.index",
    "AtmosphereIndexEntry": "atdata.atmosphere.index_entry",
    "DatasetLoader": "atdata.atmosphere.datasets",
    "DatasetPublisher": "atdata.atmosphere.datasets",
    "LensLoader": "atdata.atmosphere.lenses",
    "LensPublisher": "atdata.atmosphere.lenses",
    "PDSBlobStore": "atdata.atmosphere.blobs",
    "SchemaLoader": "atdata.atmosphere.schemas",
    "SchemaPublisher": "atdata.atmosphere.schemas",
}

__all__ = [
    "AtUri",
    "AtmosphereClient",
    "AtmosphereIndex",
    "AtmosphereIndexEntry",
    "DatasetLoader",
    "DatasetPublisher",
    "LensLoader",
    "LensPublisher",
    "PDSBlobStore",
    "SchemaLoader",
    "SchemaPublisher",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'atdata.atmosphere' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
