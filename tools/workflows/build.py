"""Writes the example workflows and their API versions: `python -m tools.workflows.build`.

A workflow is a list of nodes with their inputs, each a value or the output of another node. The layout
follows from their columns. The sockets of a node come from schemas.json and, for ComfyUI's own nodes,
from STOCK.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..comfyui.server import PACK
from .checkpoint_list import CHECKPOINT_WORKFLOWS
from .demo_list import WORKFLOWS
from .parts import From, Node, Workflow
from .real_list import REAL_WORKFLOWS
from .stock import NOTE, SEEDS, STOCK, WIDGETS, Sockets
from .transformer_list import TRANSFORMER_WORKFLOWS

FOLDER = PACK / "example_workflows"
SCHEMAS = Path(__file__).with_name("schemas.json")
TOP, LEFT, GAP, TITLE = 90, 40, 60, 40
COLORS = {"color": "#432", "bgcolor": "#653"}
NEW = {"preset": "balanced"}  # what the front end sets on a node that a user adds (web/js/presets.js)


@lru_cache(maxsize=1)
def _schemas() -> dict[str, Any]:
    return json.loads(SCHEMAS.read_text("utf-8"))


def sockets_of(node: str) -> Sockets:
    if node in STOCK:
        return STOCK[node]
    schema = _schemas()[node]
    inputs = [(name, kind, need == "optional", kind in WIDGETS) for name, kind, need, *_ in schema["inputs"]]
    inputs.sort(key=lambda each: each[3])  # the front end puts sockets before widgets
    defaults = {name: rest[0] for name, _, _, *rest in schema["inputs"] if rest}
    outputs = tuple((name, type_) for name, type_ in schema["outputs"])
    return Sockets(tuple(inputs), outputs, defaults)


def defaults(kind: str) -> dict[str, Any]:
    """The widget values of a new node."""
    return dict(sockets_of(kind).defaults)


# API format


def api(workflow: Workflow) -> dict[str, Any]:
    """The workflow as the front end sends it to the server."""
    return {
        str(node.id): {
            "inputs": _inputs(node),
            "class_type": node.kind,
            "_meta": {"title": node.title or title_of(node.kind)},
        }
        for node in workflow.nodes
        if node.kind != NOTE
    }


def _inputs(node: Node) -> dict[str, Any]:
    sockets = sockets_of(node.kind)
    known = {name for name, *_ in sockets.inputs}
    assert set(node.inputs) <= known, f"{node.kind}: {set(node.inputs) - known}"
    values = {**sockets.defaults, **{name: NEW[name] for name in known & set(NEW)}, **node.inputs}
    ordered = {name: values[name] for name, *_ in sockets.inputs if name in values}
    return {n: [str(v.node), v.output] if isinstance(v, From) else v for n, v in ordered.items()}


def title_of(kind: str) -> str:
    """The front end's title of a node: P2PPromptPair → P2P Prompt Pair, VAEDecode → VAE Decode."""
    name, prefix = kind.removeprefix("P2P"), "P2P " * kind.startswith("P2P")
    return prefix + re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=VAE|LIP)(?=[A-Z])", " ", name)


# UI format


def ui(workflow: Workflow) -> dict[str, Any]:
    """The workflow as the front end saves it, with positions, links and groups."""
    links = _links(workflow)
    places = _places(workflow)
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, workflow.name)),
        "revision": 0,
        "last_node_id": max(node.id for node in workflow.nodes),
        "last_link_id": len(links),
        "nodes": [_ui_node(node, links, places, order) for order, node in enumerate(workflow.nodes)],
        "links": links,
        "groups": [_group(column, workflow, places) for column in workflow.columns],
        "config": {},
        "extra": {"ds": {"scale": 0.75, "offset": [60, 120]}},
        "version": 0.4,
    }


def _links(workflow: Workflow) -> list[list[Any]]:
    links: list[list[Any]] = []
    kinds = {node.id: node.kind for node in workflow.nodes}
    for node in workflow.nodes:
        for slot, (name, *_) in enumerate(sockets_of(node.kind).inputs):
            value = node.inputs.get(name)
            if isinstance(value, From):
                kind = sockets_of(kinds[value.node]).outputs[value.output][1]
                links.append([len(links) + 1, value.node, value.output, node.id, slot, kind])
    return links


def _ui_node(
    node: Node, links: Sequence[list[Any]], places: Mapping[int, list[int]], order: int
) -> dict[str, Any]:
    sockets = sockets_of(node.kind)
    inputs: list[dict[str, Any]] = []
    for slot, (name, kind, optional, widget) in enumerate(sockets.inputs):
        link = next((link[0] for link in links if link[3:5] == [node.id, slot]), None)
        shape = {"shape": 7} if optional else {}
        inputs.append(
            {
                "name": name,
                "type": kind,
                **shape,
                **({"widget": {"name": name}} if widget else {}),
                "link": link,
            }
        )
    outputs: list[dict[str, Any]] = []
    for slot, (name, kind) in enumerate(sockets.outputs):
        leaving = [link[0] for link in links if link[1:3] == [node.id, slot]]
        outputs.append({"name": name, "type": kind, "links": leaving or None})
    pack = "prompt-to-prompt" if node.kind.startswith("P2P") else "comfy-core"
    is_note = node.kind == NOTE
    return {
        "id": node.id,
        "type": node.kind,
        **({"title": node.title} if node.title else {}),
        "pos": places[node.id][:2],
        "size": places[node.id][2:],
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "properties": {} if is_note else {"cnr_id": pack, "Node name for S&R": node.kind, **_files(node)},
        "widgets_values": [node.text] if is_note else _widget_values(node),
        **(COLORS if is_note else {}),
    }


def _files(node: Node) -> dict[str, Any]:
    """The files that a loader needs, which the front end offers to download."""
    return {"models": [vars(file) for file in node.files]} if node.files else {}


def _widget_values(node: Node) -> list[Any]:
    values: list[Any] = []
    api_inputs = _inputs(node)
    for name, _, _, widget in sockets_of(node.kind).inputs:
        if widget:
            values.append(api_inputs[name])
            values += ["fixed"] if name in SEEDS else []
    return values


def _places(workflow: Workflow) -> dict[int, list[int]]:
    """Left, top, width and height of each node: columns from left to right, nodes from top to bottom."""
    places: dict[int, list[int]] = {}
    left = LEFT
    for column in workflow.columns:
        nodes = [node for node in workflow.nodes if node.column == column]
        top, width = TOP, max(node.size[0] for node in nodes)
        for node in nodes:
            places[node.id] = [left, top, width, node.size[1]]
            top += node.size[1] + TITLE + 10
        left += width + GAP
    return places


def _group(column: int, workflow: Workflow, places: Mapping[int, list[int]]) -> dict[str, Any]:
    name = workflow.columns[column]
    lowest = max(place[1] + place[3] for place in places.values())
    left, _, width, _ = next(places[node.id] for node in workflow.nodes if node.column == column)
    color = "#b58b2a" if name == "Edit" else "#3f789e"
    bounding = [left - 20, TOP - 70, width + 40, lowest - TOP + 90]
    shown = {"title": name, "bounding": bounding, "color": color, "font_size": 24}
    return {"id": column + 1, **shown, "flags": {}}


def _flat_lists(text: str) -> str:
    """Lists of numbers and words, and flat objects, on one line: as a person would write them."""
    text = re.sub(r"\[\s+([^\[\]{}]+?)\s+\]", lambda m: "[" + re.sub(r"\s*\n\s*", " ", m[1]) + "]", text)
    return re.sub(r"\{\s+([^\[\]{}]+?)\s+\}", lambda m: "{" + re.sub(r"\s*\n\s*", " ", m[1]) + "}", text)


def main() -> None:
    workflows = (*WORKFLOWS, *REAL_WORKFLOWS, *CHECKPOINT_WORKFLOWS, *TRANSFORMER_WORKFLOWS)
    for workflow in workflows:
        for folder, graph in ((FOLDER, ui(workflow)), (FOLDER / "api", api(workflow))):
            text = _flat_lists(json.dumps(graph, indent=1, ensure_ascii=False)) + "\n"
            (folder / f"{workflow.name}.json").write_text(text, encoding="utf-8")
    print(f"{len(workflows)} workflows are in {FOLDER}")


if __name__ == "__main__":
    main()
