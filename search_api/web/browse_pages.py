"""The pages to look around in: all tags, all licences, and what one account has published.

Rule: they ask ``listTags``, ``listLicenses`` and ``getProfile``, read by the same lexicons; what is
typed, chosen and turned to is in the URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from atdata.protocol.discovery_views import LabelView
from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.namespaces import FOUNDATION
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import DatasetView
from search_api.conditions import Question
from search_api.discovery import Discovery
from search_api.discovery_methods import required_account
from search_api.search import Search
from search_api.web import text
from search_api.web.lens_pages import ends_of
from search_api.web.rendering import Renderer, given_limit, turn_of
from search_api.web.turning import Turn
from search_api.xrpc import Params

LIST_TAGS = f"{FOUNDATION}.listTags"
LIST_LICENSES = f"{FOUNDATION}.listLicenses"
GET_PROFILE = f"{FOUNDATION}.getProfile"
PAGE = 100  # values on a page, unless another number is asked for
BESIDE = 12  # licences shown beside tags
MAX_TOGETHER = 10  # tags, as the lexicons allow


@dataclass(frozen=True, slots=True)
class Browsed:
    """What a list of values was asked for: their beginning, and the tags of the datasets counted.
    ``path`` is the page's own, ``limit`` the size asked for, ``turn`` which page it is."""

    path: str
    prefix: str
    together: tuple[str, ...]
    limit: int | None
    turn: Turn

    @classmethod
    def of(cls, path: str, request: Request, params: Params) -> Browsed:
        """As the parameters say; a tag that comes twice counts once."""
        tags = {tag.lower(): tag for tag in reversed(params.texts("with"))}
        together = tuple(reversed(tags.values()))
        limit = given_limit(request, params)
        return cls(path, params.text("prefix") or "", together, limit, turn_of(request, params))

    @property
    def size(self) -> int:
        """Values on a page."""
        return self.limit or PAGE

    @property
    def is_full(self) -> bool:
        """No tag more can be asked for."""
        return len(self.together) >= MAX_TOGETHER

    def page(self, **place: object) -> str:
        """The list from its beginning, or from another ``place`` on."""
        return self._url(self.prefix, self.together, **place)

    def adding(self, tag: str) -> str:
        """What datasets have that have ``tag``, too."""
        return self._url("", (*self.together, tag))

    def without(self, tag: str) -> str:
        """The same without ``tag``."""
        return self._url(self.prefix, tuple(other for other in self.together if other != tag))

    def at(self, path: str) -> str:
        """The list of another kind, of the same datasets."""
        return text.page_url(path, **{"with": self.together})

    def all(self) -> str:
        """The same, whatever the values begin with."""
        return self._url("", self.together)

    def datasets(self, tag: str | None = None, license_: str | None = None) -> str:
        """The search for the datasets that are counted: with the tags, and one value more."""
        tags = self.together if tag is None else (*self.together, tag)
        return text.page_url("/", tags=tags, license=license_)

    def _url(self, prefix: str, together: tuple[str, ...], **place: object) -> str:
        named = {"prefix": prefix, "with": together, "limit": self.limit, **place}
        return text.page_url(self.path, **named)


class BrowsePages:
    """One method per page, from the request to the whole answer."""

    def __init__(self, renderer: Renderer, search: Search, discovery: Discovery) -> None:
        self._renderer, self._search, self._discovery = renderer, search, discovery

    def tags(self, request: Request) -> Response:
        """All tags; or those that go together with some."""
        params = self._renderer.params(request, LIST_TAGS)
        asked = Browsed.of("/tags", request, params)
        found = self._discovery.tags(asked.prefix, asked.together, asked.size, asked.turn.cursor)
        beside = self._discovery.licenses("", asked.together, BESIDE, None).licenses
        return self._renderer.page(
            request,
            "browse-tags.html",
            asked=asked,
            found=found,
            licenses=beside,
            total=self._total(asked.together),
        )

    def licenses(self, request: Request) -> Response:
        """All licences; or those of datasets with some tags."""
        params = self._renderer.params(request, LIST_LICENSES)
        asked = Browsed.of("/licenses", request, params)
        found = self._discovery.licenses(
            asked.prefix, asked.together, asked.size, asked.turn.cursor
        )
        return self._renderer.page(
            request,
            "browse-licenses.html",
            asked=asked,
            found=found,
            total=self._total(asked.together),
        )

    def author(self, request: Request) -> Response:
        """An account, with its newest records of each kind."""
        params = self._renderer.params(request, GET_PROFILE)
        actor = required_account(params, "actor")
        profile = self._discovery.profile(actor, params.integer("limit"))
        return self._renderer.page(
            request,
            "browse-author.html",
            profile=profile,
            names=self._search.schema_names(ends_of(profile.lenses)),
            labelled=self._labelled(profile.labels),
        )

    def _total(self, tags: Sequence[str]) -> int:
        """How many datasets have all of ``tags``."""
        return self._search.datasets(Question(tags=tuple(tags)), 1, None).hits_total

    def _labelled(self, labels: Sequence[LabelView]) -> dict[str, DatasetView]:
        """The visible datasets that are named, by their URIs."""
        named: dict[str, AtUri] = {}
        for label in labels:
            with suppress(InvalidSyntax):
                named[label.dataset_uri] = AtUri.parse(label.dataset_uri)
        details = self._discovery.datasets(list(named.values())).datasets
        return {detail.dataset.uri: detail.dataset for detail in details}
