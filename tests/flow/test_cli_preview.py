"""``atdata preview``: the first samples of a real dataset, for people and for programs."""

from __future__ import annotations

import json

from tests.flow.node import Node
from tests.flow.test_cli import atdata, find


def test_people_see_shapes_plots_and_text(demo_node: Node) -> None:
    uri = find(demo_node, "air-temperature-days")["datasets"][0]["uri"]
    printed = atdata("preview", uri, "-n", "1", api=demo_node.url)
    key, values, unit, *_ = printed.splitlines()
    assert key == "000000.msgpack"
    assert values.startswith("  values: float64 [96]  9.262 … 15.07  ▂▁")
    assert unit == "  unit: degC"


def test_programs_get_one_document(demo_node: Node) -> None:
    uri = find(demo_node, "shapes-and-masks")["datasets"][0]["uri"]
    made = json.loads(atdata("preview", uri, "--json", api=demo_node.url))
    assert made["uri"] == uri
    assert len(made["samples"]) == 4
    image = made["samples"][0]["values"][0]
    assert image["shape"] == [64, 64, 3]
    assert image["image"]["mediaType"] == "image/png"


def test_what_cannot_be_read_is_said_in_one_line(demo_node: Node) -> None:
    uri = find(demo_node, "shapes-archive")["datasets"][0]["uri"]
    said = atdata("preview", uri, api=demo_node.url, status=1)
    assert said.startswith("atdata: ")
    assert "data.example.org" in said
