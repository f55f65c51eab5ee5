"""Typed samples: ``@packable`` turns an annotated class into one msgpack map per sample, and back.

Rule: what a sample's bytes say is held against its type, field by field, before anyone sees it; a
misfit is an ``InvalidSample`` that names the field. Nothing is unpickled.
Source: formats.md, "Samples in a shard".
"""

from __future__ import annotations

import dataclasses
import inspect
import keyword
import sys
import types
import typing
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar, dataclass_transform

from atdata.decoding import decode_fields, reader_of
from atdata.fields import SampleField
from atdata.protocol.errors import DataError, InvalidSample, UnsupportedType, quote
from atdata.sample_base import Packed, equal, line, pack

T = TypeVar("T")


class PackableSample(Packed):
    """Base of every ``@packable`` class. Compares by value, arrays included.

    Source: WebDataset (one ``.msgpack`` member a sample); MessagePack; NumPy's npy 1.0.
    """

    # Without annotations, so that they are no fields and get_type_hints names the fields alone.
    __atdata_fields__ = typing.cast("tuple[SampleField, ...]", ())
    __atdata_init__ = typing.cast("Any", None)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """A sample out of one msgpack map; arrays are read-only views, in either encoding.

        Raises ``InvalidSample`` that names the field which is missing, unknown or does not fit.
        """
        return cls.__atdata_reader__()(data)

    @classmethod
    def __atdata_reader__(cls) -> Callable[[bytes | memoryview], Self]:
        """``from_bytes`` as a function that many samples are read with."""
        read = vars(cls).get("__atdata_read__")
        if read is None:
            # Kept with the class, each one with its own: a subclass is made in another way.
            read = staticmethod(reader_of(cls, cls.__atdata_fields__))
            type.__setattr__(cls, "__atdata_read__", read)
        return typing.cast("Callable[[bytes | memoryview], Self]", read.__func__)

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
        return pack(values)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [field.name for field in self.__atdata_fields__]
        return all(equal(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """One line, however large the sample: ``DigitSample(image=uint8[28, 28], digit=0)``."""
        fields = ((field.name, getattr(self, field.name)) for field in self.__atdata_fields__)
        return line(type(self).__name__, fields)


@dataclass_transform()
def packable(cls: type[T]) -> type[T]:
    """Make an annotated class a dataclass whose instances pack into samples.

    Fields: ``str``, ``int``, ``float``, ``bool``, ``bytes``, ``NDArray`` (any dtype),
    ``NDArray[np.float64]`` (that dtype, converted if need be), ``np.ndarray``, ``list[…]``,
    ``dict``, and ``T | None`` of each. A field with a default may stand before one without; it is
    then given by keyword. The result is a ``PackableSample``. Arrays may have any shape and any
    dtype but objects.

    Raises ``UnsupportedType`` naming the field.

    Source: WebDataset (one ``.msgpack`` member a sample); MessagePack; NumPy's npy 1.0.
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
