"""The code blocks of the specification, cut out of its text, and how one of them is run.

Rule: a block runs as written. What differs is put in by ``Change``, each of which must find its
place; everything else that a block needs is a name that an earlier block or the text around it has
introduced.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COPY = Path(__file__).with_name("atmosphere.txt")
ORIGINAL = Path(__file__).resolve().parents[3] / "shared" / "spec" / "atmosphere.txt"

CALLOUTS = frozenset({"Warning", "Note", "Tip"})
MAX_HEADING = 60

# How a paragraph of code begins. A line of prose begins with a capital letter or a bullet.
_CODE = re.compile(r"(from|import|for|if|with|pip|print)\b|[@#]|[a-z_]\w* = |SampleType = | {4}\S")
_TABLE_HEAD = "Python Type ATProto Type"


@dataclass(frozen=True, slots=True)
class Block:
    """A code block: the heading that it stands under, and its text."""

    number: int
    section: str
    text: str

    @property
    def first_line(self) -> str:
        """The first line that is neither a comment nor an import the block shares with others."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        telling = [line for line in lines if not line.startswith(("#", "import ", "from "))]
        return (telling or lines)[0].strip()

    @property
    def key(self) -> str:
        """What tests call it."""
        return f"{self.number:02d} {self.section}"


@dataclass(frozen=True, slots=True)
class Change:
    """``written`` stands in the block exactly ``times`` times and becomes ``run``."""

    written: str
    run: str
    times: int = 1


@dataclass
class Trace:
    """What a block left behind: what it printed, and each value that a statement of it bound, in
    order (``bound["source"]`` is a list)."""

    printed: str = ""
    bound: dict[str, list[Any]] = field(default_factory=dict)

    def last(self, name: str) -> Any:
        """The value that the name has after the block."""
        return self.bound[name][-1]


def blocks(text: str) -> list[Block]:
    """Every code block, in the order of the text."""
    found: list[Block] = []
    section, code = "", list[str]()
    for paragraph in [*_paragraphs(text), "End"]:
        if _CODE.match(paragraph):
            code.append(paragraph)
            continue
        if code:
            found.append(Block(len(found) + 1, section, "\n\n".join(code)))
            code = []
        if _is_heading(paragraph):
            section = paragraph
    return found


def table(text: str) -> list[tuple[str, str]]:
    """The rows of "Supported Field Types": Python type and what the record calls it."""
    (paragraph,) = (p for p in _paragraphs(text) if p.startswith(_TABLE_HEAD))
    rows = paragraph.splitlines()[1:]
    parts = [re.fullmatch(r"(T \\\| None|\S+) (.+)", row) for row in rows]
    return [(part[1].replace("\\|", "|"), part[2]) for part in parts if part]


def changed(block: Block, changes: Sequence[Change]) -> str:
    """The block's text with the changes made."""
    text = block.text
    for change in changes:
        assert text.count(change.written) == change.times, f"{block.key}: {change.written!r}"
        text = text.replace(change.written, change.run)
    return text


def run(code: str, name: str, namespace: dict[str, Any]) -> Trace:
    """Run the statements of a block one after the other in ``namespace``."""
    trace, out = Trace(), io.StringIO()
    for statement in ast.parse(code).body:
        program = compile(ast.Module([statement], []), f"<{name}>", "exec", dont_inherit=True)
        with contextlib.redirect_stdout(out):
            exec(program, namespace)
        for bound in sorted(_bound_by(statement) & namespace.keys()):
            trace.bound.setdefault(bound, []).append(namespace[bound])
    trace.printed = out.getvalue()
    return trace


def _bound_by(statement: ast.stmt) -> set[str]:
    """The names that a statement may bind."""
    names: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return names


def _paragraphs(text: str) -> Iterator[str]:
    """Runs of lines between blank ones; a callout's label is not part of the code before it."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines = paragraph.splitlines()
        while len(lines) > 1 and lines[-1] in CALLOUTS:
            del lines[-1]
        yield "\n".join(lines)


def _is_heading(paragraph: str) -> bool:
    return (
        "\n" not in paragraph
        and len(paragraph) <= MAX_HEADING
        and not paragraph.endswith((".", ":"))
        and not paragraph.startswith(" ")
        and paragraph not in CALLOUTS
    )
