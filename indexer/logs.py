"""How the indexer's processes log: to standard error, for people or for programs."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging() -> None:
    """To standard error: for people at a terminal, JSON lines otherwise."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *(
                (structlog.dev.ConsoleRenderer(), _over_the_live_line)
                if terminal
                else (structlog.processors.JSONRenderer(),)
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _over_the_live_line(logger: object, method: str, text: str) -> str:
    return f"\x1b[K{text}"
