"""Saved workflows rely on the nodes' inputs and outputs: any change shows in schemas.json.

With P2P_WRITE_SCHEMAS=1 in the environment, the file is regenerated.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from comfy_api.latest import io

pytestmark = pytest.mark.host

SNAPSHOT = Path(__file__).resolve().parents[2] / "tools" / "workflows" / "schemas.json"


def described(node: Any) -> dict[str, Any]:
    schema = node.GET_SCHEMA()
    return {
        "inputs": [_input(socket) for socket in schema.inputs],
        "outputs": [[socket.display_name or socket.id, str(socket.io_type)] for socket in schema.outputs],
    }


def _input(socket: Any) -> list[Any]:
    """Name, type, whether it is optional, and the default if there is one."""
    default = getattr(socket, "default", None)
    required = "optional" if socket.optional else "required"
    return [socket.id, str(socket.io_type), required, *([] if default is None else [default])]


def test_inputs_and_outputs_are_those_of_saved_workflows(node: dict[str, Any]):
    found = {name: described(node[name]) for name in sorted(node)}
    if os.environ.get("P2P_WRITE_SCHEMAS"):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == found


def test_an_id_is_either_of_an_input_or_of_an_output(node: dict[str, Any]):
    """Or ComfyUI refuses the node."""
    for name, each in node.items():
        schema = each.GET_SCHEMA()
        ids = [socket.id for socket in (*schema.inputs, *schema.outputs) if socket.id]
        assert len(set(ids)) == len(ids), name


def test_every_node_is_named_and_placed_as_one_of_the_pack(node: dict[str, Any]):
    for name, each in node.items():
        assert name.startswith("P2P") and each.__name__ == name


NAMES = ("prompt to prompt", "prompt-to-prompt", "p2p")
CALLED = {"replace", "swap", "heatmap", "attention", "mask", "photo", "compare", "hertz", "edit"}
CALLED |= {"cross attention", "ddim inversion"}


@pytest.mark.real_host
@pytest.mark.skipif(
    "search_aliases" not in getattr(io.Schema, "__dataclass_fields__", ()),
    reason="the host searches names only",
)
def test_nodes_are_found_by_what_people_call_them(node: dict[str, Any]):
    aliases = {name: each.GET_SCHEMA().search_aliases for name, each in node.items()}
    assert [name for name, words in aliases.items() if not set(NAMES) <= set(words)] == []
    assert CALLED - set().union(*aliases.values()) == set()
