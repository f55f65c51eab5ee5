"""Which tags and licences the visible datasets have, and which go together.

Rule: tags, and licences that are no SPDX expression, are compared without case and outer blanks;
counts are of datasets, each once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from atdata.protocol.views import LicenseCount, TagCount
from search_api.database import Session

Place: TypeAlias = tuple[int, str]  # count and value where a page ended

# Datasets that carry all of $4 (folded, without repeats); any if there are none.
_WITHIN = """
(len($4::VARCHAR[]) = 0 OR doc IN (
    SELECT doc FROM dataset_tags WHERE lower(trim(tag)) = ANY($4)
    GROUP BY doc HAVING count(DISTINCT lower(trim(tag))) = len($4::VARCHAR[])))
"""
_COUNTED = """
SELECT value, count(*) AS n FROM ({values}) JOIN records r USING (doc)
JOIN repos p ON p.repo = r.repo AND p.active
GROUP BY value HAVING $1::BIGINT IS NULL OR (-n, value) > (-$1::BIGINT, $2::VARCHAR)
ORDER BY n DESC, value LIMIT $3
"""
_TAGS = _COUNTED.format(
    values="SELECT DISTINCT doc, lower(trim(tag)) AS value FROM dataset_tags "  # noqa: S608
    "WHERE trim(tag) <> '' AND starts_with(value, $5) AND NOT contains($4::VARCHAR[], value) "
    f"AND {_WITHIN}"
)
_LICENSES = _COUNTED.format(
    values="SELECT doc, coalesce(license_spdx, lower(nullif(trim(license), ''))) AS value "  # noqa: S608
    f"FROM datasets WHERE value IS NOT NULL AND starts_with(lower(value), $5) AND {_WITHIN}"
)


def tags(
    session: Session, prefix: str, together: Sequence[str], limit: int, after: Place | None
) -> tuple[TagCount, ...]:
    """Tags (folded) that begin with ``prefix`` (folded), most datasets first, then by text; with
    ``together`` (folded), those that datasets with all of these have besides."""
    rows = session.rows(_TAGS, [*(after or (None, None)), limit, _distinct(together), prefix])
    return tuple(TagCount(tag, count) for tag, count in rows)


def licenses(
    session: Session, prefix: str, together: Sequence[str], limit: int, after: Place | None
) -> tuple[LicenseCount, ...]:
    """Licences, like ``tags``; ``together`` are tags."""
    rows = session.rows(_LICENSES, [*(after or (None, None)), limit, _distinct(together), prefix])
    return tuple(LicenseCount(name, count) for name, count in rows)


def _distinct(texts: Sequence[str]) -> list[str]:
    return sorted(set(texts))
