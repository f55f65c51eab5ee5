"""What crawlers and browsers look for: sitemap, robots.txt, OpenSearch description.

Rule: a sitemap's part is a range of keys. Keys are hashes, so that parts are of about one size,
none has to be remembered, and what comes and goes moves nothing from one part to another.
Sources: https://www.sitemaps.org/protocol.html, RFC 9309, OpenSearch 1.1.
"""

from __future__ import annotations

from html import escape

from search_api.database import Session

PART = 20_000  # pages in one part, on average; the format takes 50,000
MAX_PARTS = 16_384
SITEMAP = "application/xml"
OPENSEARCH = "application/opensearchdescription+xml"
_KEY_BITS = 63
_NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
_COUNT = "SELECT count(*) FROM records WHERE kind IN ('dataset', 'schema')"


def count(session: Session) -> int:
    """How many pages there are at most: those of hidden accounts count too."""
    return int(session.value(_COUNT))


def parts(pages: int) -> int:
    """Into how many parts the sitemap of so many pages is cut: a power of two."""
    number = 1
    while number * PART < pages and number < MAX_PARTS:
        number *= 2
    return number


def index(number: int, origin: str) -> str:
    """The sitemap of ``number`` sitemaps. Each is named by its place and their number."""
    lines = [
        f"<sitemap><loc>{escape(f'{origin}/sitemap/{number}/{part}.xml')}</loc></sitemap>"
        for part in range(number)
    ]
    return _document("sitemapindex", lines)


# Put together by the database: in Python 50,000 addresses take most of a second. What `url_encode`
# leaves as it is means nothing in XML.
_PART = """
SELECT string_agg('<url><loc>' || $1 || CASE kind WHEN 'dataset' THEN $2 ELSE $3 END
       || url_encode(uri) || '</loc><lastmod>'
       || strftime(make_timestamp(epoch_us(indexed_at)), '%Y-%m-%dT%H:%M:%S.%g')
       || 'Z</lastmod></url>', chr(10) ORDER BY doc)
FROM (SELECT r.doc, r.kind, r.uri, r.indexed_at FROM records r
      JOIN repos p ON p.repo = r.repo AND p.active
      WHERE r.doc BETWEEN $4 AND $5 AND r.kind IN ('dataset', 'schema')
      ORDER BY r.doc LIMIT 50000)
"""


def part(session: Session, number: int, place: int, origin: str) -> str:
    """The pages of part ``place`` of ``number`` (a power of two)."""
    width = 2**_KEY_BITS // number
    pages = [f"{path}?uri=" for path in ("/dataset", "/schema")]
    lines = session.value(_PART, [escape(origin), *pages, place * width, (place + 1) * width - 1])
    return _document("urlset", [lines] if lines else [])


def is_part(number: int, place: int, pages: int) -> bool:
    """Whether there can be such a part of ``pages``: of the number of parts as it is, or as it was
    when there were half as many pages or will be when there are more."""
    is_number = parts(pages) // 2 <= number <= MAX_PARTS and number & (number - 1) == 0
    return is_number and 0 <= place < number


def robots(origin: str) -> str:
    """Pages are for everyone; queries and files are not for crawlers."""
    closed = ("/xrpc/", "/search.", "/export", "/feed.", "/mcp", "/*?*cursor=")
    rules = "".join(f"Disallow: {path}\n" for path in closed)
    return f"User-agent: *\n{rules}Sitemap: {origin}/sitemap.xml\n"


def opensearch(origin: str) -> str:
    """How a browser or a feed reader searches here."""
    base = escape(origin)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/">\n'
        "<ShortName>atdata</ShortName>\n"
        "<Description>Datasets on the AT Protocol</Description>\n"
        "<InputEncoding>UTF-8</InputEncoding>\n"
        f'<Image height="16" width="16" type="image/svg+xml">{base}/static/icon.svg</Image>\n'
        f'<Url type="text/html" template="{base}/?q={{searchTerms}}"/>\n'
        f'<Url type="application/atom+xml" template="{base}/feed.atom?q={{searchTerms}}'
        '&amp;limit={count?}"/>\n'
        f'<Url type="application/feed+json" template="{base}/feed.json?q={{searchTerms}}"/>\n'
        "</OpenSearchDescription>\n"
    )


def _document(root: str, lines: list[str]) -> str:
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{_NAMESPACE}">'
    return "\n".join([head, *lines, f"</{root}>", ""])
