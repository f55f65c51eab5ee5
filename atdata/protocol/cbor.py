"""Strict DAG-CBOR, and the AT Protocol data model over it.

Rule: ``encode(decode(data)) == data`` for all data that ``decode`` accepts: canonical and definite,
sorted unique text keys, minimal integers of 64 bits, no floats, no tag but 42 (as ``Cid``), nesting
at most ``max_depth``. Nothing is built from a tag that the network chose, and every failure is
``InvalidCbor``. Sources: https://atproto.com/specs/data-model, https://ipld.io/specs/codecs/dag-cbor.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import cbor2
import libipld

from atdata.protocol.cid import RAW_LENGTH, Cid
from atdata.protocol.errors import InvalidCbor, InvalidCid, quote

MAX_DEPTH = 64
MIN_INTEGER = -(1 << 63)
MAX_INTEGER = (1 << 64) - 1

# What decode gives …
Value: TypeAlias = "bool | int | str | bytes | Cid | list[Value] | dict[str, Value] | None"
# … and what encode takes: tuples and any mapping as well.
Data: TypeAlias = "bool | int | str | bytes | Cid | Sequence[Data] | Mapping[str, Data] | None"
JsonValue: TypeAlias = "bool | int | str | list[JsonValue] | dict[str, JsonValue] | None"

_LINK_TAG = 42
_LINK_SIZE = 2 + 2 + 1 + RAW_LENGTH  # tag, byte string head, 00, CID

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = (major << 5 for major in range(6))
_LINK_HEAD = bytes((0xD8, _LINK_TAG, 0x58, RAW_LENGTH + 1, 0))


def decode(data: bytes, *, max_depth: int = MAX_DEPTH) -> Value:
    """Read exactly one value. The caller limits the length of ``data``: a value takes up to about
    80 bytes of memory for each byte of input. Raises ``InvalidCbor``.
    """
    # libipld settles the structure (order, duplicates, tags, UTF-8, trailing bytes), but cannot
    # tell links from byte strings. cbor2 can, and after libipld it meets no tag but 42, so none of
    # the objects that it would otherwise build for the sender.
    try:
        libipld.decode_dag_cbor(data)
    except RecursionError as error:
        raise InvalidCbor(f"CBOR is nested deeper than {max_depth}") from error
    except (ValueError, TypeError) as error:
        raise InvalidCbor(f"not strict DAG-CBOR: {error}") from error
    try:
        value: Value = cbor2.loads(data, tag_hook=_link, max_depth=max_depth + 2)
    except cbor2.CBORError as error:
        raise InvalidCbor(f"CBOR: {error.__cause__ or error}") from error
    # What libipld lets through is longer than need be: compare with the shortest length.
    if _minimal_size(value, max_depth) != len(data):
        raise InvalidCbor("CBOR: an integer or a length is not in its shortest form")
    return value


def encode(value: Data, *, max_depth: int = MAX_DEPTH) -> bytes:
    """Canonical DAG-CBOR. Raises ``InvalidCbor`` for what the data model cannot hold."""
    out: list[bytes] = []
    try:
        _encode(value, max_depth, out)
    except UnicodeEncodeError as error:
        raise InvalidCbor(f"CBOR: text is not valid Unicode: {error.reason}") from error
    return b"".join(out)


def _link(tag: cbor2.CBORTag, immutable: bool) -> Cid:
    # libipld has seen to it that this is tag 42 of a byte string which starts with 00.
    return Cid(tag.value[1:])


def _minimal_size(value: Value, depth: int) -> int:
    """The number of bytes of ``value`` in canonical form; also checks types, range and depth."""
    if isinstance(value, str):
        size = len(value) if value.isascii() else len(value.encode())
        return size + _head_size(size)
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, int):
        if value < MIN_INTEGER:
            raise InvalidCbor(f"CBOR: integer {value} is below -2⁶³")
        return _head_size(value if value >= 0 else ~value)
    if isinstance(value, bytes):
        return len(value) + _head_size(len(value))
    if isinstance(value, Cid):
        return _LINK_SIZE
    if not isinstance(value, list | dict):
        raise InvalidCbor(f"CBOR: {type(value).__name__} is not in the data model")
    if depth == 0:
        raise InvalidCbor("CBOR: nested too deeply")
    size = _head_size(len(value))
    if isinstance(value, list):
        return size + sum(_minimal_size(item, depth - 1) for item in value)
    for key, item in value.items():
        size += _minimal_size(key, 0) + _minimal_size(item, depth - 1)
    return size


def _head_size(number: int) -> int:
    if number < 24:
        return 1
    if number < 0x100:
        return 2
    if number < 0x10000:
        return 3
    return 5 if number < 0x1_0000_0000 else 9


def _encode(value: object, depth: int, out: list[bytes]) -> None:
    if isinstance(value, str):
        text = value.encode()
        out += (_head(_TEXT, len(text)), text)
    elif value is None:
        out.append(b"\xf6")
    elif isinstance(value, bool):
        out.append(b"\xf5" if value else b"\xf4")
    elif isinstance(value, int):
        out.append(_encode_int(value))
    elif isinstance(value, bytes):
        out += (_head(_BYTES, len(value)), value)
    elif isinstance(value, Cid):
        out += (_LINK_HEAD, value.raw)
    elif isinstance(value, list | tuple):
        _go_deeper(depth)
        out.append(_head(_ARRAY, len(value)))
        for item in value:
            _encode(item, depth - 1, out)
    elif isinstance(value, Mapping):
        _go_deeper(depth)
        _encode_map(value, depth - 1, out)
    else:
        raise InvalidCbor(f"CBOR: {type(value).__name__} is not in the data model")


def _encode_int(value: int) -> bytes:
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        raise InvalidCbor(f"CBOR: integer of {value.bit_length()} bits; 64 are allowed")
    return _head(_UINT, value) if value >= 0 else _head(_NEGATIVE, ~value)


def _encode_map(value: Mapping[object, object], depth: int, out: list[bytes]) -> None:
    entries: list[tuple[int, bytes, object]] = []
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidCbor(f"CBOR: a map key is {type(key).__name__}, not text")
        text = key.encode()
        entries.append((len(text), text, item))
    entries.sort(key=_key_order)
    out.append(_head(_MAP, len(entries)))
    for size, text, item in entries:
        out += (_head(_TEXT, size), text)
        _encode(item, depth, out)


def _key_order(entry: tuple[int, bytes, object]) -> tuple[int, bytes]:
    """Shorter keys first, then by bytes: the order of their encoded forms."""
    return entry[0], entry[1]


def _go_deeper(depth: int) -> None:
    if depth == 0:
        raise InvalidCbor("CBOR: nested too deeply")


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes((major | number,))
    if number < 0x100:
        return bytes((major | 24, number))
    if number < 0x10000:
        return bytes((major | 25,)) + number.to_bytes(2)
    if number < 0x1_0000_0000:
        return bytes((major | 26,)) + number.to_bytes(4)
    return bytes((major | 27,)) + number.to_bytes(8)


# --- JSON form ---------------------------------------------------------------------------------


def to_json(value: Data, *, max_depth: int = MAX_DEPTH) -> JsonValue:
    """The JSON form: links as ``{"$link": …}``, bytes as ``{"$bytes": …}`` (base64, unpadded).

    Raises ``InvalidCbor`` for what the data model cannot hold.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Cid):
        return {"$link": str(value)}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii").rstrip("=")}
    if not isinstance(value, list | tuple | Mapping):
        raise InvalidCbor(f"{type(value).__name__} is not in the data model")
    _go_deeper(max_depth)
    if isinstance(value, Mapping):
        return {key: to_json(item, max_depth=max_depth - 1) for key, item in value.items()}
    return [to_json(item, max_depth=max_depth - 1) for item in value]


def from_json(value: object, *, max_depth: int = MAX_DEPTH) -> Value:
    """The value whose JSON form (as ``json.loads`` gives it) is ``value``.

    Takes padded and unpadded base64, and floats without a fraction (``123.0``) as integers. Checks
    the shapes of links, bytes and blobs, and that ``$type`` is a name. Raises ``InvalidCbor``.
    """
    return _from_json(value, max_depth, strict=True)


def record_from_json(value: object, *, max_depth: int = MAX_DEPTH) -> dict[str, Value]:
    """What ``to_json`` made of a record that is on the network already, whatever it claims.

    In CBOR a blob may have any size and ``$type`` any value, and an object may have a key ``$link``
    without being a link: such are taken as the objects that they are. An object that is a link's or
    bytes' JSON form to the last character is taken for that; the record's CID tells. Raises
    ``InvalidCbor``.
    """
    if not isinstance(value, dict):
        raise InvalidCbor(f"a record is an object, not {type(value).__name__}")
    found = _from_json(value, max_depth, strict=False)
    if not isinstance(found, dict):
        raise InvalidCbor("a record is an object, not a link or bytes")
    return found


def _from_json(value: object, depth: int, *, strict: bool) -> Value:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _json_text(value)
    if isinstance(value, int | float):
        return _json_integer(value)
    if isinstance(value, list):
        _go_deeper(depth)
        return [_from_json(item, depth - 1, strict=strict) for item in value]
    if not isinstance(value, dict):
        raise InvalidCbor(f"{type(value).__name__} is not a JSON value")
    if "$link" in value or "$bytes" in value:
        try:
            return _json_special(value)
        except InvalidCbor:
            if strict:
                raise
    _go_deeper(depth)
    return _json_object(value, depth - 1, strict=strict)


def _json_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidCbor(f"text is not valid Unicode: {error.reason}") from error
    return text


def _json_integer(number: int | float) -> int:
    if isinstance(number, float) and not number.is_integer():
        raise InvalidCbor(f"{number} is not an integer, and the data model has no floats")
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise InvalidCbor("an integer is outside 64 bits")
    return int(number)


def _json_special(value: dict[object, object]) -> Cid | bytes:
    """A link or bytes. They are no level of nesting in CBOR."""
    if "$link" in value:
        return _json_link(_only(value, "$link"))
    return _json_bytes(_only(value, "$bytes"))


def _json_object(value: dict[object, object], depth: int, *, strict: bool) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidCbor(f"a key is {type(key).__name__}, not text")
        found[_json_text(key)] = _from_json(item, depth, strict=strict)
    if strict and "$type" in found:
        _check_type(found)
    return found


def _only(value: dict[object, object], key: str) -> str:
    """The text under ``key``, which must be alone."""
    text = value[key]
    if len(value) != 1 or not isinstance(text, str):
        raise InvalidCbor(f"{key} must hold text and be the only key of its object")
    return text


def _json_link(text: str) -> Cid:
    try:
        return Cid.parse(text)
    except InvalidCid as error:
        raise InvalidCbor(f"$link: {error}") from error


def _json_bytes(text: str) -> bytes:
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidCbor(f"$bytes: {quote(text)} is not base64") from error


def _check_type(value: dict[str, Value]) -> None:
    name = value["$type"]
    if not isinstance(name, str) or not name:
        raise InvalidCbor("$type must be text and not empty")
    if name != "blob":
        return
    size, mime_type = value.get("size"), value.get("mimeType")
    if not isinstance(value.get("ref"), Cid):
        raise InvalidCbor("blob: ref must be a link")
    if not isinstance(mime_type, str) or not mime_type:
        raise InvalidCbor("blob: mimeType must be text and not empty")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidCbor("blob: size must be an integer of 0 or more")
