"""Typed samples: ``@packable`` turns an annotated class into one msgpack map per sample, and back.

Rule: what a sample's bytes say is held against its type, field by field, before anyone sees it; a
misfit is an ``InvalidSample`` that names the field. Nothing is unpickled.
Source: formats.md, "Samples in a shard".
"""

from __future__ import annotations

import dataclasses
import inspect
import keyword
import reprlib
import sys
import types
import typing
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar, dataclass_transform

import numpy as np
import ormsgpack

from atdata import ndarray
from atdata.decoding import decode_fields, reader_of, unpack
from atdata.fields import SampleField
from atdata.protocol.errors import DataError, InvalidArray, InvalidSample, UnsupportedType, quote

KEY = "__key__"

T = TypeVar("T")


# --- msgpack -------------------------------------------------------------------------------------


def _pack(values: dict[str, Any]) -> bytes:
    try:
        return ormsgpack.packb(values)
    except (TypeError, ValueError) as error:  # ormsgpack's own error is a TypeError
        raise InvalidSample(f"not expressible in msgpack: {error}") from error


class _Packed:
    """What every sample can do, whatever its fields are."""

    __slots__ = ()

    @property
    def packed(self) -> bytes:
        """One msgpack map, fields in order, arrays as npy 1.0."""
        raise NotImplementedError

    @property
    def as_wds(self) -> dict[str, Any]:
        """A sample for ``webdataset.TarWriter``: ``msgpack``, and a key of its own."""
        return {KEY: str(uuid.uuid4()), "msgpack": self.packed}


# --- typed samples -------------------------------------------------------------------------------


class PackableSample(_Packed):
    """Base of every ``@packable`` class. Compares by value, arrays included."""

    # Without annotations, so that they are no fields and get_type_hints names the fields alone.
    __atdata_fields__ = typing.cast("tuple[SampleField, ...]", ())
    __atdata_init__ = typing.cast("Any", None)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """A sample out of one msgpack map; arrays are read-only views, in either encoding.

        Raises ``InvalidSample`` that names the field which is missing, unknown or does not fit.
        """
        return cls.reader()(data)

    @classmethod
    def reader(cls) -> Callable[[bytes | memoryview], Self]:
        """``from_bytes`` as a function that many samples are read with."""
        reader = vars(cls).get("__atdata_reader__")
        if reader is None:
            # Kept with the class, each one with its own: a subclass is made in another way.
            reader = staticmethod(reader_of(cls, cls.__atdata_fields__))
            type.__setattr__(cls, "__atdata_reader__", reader)
        return typing.cast("Callable[[bytes | memoryview], Self]", reader.__func__)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """A sample out of field values, arrays as they are or encoded. Raises ``InvalidSample``."""
        return cls(**decode_fields(cls, cls.__atdata_fields__, data))

    @property
    def packed(self) -> bytes:
        """One msgpack map, fields in the order of the class, arrays as npy 1.0.

        Raises ``InvalidSample`` that names the field whose value does not fit its annotation.
        """
        values: dict[str, Any] = {}
        for field in self.__atdata_fields__:
            try:
                values[field.name] = field.encode(getattr(self, field.name))
            except DataError as error:
                raise InvalidSample(f"{type(self).__name__}.{field.name}: {error}") from error
        return _pack(values)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [field.name for field in self.__atdata_fields__]
        return all(_equal(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """One line, however large the sample: ``DigitSample(image=uint8[28, 28], digit=0)``."""
        fields = ((field.name, getattr(self, field.name)) for field in self.__atdata_fields__)
        return _line(type(self).__name__, fields)


_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 80
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = 6


def _line(name: str, fields: Iterable[tuple[str, Any]]) -> str:
    return f"{name}({', '.join(f'{field}={_brief(value)}' for field, value in fields)})"


def _brief(value: Any) -> str:
    """Arrays by dtype and shape, bytes by length, the rest cut to a line."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return _BRIEF.repr(value)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return False
    return bool(one == other)


@dataclass_transform()
def packable(cls: type[T]) -> type[T]:
    """Make an annotated class a dataclass whose instances pack into samples.

    Fields: ``str``, ``int``, ``float``, ``bool``, ``bytes``, ``NDArray`` (any dtype),
    ``NDArray[np.float64]`` (that dtype, converted if need be), ``np.ndarray``, ``list[…]``,
    ``dict``, and ``T | None`` of each. A field with a default may stand before one without; it is
    then given by keyword. The result is a ``PackableSample``.

    Raises ``UnsupportedType`` naming the field.
    """
    # Where the decorator stands: annotations of a class in a function name that function's locals.
    frame = sys._getframe(1)
    names = {**frame.f_globals, **frame.f_locals}
    try:
        hints = typing.get_type_hints(cls, localns=names, include_extras=True)
    except NameError as error:
        raise UnsupportedType(
            f"{cls.__name__}: an annotation cannot be resolved: {error}"
        ) from error
    return as_packable(cls, hints)


def as_packable(cls: type[T], hints: Mapping[str, Any]) -> type[T]:
    """``packable`` for a class whose annotations are already types. Raises ``UnsupportedType``."""
    # Before dataclasses writes the names into source text, as it does.
    for name, hint in hints.items():
        if typing.get_origin(hint) is not typing.ClassVar:
            check_field_name(name)
    init: Any = None
    own = inspect.get_annotations(cls)
    cls.__annotations__ = {name: hints[name] for name in own}  # resolved, for whoever asks later
    if "__dataclass_fields__" not in vars(cls):
        _keyword_only_before_required(cls)
        generates = "__init__" not in vars(cls)
        cls = dataclasses.dataclass(eq=False, repr=False)(cls)
        init = cls.__init__ if generates else None  # which does nothing but store the fields
    sample: Any = cls
    if not issubclass(cls, PackableSample):
        about = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
        sample = types.new_class(
            cls.__name__, (cls, PackableSample), exec_body=lambda namespace: namespace.update(about)
        )
    sample.__atdata_fields__ = tuple(
        SampleField.of(field.name, hints[field.name], _has_default(field))
        for field in dataclasses.fields(sample)
    )
    sample.__atdata_init__ = init
    if not sample.__atdata_fields__:
        raise UnsupportedType(f"{cls.__name__} has no fields")
    return typing.cast("type[T]", sample)


def check_field_name(name: str) -> None:
    """Raises ``UnsupportedType`` for a name that an attribute of a sample cannot have."""
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__"):
        raise UnsupportedType(f"field {quote(name)}: is not a name in Python")
    if unicodedata.normalize("NFKC", name) != name:
        raise UnsupportedType(f"field {quote(name)}: Python would read this name as another")
    if hasattr(PackableSample, name):
        raise UnsupportedType(f"field {quote(name)}: every sample has an attribute of this name")


def _has_default(field: dataclasses.Field[Any]) -> bool:
    nothing = dataclasses.MISSING
    return field.default is not nothing or field.default_factory is not nothing


def _keyword_only_before_required(cls: type) -> None:
    """Let a default stand before a required field, where Python cannot pass it by position."""
    required_follows = False
    for name in reversed(inspect.get_annotations(cls)):
        default = cls.__dict__.get(name, dataclasses.MISSING)
        if default is dataclasses.MISSING:
            required_follows = True
        elif required_follows and isinstance(default, dataclasses.Field):
            default.kw_only = True
        elif required_follows:
            setattr(cls, name, dataclasses.field(default=default, kw_only=True))


# --- samples without a type ----------------------------------------------------------------------


class DictSample(_Packed, Mapping[str, Any]):
    """A sample without a type: fields by attribute and by item, in the order of the data.

    Bytes that are an npy file show as arrays. The compact encoding has no mark of its own and
    stays bytes; a type tells them apart.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        self._values: dict[str, Any] = {**(values or {}), **fields}

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """A sample out of one msgpack map. Raises ``InvalidSample``."""
        return cls({name: _shown(value) for name, value in unpack(data).items()})

    @classmethod
    def reader(cls) -> Callable[[bytes | memoryview], Self]:
        """``from_bytes`` as a function that many samples are read with."""
        return cls.from_bytes

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """A sample of these fields."""
        return cls(data)

    @property
    def packed(self) -> bytes:
        """One msgpack map, fields in order, arrays as npy 1.0. Raises ``InvalidSample``."""
        return _pack({name: _stored(value) for name, value in self._values.items()})

    def __getattr__(self, name: str) -> Any:
        if name == "_values" or name not in self._values:
            raise AttributeError(f"sample has no field {quote(name)}")
        return self._values[name]

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DictSample):
            return NotImplemented
        return self.keys() == other.keys() and all(_equal(self[name], other[name]) for name in self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return _line("DictSample", self.items())


def _shown(value: Any) -> Any:
    if type(value) is bytes and ndarray.is_npy(value):
        try:
            return ndarray.decode(value)
        except InvalidArray:
            return value
    return [_shown(item) for item in value] if type(value) is list else value


def _stored(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ndarray.encode(value)
    if isinstance(value, np.generic):
        return value.item()
    return [_stored(item) for item in value] if isinstance(value, list | tuple) else value


def fields_of(sample: Any) -> dict[str, Any]:
    """The fields of a sample of any kind, in order."""
    if isinstance(sample, PackableSample):
        return {field.name: getattr(sample, field.name) for field in sample.__atdata_fields__}
    return dict(sample)


def with_own_arrays(sample: T) -> T:
    """The same sample; arrays that show its bytes have become copies, which can be written to."""
    for name, value in fields_of(sample).items():
        copy = _own(value)
        if copy is not value and isinstance(sample, DictSample):
            sample._values[name] = copy
        elif copy is not value:
            object.__setattr__(sample, name, copy)
    return sample


def _own(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value if value.flags.writeable else value.copy()
    return [_own(item) for item in value] if type(value) is list else value


# --- batches -------------------------------------------------------------------------------------


class SampleBatch(Generic[T]):
    """Some samples of one type, in order; a field of the batch is that field of all of them.

    ``batch.features`` is one array of shape ``(n, …)`` where the samples' arrays agree in shape and
    dtype, and otherwise a list of n values. ``batch["features"]`` is the same.
    """

    def __init__(self, samples: Sequence[T], columns: Mapping[str, Any] | None = None) -> None:
        """``columns`` are fields that have been put together already."""
        self.samples: list[T] = list(samples)
        self._columns: dict[str, Any] = dict(columns or {})

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[T]:
        return iter(self.samples)

    def __getitem__(self, name: str) -> Any:
        if name not in self._columns:
            self._columns[name] = _column([getattr(sample, name) for sample in self.samples])
        return self._columns[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "samples":
            raise AttributeError(name)
        return self[name]

    def __repr__(self) -> str:
        kind = type(self.samples[0]).__name__ if self.samples else "nothing"
        return f"SampleBatch({len(self)} × {kind})"


def _column(values: list[Any]) -> Any:
    first = values[0] if values else None
    if not isinstance(first, np.ndarray):
        return values
    for value in values:
        if not isinstance(value, np.ndarray):
            return values
        if value.shape != first.shape or value.dtype != first.dtype:
            return values
    if not first.ndim:
        return np.stack(values)
    return np.concatenate(values).reshape(len(values), *first.shape)  # as np.stack, but faster
