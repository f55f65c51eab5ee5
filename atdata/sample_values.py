"""The values of a sample of either kind, typed or not."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from atdata.dict_sample import DictSample
from atdata.samples import PackableSample

T = TypeVar("T")


def fields_of(sample: Any) -> dict[str, Any]:
    """The fields of a sample of any kind, in order."""
    if isinstance(sample, PackableSample):
        return {field.name: getattr(sample, field.name) for field in sample.__atdata_fields__}
    return dict(sample)


def with_own_arrays(sample: T) -> T:
    """The same sample; arrays that show its bytes have become copies, which can be written to."""
    for name, value in fields_of(sample).items():
        copy = own(value)
        if copy is not value and isinstance(sample, DictSample):
            sample._values[name] = copy
        elif copy is not value:
            object.__setattr__(sample, name, copy)
    return sample


def own(value: Any) -> Any:
    """A value of which no array shows a sample's bytes."""
    if isinstance(value, np.ndarray):
        return value if value.flags.writeable else value.copy()
    return [own(item) for item in value] if type(value) is list else value
