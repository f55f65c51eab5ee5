"""Code of published lenses: fetched and run for one lens, when the caller has trusted it by name.

Rule (invariant 11): nothing here runs unless the caller has named the lens's AT URI and the commit
of its code in ``trust``. What is trusted then is ANY code: it runs in this process, with all rights
of its user; a commit only makes sure that it is the code that was looked at.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote as percent
from urllib.parse import urlsplit

from atdata.atmosphere.entries import read_as
from atdata.atmosphere.repository import fetch_record
from atdata.dict_sample import DictSample
from atdata.lens import Lens
from atdata.protocol.errors import InvalidRecord, NotFound, UntrustedCode, quote
from atdata.protocol.records import CodeRef, LensRecord
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import LensView
from atdata.samples import PackableSample
from atdata.settings import settings

MAX_CODE = 1_000_000  # bytes of one file
MAX_MODULES = 64

_COMMIT = re.compile(r"[0-9a-f]{40}")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)

# Where forges serve one file at one commit: {0} is the repository, {1} the commit, {2} the file.
RAW_URLS = {
    "github.com": "https://raw.githubusercontent.com/{0}/{1}/{2}",
    "gitlab.com": "https://gitlab.com/{0}/-/raw/{1}/{2}",
    "codeberg.org": "https://codeberg.org/{0}/raw/commit/{1}/{2}",
}
_LOCAL_RAW_URL = "{origin}/{0}/raw/commit/{1}/{2}"  # of a forge on this machine, in development


@dataclass(frozen=True, slots=True)
class TrustedLens:
    """A published lens whose code may be run, at one commit. Made by ``atdata.trust``."""

    uri: str
    cid: str
    commit: str
    record: LensRecord


def trust(lens: LensView | str, *, commit: str) -> TrustedLens:
    """Say that the code of one published lens, at one commit, may be run in this process.

    ``lens``: its AT URI, or what ``atdata.discovery.find_lenses`` found. ``commit``: the full hash
    (40 hex digits) of the commit that was looked at; the lens must name the same. The record is
    read from its author's own PDS. Nothing is fetched from the repository, or run, before the lens
    is used: ``atdata.load_dataset(ref, MySample, lens=trusted)``.

    **This is arbitrary code.** It runs with all your rights. Look at it first.

    Raises ``UntrustedCode`` if the lens names another commit or has changed since it was found,
    ``NotFound``, ``InvalidRecord``, ``NetworkError``.

    Source: lexicon ``ac.foundation.dataset.lens`` (codeReference).
    """
    uri = lens if isinstance(lens, str) else lens.uri
    stored = fetch_record(AtUri.parse(uri))
    record = read_as(LensRecord, stored)
    if isinstance(lens, LensView) and lens.cid != stored.cid:
        raise UntrustedCode(f"lens {uri} has changed: found as {lens.cid}, it is {stored.cid} now")
    code = _getter_code(uri, record)
    if _COMMIT.fullmatch(commit) is None or code.commit != commit:
        raise UntrustedCode(
            f"lens {uri} names commit {quote(code.commit)} of {quote(code.repository, 200)}, and "
            f"{quote(commit)} was to be trusted"
        )
    _raw_url(code)
    return TrustedLens(str(stored.uri), stored.cid, commit, record)


def how_to_trust(lens: LensView | str) -> str:
    """What to write in order to run a lens's code, for messages."""
    uri = lens if isinstance(lens, str) else lens.uri
    code = None if isinstance(lens, str) else lens.getter_code
    commit = code.commit if code and _COMMIT.fullmatch(code.commit) else "<40 hex digits>"
    return f"atdata.trust({quote(uri, 600)}, commit='{commit}')"


def code_lens(trusted: TrustedLens, source_type: type, view_type: type) -> Lens[Any, Any]:
    """Fetch and RUN the code of a trusted lens; a lens from ``source_type`` to ``view_type``.

    The getter may give any sample: it is read as ``view_type``, field by field. The putter comes
    along if it is of the same commit. Raises ``NetworkError``, ``InvalidRecord``, ``NotFound`` (no
    such function), and whatever the code itself raises.
    """
    get = _function(_getter_code(trusted.uri, trusted.record))
    putter_code = trusted.record.putter_code
    put = None
    if putter_code is not None and putter_code.commit == trusted.commit:
        put = _function(putter_code)
    return Lens(
        lambda source: _as(view_type, get(source)),
        source_type=source_type,
        view_type=view_type,
        putter=None if put is None else _putter(put, source_type),
        name=trusted.record.name,
    )


def _putter(put: Callable[[Any, Any], Any], source_type: type) -> Callable[[Any, Any], Any]:
    return lambda view, source: _as(source_type, put(view, source))


def _as(sample_type: Any, sample: Any) -> Any:
    """A sample as its own type, whatever class of samples the code has for it."""
    if isinstance(sample, sample_type):
        return sample
    if isinstance(sample, PackableSample | DictSample):
        return sample_type.from_bytes(sample.packed)
    return sample_type.from_data(sample)


def _getter_code(uri: str, record: LensRecord) -> CodeRef:
    if record.getter_code is None or not record.getter_code.repository:
        raise NotFound(f"lens {uri} does not say where its code is")
    return record.getter_code


# --- code ----------------------------------------------------------------------------------------


def _raw_url(code: CodeRef) -> str:
    """Where the one file is served, over https from a forge that is known. Raises
    ``InvalidRecord``."""
    parts = urlsplit(code.repository)
    name = parts.path.strip("/").removesuffix(".git")
    pattern = RAW_URLS.get(parts.netloc.lower()) if parts.scheme == "https" else None
    if pattern is None and settings().dev and parts.scheme == "http":
        pattern = _LOCAL_RAW_URL
    if pattern is None or not _is_path(name) or parts.query or parts.fragment:
        raise InvalidRecord(
            "/getterCode/repository",
            f"{quote(code.repository, 200)} is not https://… at {', '.join(RAW_URLS)}; get the "
            "code yourself and register it with @atdata.lens",
        )
    if _COMMIT.fullmatch(code.commit) is None:
        raise InvalidRecord("/getterCode/commit", f"{quote(code.commit)} is not 40 hex digits")
    file, _ = _file_and_function(code)
    origin = f"{parts.scheme}://{parts.netloc}"
    return pattern.format(percent(name), code.commit, percent(file), origin=origin)


def _file_and_function(code: CodeRef) -> tuple[str, str]:
    file, _, function = code.path.rpartition(":")
    if not _is_path(file) or not file.endswith(".py") or _FUNCTION.fullmatch(function) is None:
        raise InvalidRecord("/getterCode/path", f"{quote(code.path)} is not 'file.py:function'")
    return file, function


def _is_path(path: str) -> bool:
    return bool(path) and all(part not in {"", ".", ".."} for part in path.split("/"))


def _function(code: CodeRef) -> Callable[..., Any]:
    _, name = _file_and_function(code)
    found: Any = _module(_raw_url(code))
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise NotFound(f"{quote(code.path)} at {code.commit} holds no such function")
    function: Callable[..., Any] = found
    return function


@lru_cache(maxsize=MAX_MODULES)
def _module(url: str) -> types.ModuleType:
    """The code at ``url``, run in a namespace of its own."""
    source = settings().http.get_bytes(url, max_bytes=MAX_CODE)
    module = types.ModuleType(f"atdata_trusted_{abs(hash(url)):x}")
    module.__file__ = url
    sys.modules[module.__name__] = module  # where dataclasses look their annotations up
    try:
        exec(compile(source, url, "exec"), module.__dict__)  # noqa: S102 - what `trust` is for
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module
