"""What WCAG 2.2 AA asks of a page and can be computed: each check gives what breaks it, in words.

Run in a real browser over what it computed (styles, boxes, the accessibility tree), not over HTML.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Page

MAX_STOPS = 500  # of the tab key on one page

_COMMON = """
const visible = e => e.checkVisibility({ visibilityProperty: true, opacityProperty: true })
  && e.getClientRects().length > 0;
const quiet = e => e.closest('.quiet, .skip');
const name = e => `<${e.localName}> ${(e.textContent || e.name || '').trim().slice(0, 40)}`;
const targets = () => [...document.querySelectorAll(
  'a[href], button, input:not([type=hidden]), select, textarea, summary')]
  .filter(e => visible(e) && !quiet(e));
"""

# 1.4.3: text against what is painted behind it, 4.5:1, large text 3:1. 1.4.11 for edges of fields.
_CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const rgba = text => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
};
const over = (top, below) =>
  [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const behind = e => {
  const layers = [];
  for (let at = e; at; at = at.parentElement) {
    const style = getComputedStyle(at);
    const shape = at.closest('svg') && at.querySelector(':scope > rect');
    if (shape) layers.push(rgba(getComputedStyle(shape).fill));
    layers.push(rgba(style.backgroundColor));
  }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
};
const light = ([r, g, b]) => { const [R, G, B] = [r, g, b].map(v => v / 255)
  .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * R + .7152 * G + .0722 * B; };
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
  return (x + .05) / (y + .05); };
const found = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const e = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !visible(e) || quiet(e)) continue;
  const style = getComputedStyle(e), ground = behind(e), size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  const paint = e.closest('svg') && style.fill !== 'none' ? style.fill : style.color;
  const is = ratio(over(rgba(paint), ground), ground);
  if (is < (large ? 3 : 4.5)) found.push(`contrast ${is.toFixed(2)}: ${name(e)}`);
}
for (const e of document.querySelectorAll('input:not([type=hidden]), select')) {
  if (!visible(e)) continue;
  const edge = rgba(getComputedStyle(e).borderTopColor), ground = behind(e.parentElement);
  if (ratio(over(edge, ground), ground) < 3) found.push(`edge of ${e.name}`);
}
return found;
"""

# 2.5.8: 24 px, or inside a line of text, or with room around it.
_TARGETS = """
const all = targets().map(e => [e, e.getBoundingClientRect()]);
const middle = b => [b.left + b.width / 2, b.top + b.height / 2];
const inline = e => getComputedStyle(e).display === 'inline'
  && [...e.parentElement.childNodes].some(n => n !== e && n.textContent.trim());
const crowded = (e, box) => all.some(([other, its]) => {
  if (other === e || e.contains(other) || other.contains(e)) return false;
  const [x, y] = middle(box), [a, b] = middle(its);
  return Math.hypot(x - a, y - b) < 24;
});
return all.filter(([e, box]) => (box.width < 23.5 || box.height < 23.5)
  && !inline(e) && crowded(e, box))
  .map(([e, box]) => `small, ${box.width.toFixed()}×${box.height.toFixed()}: ${name(e)}`);
"""

# 1.3.1, 2.4.1, 2.4.2, 3.1.1, 4.1.1: landmarks, headings in order, references that lead somewhere.
_STRUCTURE = """
const found = [], count = s => document.querySelectorAll(s).length;
if (!document.documentElement.lang) found.push('no language');
if (!document.title.trim()) found.push('no title');
for (const one of ['main', 'body > header', 'body > footer', 'h1'])
  if (count(one) !== 1) found.push(`${count(one)} of ${one}`);
let last = 0;
for (const h of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
  const level = +h.localName[1];
  if (level > last + 1 && last) found.push(`h${last} is followed by h${level}: ${name(h)}`);
  last = level;
}
const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at)))
  found.push(`twice #${id}`);
for (const attr of ['aria-labelledby', 'aria-describedby', 'for', 'aria-controls'])
  for (const e of document.querySelectorAll(`[${attr}]`))
    for (const id of e.getAttribute(attr).split(/\\s+/))
      if (!document.getElementById(id)) found.push(`${attr} leads nowhere: ${id}`);
for (const e of document.querySelectorAll('img:not([alt])')) found.push(`no alt: ${e.src}`);
for (const e of document.querySelectorAll('ul, ol'))
  if ([...e.children].some(c => c.localName !== 'li')) found.push(`list with more than items`);
return found;
"""

_MOTION = """
return [...document.querySelectorAll('*')].filter(e => {
  const s = getComputedStyle(e);
  return s.animationName !== 'none' || s.transitionDuration.split(', ').some(d => d !== '0s');
}).map(name);
"""

_FOCUSED = """
const e = document.activeElement;
if (!e || e === document.body) return null;
const style = getComputedStyle(e);
if (!e.dataset.stop) e.dataset.stop = String(document.querySelectorAll('[data-stop]').length + 1);
const drawn = e.closest('svg') && e.querySelector('rect, .line');
const ring = drawn ? parseFloat(getComputedStyle(drawn).strokeWidth) >= 2
  : style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
return [e.dataset.stop, name(e), ring, visible(e)];
"""
_MISSED = "return targets().filter(e => !e.dataset.stop && e.tabIndex >= 0).map(name);"


def _run(page: Page, script: str) -> Any:
    return page.evaluate(f"() => {{ {_COMMON} {script} }}")


def contrast_of_texts(page: Page) -> list[str]:
    """Texts, and edges of fields, that stand out too little in the present colour scheme."""
    found: list[str] = _run(page, _CONTRAST)
    return found


def small_targets(page: Page) -> list[str]:
    """What is too small to be hit."""
    found: list[str] = _run(page, _TARGETS)
    return found


def structure(page: Page) -> list[str]:
    """Landmarks, headings, lists, ids and references that are not as they should be."""
    found: list[str] = _run(page, _STRUCTURE)
    return found


def motion(page: Page) -> list[str]:
    """What moves although no motion is wanted."""
    page.emulate_media(reduced_motion="reduce")
    found: list[str] = _run(page, _MOTION)
    page.emulate_media(reduced_motion=None)
    return found


def nameless(page: Page) -> list[str]:
    """What can be operated or entered and has no name in the browser's accessibility tree."""
    roles = {"link", "button", "textbox", "searchbox", "combobox", "spinbutton", "navigation"}
    roles |= {"region", "image", "checkbox", "Date"}
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return list(_nameless(nodes, roles))


def _nameless(nodes: list[dict[str, Any]], roles: set[str]) -> Iterator[str]:
    for node in nodes:
        role = node.get("role", {}).get("value")
        if not node["ignored"] and role in roles and not node.get("name", {}).get("value"):
            yield f"a nameless {role}"


def keyboard(page: Page) -> list[str]:
    """What the tab key does not reach, and where it is not seen to be."""
    page.evaluate("document.activeElement.blur()")
    found: list[str] = []
    seen = [""]
    for _ in range(MAX_STOPS):
        page.keyboard.press("Tab")
        focused = _run(page, _FOCUSED)
        if focused is None:  # behind the last stop comes the first one
            continue
        stop, name, ring, visible = focused
        if stop == seen[-1]:  # the next part of the same field
            continue
        if stop in seen:
            break
        seen.append(stop)
        found += [] if ring else [f"no ring: {name}"]
        found += [] if visible else [f"not seen: {name}"]
    return [*found, *(f"not reached: {name}" for name in _run(page, _MISSED))]


def sideways(page: Page, width: int) -> list[str]:
    """1.4.10: what makes the page wider than ``width``."""
    size = page.viewport_size
    page.set_viewport_size({"width": width, "height": 740})
    is_wide = page.evaluate("document.documentElement.scrollWidth")
    if size is not None:
        page.set_viewport_size(size)
    return [] if is_wide <= width else [f"{is_wide} wide at {width}"]
