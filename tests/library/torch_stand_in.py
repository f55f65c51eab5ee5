"""As much of PyTorch as a stream sees of it: ``torch.utils.data`` and ``torch.distributed``."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class IterableDataset(Generic[T_co]):
    """What a ``DataLoader`` iterates over instead of asking for items by number."""


@dataclass
class WorkerInfo:
    id: int
    num_workers: int


def modules(worker: WorkerInfo | None, rank: tuple[int, int] | None) -> dict[str, ModuleType]:
    """For ``sys.modules``."""
    data = ModuleType("torch.utils.data")
    data.IterableDataset = IterableDataset  # type: ignore[attr-defined]
    data.get_worker_info = lambda: worker  # type: ignore[attr-defined]
    group = ModuleType("torch.distributed")
    group.is_available = lambda: True  # type: ignore[attr-defined]
    group.is_initialized = lambda: rank is not None  # type: ignore[attr-defined]
    group.get_rank = lambda: rank[0]  # type: ignore[attr-defined, index]
    group.get_world_size = lambda: rank[1]  # type: ignore[attr-defined, index]
    named = {"torch.utils.data": data, "torch.distributed": group}
    return {"torch": ModuleType("torch"), "torch.utils": ModuleType("torch.utils"), **named}
