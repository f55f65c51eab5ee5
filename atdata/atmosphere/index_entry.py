"""What an index hands to people: an entry, and the way from it to its samples.

Rule: there is one way from a reference to samples, ``atdata.load_dataset``, and an entry takes it:
from the library if it was pulled at this version (``cid``), else from the network as it is now.
"""

from __future__ import annotations

import builtins
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from atdata.atmosphere.entries import DatasetEntry
from atdata.dataset import Dataset, OnError
from atdata.download import pull
from atdata.find import find_dataset
from atdata.load import Lenses, load_dataset


@dataclass(frozen=True, slots=True)
class AtmosphereIndexEntry(DatasetEntry):
    """A dataset in a repository: ``uri``, ``cid``, ``name``, ``schema_ref``, ``data_urls``,
    ``metadata``, the whole ``record``; and its samples.

    Source: lexicon ``ac.foundation.dataset.record`` (successor ``science.alt.dataset.entry``).
    """

    @classmethod
    def of(cls, entry: DatasetEntry) -> Self:
        """The same entry."""
        return cls(**{f.name: getattr(entry, f.name) for f in dataclasses.fields(DatasetEntry)})

    @property
    def type(self) -> builtins.type:
        """The Python type of its samples, decoded from its schema. Fetched anew each time.
        Raises ``NotFound``, ``InvalidRecord`` and ``NetworkError``."""
        return find_dataset(self).sample_type()

    def load(
        self,
        sample_type: builtins.type | None = None,
        *,
        lens: Lenses | None = None,
        on_error: OnError = "raise",
        writable: bool = False,
    ) -> Dataset[Any]:
        """Its samples: see ``atdata.load_dataset``."""
        return load_dataset(self, sample_type, lens=lens, on_error=on_error, writable=writable)

    def pull(self, library: str | os.PathLike[str] | None = None) -> list[Path]:
        """Download it: see ``atdata.pull``."""
        return pull(self, library)
