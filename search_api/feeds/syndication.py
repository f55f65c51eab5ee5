"""A search as a feed: Atom (RFC 4287, paged by RFC 5005) and JSON Feed 1.1. Pure.

Rule: what authors wrote is text and stays text: control and format characters are made visible,
markup is escaped, what XML cannot hold is replaced, and no link is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.string_formats import FORMATS
from atdata.protocol.views import DatasetPage, DatasetView, to_json
from search_api.web.text import account, harmless, page_url

ATOM = "application/atom+xml"
JSON_FEED = "application/feed+json"
_EPOCH = "1970-01-01T00:00:00.000Z"
_NOT_IN_XML = {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a feed is: the service's ``origin``, this page of the feed, the search as a page for
    people, and the next page of the feed, if there is one."""

    origin: str
    feed: str
    page: str
    following: str | None


def title_of(q: str) -> str:
    """What a feed is called."""
    return f"Datasets: {q}" if q else "Datasets"


def json_feed(title: str, found: DatasetPage, at: Addresses) -> dict[str, Any]:
    """The feed as JSON values; ``_atdata`` of each item is the view that the API gives."""
    feed: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": harmless(title),
        "home_page_url": at.page,
        "feed_url": at.feed,
        "items": [_item(view, at.origin) for view in found.datasets],
    }
    return feed if at.following is None else {**feed, "next_url": at.following}


def _item(view: DatasetView, origin: str) -> dict[str, Any]:
    published = _published(view)
    return {
        "id": _page(view, origin),
        "url": _page(view, origin),
        "title": harmless(view.name),
        "content_text": harmless(view.description or view.name),
        "date_modified": view.indexed_at,
        "authors": [{"name": account(view.handle, view.did), "url": _author(view, origin)}],
        "tags": [harmless(tag) for tag in view.tags],
        **({} if published is None else {"date_published": published}),
        "_atdata": to_json(view),
    }


def atom(title: str, found: DatasetPage, at: Addresses) -> str:
    """The feed as XML."""
    updated = max((view.indexed_at for view in found.datasets), default=_EPOCH)
    return "\n".join(
        (
            '<?xml version="1.0" encoding="utf-8"?>',
            '<feed xmlns="http://www.w3.org/2005/Atom">',
            f"<id>{_xml(at.feed)}</id>",
            f"<title>{_xml(title)}</title>",
            f"<updated>{updated}</updated>",
            f"<generator>{_xml('atdata')}</generator>",
            _link("self", at.feed, ATOM),
            _link("alternate", at.page, "text/html"),
            *(() if at.following is None else (_link("next", at.following, ATOM),)),
            *(line for view in found.datasets for line in _entry(view, at.origin)),
            "</feed>",
            "",
        )
    )


def _entry(view: DatasetView, origin: str) -> Iterator[str]:
    yield "<entry>"
    yield f"<id>{_xml(_page(view, origin))}</id>"
    yield f"<title>{_xml(view.name)}</title>"
    yield f"<updated>{view.indexed_at}</updated>"
    if (published := _published(view)) is not None:
        yield f"<published>{published}</published>"
    name, uri = account(view.handle, view.did), _author(view, origin)
    yield f"<author><name>{_xml(name)}</name><uri>{_xml(uri)}</uri></author>"
    yield _link("alternate", _page(view, origin), "text/html")
    yield f"<summary>{_xml(view.description or view.name)}</summary>"
    for tag in view.tags:
        yield f'<category term="{_xml(tag)}"/>'
    if view.license is not None:
        yield f"<rights>{_xml(view.license)}</rights>"
    yield "</entry>"


def _link(rel: str, href: str, kind: str) -> str:
    return f'<link rel="{rel}" type="{kind}" href="{_xml(href)}"/>'


def _xml(text: str) -> str:
    return escape(str(harmless(text)).translate(_NOT_IN_XML))


def _page(view: DatasetView, origin: str) -> str:
    return origin + page_url("/dataset", uri=view.uri)


def _author(view: DatasetView, origin: str) -> str:
    return origin + page_url("/", author=view.did)


def _published(view: DatasetView) -> str | None:
    """When the author says to have made it, if that is a time."""
    try:
        FORMATS["datetime"](view.created_at)
    except InvalidSyntax:
        return None
    return view.created_at
