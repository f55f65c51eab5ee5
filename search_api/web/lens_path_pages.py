"""Paths through lenses: between ends that are picked by name, or to all that is within reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from atdata.protocol.discovery_views import LensPath, LensPaths
from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.namespaces import FOUNDATION
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import LensView
from search_api.discovery import Discovery
from search_api.field_terms import FieldTerm
from search_api.lens_routes import Route
from search_api.search import Search
from search_api.web import text
from search_api.web.end_names import EndNames, Named
from search_api.web.lens_pages import ends_of, path_ends
from search_api.web.rendering import Renderer
from search_api.xrpc import Params, invalid

FIND_LENS_PATH = f"{FOUNDATION}.findLensPath"
PATHS = 10
REACHABLE = 12
READINGS = 20
OFFERED = 60  # newest lenses, whose ends are offered while one types
EXAMPLES = 4  # of them
_DATASETS = ("record", "entry")


@dataclass(frozen=True, slots=True)
class Asked:
    """What paths were asked for. The ends are URIs; what was typed for one is in ``from_name`` and
    ``to_name`` only while it is not known which record is meant."""

    start: str | None
    target: str | None
    from_name: str | None
    to_name: str | None
    needs: str
    verified: bool
    putters: bool

    def at(self, **changes: object) -> str:
        """The URL of this page, with other parameters."""
        given: dict[str, object] = {
            "from": self.start,
            "target": self.target,
            "fromName": self.from_name,
            "toName": self.to_name,
            "needs": self.needs,
            "verified": "true" if self.verified else None,
            "putters": "true" if self.putters else None,
        }
        return text.page_url("/lens-path", **{**given, **changes})


class LensPathPages:
    """One method per page, from the request to the whole answer."""

    def __init__(self, renderer: Renderer, search: Search, discovery: Discovery) -> None:
        self._renderer, self._search, self._discovery = renderer, search, discovery
        self._names = EndNames(search, discovery)

    def path(self, request: Request) -> Response:
        """From a schema or a dataset to a schema, or to any that has the fields needed; without
        either of these, to all that lenses lead to."""
        params = self._renderer.params(request, FIND_LENS_PATH)
        begin = self._end(request, "from", "fromName", datasets=True)
        end = self._end(request, "target", "toName", datasets=False)
        needs = tuple(term for each in params.texts("needs") for term in each.split())
        unclear = [named for named in (begin, end) if named.typed and named.uri is None]
        found = None
        if not unclear and (end.uri is not None or needs):
            found = self._paths(params, begin.uri, end.uri, needs)
        readings = None
        if not unclear and found is None and begin.uri is not None:
            readings = self._readings(begin.uri, verified=bool(params.values["verified"]))
        lenses = self._discovery.lenses(None, None, None, OFFERED, None).lenses
        ends = path_ends(found.paths if found is not None else readings or ())
        names = self._called(begin.uri, [*ends, *ends_of(lenses), *_texts(end.uri)])
        return self._renderer.page(
            request,
            "lens-path.html",
            found=found,
            readings=readings,
            begin=begin,
            end=end,
            unclear=unclear,
            begins_at_dataset=begin.uri is not None and _is_dataset(begin.uri),
            asked=_asked(begin, end, needs, params),
            names=names,
            offered_from=_offered(lenses, names, lambda lens: lens.source_schema),
            offered_to=_offered(lenses, names, lambda lens: lens.target_schema),
            examples=_examples(lenses, names),
        )

    def _end(self, request: Request, by_uri: str, by_name: str, *, datasets: bool) -> Named:
        """An end of the path as its URI says, or else as it is called."""
        given = request.query_params.get(by_uri, "").strip()
        try:
            uri = AtUri.parse(given) if given else None
        except InvalidSyntax as error:
            raise invalid(str(error)) from error
        typed = request.query_params.get(by_name, "").strip()
        if uri is not None or not typed:
            return Named("", uri)
        return self._names.find(typed, datasets=datasets)

    def _called(self, start: AtUri | None, schemas: Sequence[str]) -> dict[str, str]:
        """How the ends are called, by their URIs, as far as they are indexed."""
        names = self._search.schema_names([*schemas, *_texts(start)])
        if start is not None and _is_dataset(start):
            names[str(start)] = self._search.dataset(start).dataset.name
        return names

    def _paths(
        self, params: Params, start: AtUri | None, target: AtUri | None, needs: tuple[str, ...]
    ) -> LensPaths:
        is_dataset = start is not None and _is_dataset(start)
        return self._discovery.lens_paths(
            (None, start) if is_dataset else (start, None),
            target,
            tuple(map(FieldTerm.parse, needs)),
            Route(
                limit=PATHS,
                hops=params.integer("hops"),
                puts=bool(params.values["putters"]),
                verified=bool(params.values["verified"]),
                reachable=REACHABLE,
            ),
        )

    def _readings(self, start: AtUri, *, verified: bool) -> tuple[LensPath, ...]:
        """To the nearest schemas; of a dataset, from its own schema."""
        schema = start
        if _is_dataset(start):
            try:
                schema = AtUri.parse(self._search.dataset(start).dataset.schema_uri)
            except InvalidSyntax:  # what its author wrote names no schema
                return ()
        return self._discovery.readings(schema, READINGS, verified=verified)


def _asked(begin: Named, end: Named, needs: Sequence[str], params: Params) -> Asked:
    return Asked(
        start=None if begin.uri is None else str(begin.uri),
        target=None if end.uri is None else str(end.uri),
        from_name=begin.typed if begin.uri is None else None,
        to_name=end.typed if end.uri is None else None,
        needs=" ".join(needs),
        verified=bool(params.values["verified"]),
        putters=bool(params.values["putters"]),
    )


def _offered(
    lenses: Sequence[LensView], names: Mapping[str, str], end: Callable[[LensView], str]
) -> list[str]:
    """What the schemas at one end of ``lenses`` are called, each once, in order."""
    found = {names[end(lens)] for lens in lenses if end(lens) in names}
    return sorted(found, key=str.lower)


def _examples(lenses: Sequence[LensView], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of schemas between which a lens leads."""
    pairs = dict.fromkeys((lens.source_schema, lens.target_schema) for lens in lenses)
    return [pair for pair in pairs if all(end in names for end in pair)][:EXAMPLES]


def _texts(uri: AtUri | None) -> list[str]:
    return [] if uri is None else [str(uri)]


def _is_dataset(uri: AtUri) -> bool:
    return str(uri.collection).endswith(_DATASETS)
