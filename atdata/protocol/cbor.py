"""Strict DAG-CBOR, and the AT Protocol data model over it.

``decode``: canonical, definite-length, sorted unique text keys, minimal integers within 64 bits, no
floats, only tag 42 (as ``Cid``), nesting at most ``MAX_DEPTH``. ``encode`` writes the same.
``to_json`` / ``from_json`` map the data model to its JSON form ($link, $bytes).
"""
# MAX_DEPTH = 64
# def decode(data: bytes, *, max_depth=MAX_DEPTH) -> Value      raises InvalidCbor
# def encode(value: Value) -> bytes                              raises InvalidCbor
# def to_json(value: Value) -> JsonValue                         Cid -> {"$link": …}, bytes -> {"$bytes": unpadded base64}
# def from_json(value: object) -> Value                          raises InvalidCbor ; accepts padded base64 too
