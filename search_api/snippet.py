"""The lines of Python that load a dataset, as pages and tools show them. Pure."""

from __future__ import annotations

import json


def load_snippet(uri: str, origin: str, dev: bool) -> str:
    """Complete code for the dataset ``uri``, found through the service at ``origin``."""
    settings = f"api={json.dumps(origin)}" + (", dev=True" if dev else "")
    return "\n".join(
        (
            "import atdata",
            "",
            f"atdata.configure({settings})",
            f"dataset = atdata.load_dataset({json.dumps(uri)})",
            "for sample in dataset:",
            "    print(sample)",
        )
    )
