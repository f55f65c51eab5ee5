"""The ``atdata`` command: the composition root, and the only place that knows all three packages.

Imports of the servers happen inside commands, so that ``pip install 'atdata[atmosphere]'`` gives a
working ``atdata search`` without them, and ``atdata --help`` is quick.
"""

from __future__ import annotations

import typer

from atdata.cli import find, index, node, preview

app = typer.Typer(
    name="atdata",
    help="Publish, find and stream typed datasets on the AT Protocol network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(node.serve)
app.command("search")(find.search)
app.command("show")(find.show)
app.command("lenses")(find.lenses)
app.command("preview")(preview.preview)
app.command("pull")(find.pull)
app.add_typer(index.app, name="index")
