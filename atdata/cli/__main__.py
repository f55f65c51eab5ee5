"""``python -m atdata.cli``."""

from atdata.cli import app

app()
