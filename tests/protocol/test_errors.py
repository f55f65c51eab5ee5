"""Errors go from one process to another as they are: worker processes send them so."""

from __future__ import annotations

import pickle

import pytest

from atdata.protocol import errors
from atdata.protocol.errors import AtdataError

GIVEN: dict[str, tuple[object, ...]] = {
    "InvalidSyntax": ("DID", "did:", "is cut short"),
    "CidMismatch": ("bafy1", "bafy2", "blob"),
    "InvalidRecord": ("/name", "is missing"),
    "FetchFailed": ("broke off", 503, b"later", 2.0),
    "XrpcError": (400, "RecordNotFound", "no such record"),
    "InvalidShard": ("a.tar", "is cut short", "x.msgpack", 512),
    "InvalidSample": ("is no map", "a.tar", "x.msgpack", 512),
}
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, AtdataError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_survives_its_pickle(kind: type[AtdataError]) -> None:
    error = kind(*GIVEN.get(kind.__name__, ("why",)))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)
