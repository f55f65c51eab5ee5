"""A type decoded from a published schema is as good as one that somebody wrote."""

from __future__ import annotations

import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, PDSBlobStore
from atdata.protocol.errors import InvalidSample, TypeMismatch
from deploy.devnet.devnet import Devnet
from tests.atmosphere.made import tar_of

pytestmark = pytest.mark.devnet

Accounts = Callable[[int, str], AtmosphereClient]


@atdata.packable
class Everything:
    mask: NDArray[np.uint8] | None
    text: str
    number: int
    ratio: float
    flag: bool
    raw: bytes
    image: NDArray
    exact: NDArray[np.float64]
    small: NDArray[np.uint16]
    words: list[str]
    table: list[list[int]]
    crops: list[NDArray[np.int8]]
    note: str | None = None


def everything(n: int) -> Everything:
    return Everything(
        mask=None if n % 2 else np.full((2, n), n, np.uint8),
        text=f"nº {n}",
        number=2**64 - 1 - n,
        ratio=n / 3,
        flag=bool(n % 2),
        raw=bytes([n]),
        image=np.full((n, 2), n, np.int32),
        exact=np.full(n, 1 / 3),
        small=np.full(2, 65_535, np.uint16),
        words=["a"] * n,
        table=[[n], []],
        crops=[np.full(1, -n, np.int8)] * 2,
        note="n" if n % 2 else None,
    )


@pytest.fixture
def author(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(0, "decoded-author")


@pytest.fixture
def published(author: AtmosphereClient, tmp_path: Path) -> Any:
    path = tmp_path / "all.tar"
    path.write_bytes(tar_of(everything(n) for n in range(6)))
    index = AtmosphereIndex(author, data_store=PDSBlobStore(author))
    return index.insert_dataset(atdata.Dataset[Everything](path), name="everything")


@pytest.fixture
def decoded(published: Any, accounts: Accounts) -> Any:
    """The type as somebody on another PDS gets it."""
    return AtmosphereIndex(accounts(1, "decoded-reader")).decode_schema(published.schema_ref)


def test_all_field_types_keep_their_values_and_dtypes(published: Any, decoded: Any) -> None:
    read = list(atdata.Dataset[decoded](atdata.BlobSource.from_uris(published.data_urls)))
    assert [type(sample) for sample in read] == [decoded] * 6
    assert [sample.packed for sample in read] == [everything(n).packed for n in range(6)]
    hints = typing.get_type_hints(decoded)
    assert hints["small"] == NDArray[np.uint16]
    assert hints["mask"] == NDArray[np.uint8] | None
    assert hints["crops"] == list[NDArray[np.int8]]
    assert hints["table"] == list[list[int]]
    assert (read[0].small.dtype, read[0].image.dtype) == (np.uint16, np.int32)
    with pytest.raises(InvalidSample, match="small"):
        decoded.from_data({**vars(read[0]), "small": np.ones(1, np.float64)})


def test_lenses_lead_from_and_to_a_decoded_type(published: Any, decoded: Any) -> None:
    @atdata.packable
    class Text:
        text: str

    @atdata.lens
    def text_of(source: decoded) -> Text:
        return Text(source.text)

    @text_of.putter
    def put_text(view: Text, source: decoded) -> decoded:
        return decoded(**{**vars(source), "text": view.text})

    dataset = atdata.load_dataset(published.uri)
    assert dataset.sample_type is decoded
    seen = list(dataset.as_type(Text))
    assert seen == [Text(f"nº {n}") for n in range(6)]
    source = next(iter(dataset))
    assert text_of.put(Text("new"), source).text == "new"
    assert text_of.put(text_of(source), source) == source


def test_samples_without_a_type_become_samples_of_it(published: Any, decoded: Any) -> None:
    loose = atdata.load_dataset(published.uri, atdata.DictSample)
    assert [sample.text for sample in loose] == [f"nº {n}" for n in range(6)]
    typed = list(loose.as_type(decoded))
    assert [sample.packed for sample in typed] == [everything(n).packed for n in range(6)]
    back = list(atdata.load_dataset(published.uri, decoded).as_type(atdata.DictSample))
    assert [sample.number for sample in back] == [2**64 - 1 - n for n in range(6)]


def test_two_schemas_of_one_name_do_not_mix(
    author: AtmosphereClient, published: Any, decoded: Any, tmp_path: Path
) -> None:
    other = atdata.packable(type("Everything", (), {"__annotations__": {"text": bytes}}))
    path = tmp_path / "other.tar"
    path.write_bytes(tar_of([other(text=b"\x00")]))
    index = AtmosphereIndex(author, data_store=PDSBlobStore(author))
    entry = index.insert_dataset(atdata.Dataset[other](path), name="other", schema_version="2.0.0")
    loaded = atdata.load_dataset(entry.uri)
    assert loaded.sample_type.__name__ == decoded.__name__ == "Everything"
    assert loaded.sample_type is not decoded
    assert [sample.text for sample in loaded] == [b"\x00"]
    assert atdata.load_dataset(published.uri).sample_type is decoded
    with pytest.raises(TypeMismatch, match="'text' is bytes"):
        atdata.load_dataset(entry.uri, decoded)


def test_a_decoded_type_is_published_like_a_written_one(
    author: AtmosphereClient, published: Any, decoded: Any
) -> None:
    index = AtmosphereIndex(author)
    assert index.publish_schema(decoded) == published.schema_ref
