"""The demo's pictures through a real ComfyUI server, by the example workflow of word swap."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from p2p_core.errors import P2PError

from .__main__ import Drawn
from .hosts import find_comfy
from .pairs import DemoPair
from .server import PACK, Server, comfy_server

WORKFLOW = PACK / "examples_workflows" / "api" / "p2p_word_swap.json"


@contextmanager
def artist(steps: int, cfg: float) -> Iterator[Callable[[DemoPair], Drawn]]:
    """Starts the first ComfyUI that is found; stopped when the context ends."""
    installs = find_comfy(os.environ, PACK)
    if not installs:
        raise P2PError("a ComfyUI", "none", "Give COMFYUI_PATH=/path/to/ComfyUI, or leave HOST out.")
    with comfy_server(installs[0]) as server:
        yield lambda pair: draw_pair(server, pair, steps, cfg)


def draw_pair(server: Server, pair: DemoPair, steps: int, cfg: float) -> Drawn:
    """The workflow as it is, and once more with empty windows for the prompt alone."""
    source, edit = _run(server, workflow(pair, steps, cfg))
    _, alone = _run(server, workflow(pair, steps, cfg, controlled=False))
    return Drawn(source, alone, edit)


def workflow(pair: DemoPair, steps: int, cfg: float, controlled: bool = True) -> dict[str, Any]:
    """The example workflow with the pair's prompts, seed and windows."""
    graph: dict[str, Any] = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    windows = (
        {"cross_end": pair.cross_end, "self_end": pair.self_end}
        if controlled
        else {"cross_end": 0, "self_end": 0}
    )
    changes = {
        "P2PPromptPair": {"source": pair.source, "edit": pair.edit},
        "P2PWordSwap": windows,
        "KSampler": {"seed": pair.seed, "steps": steps, "cfg": cfg, "scheduler": "simple"},
    }
    for node in graph.values():
        node["inputs"] |= changes.get(node["class_type"], {})
    return graph


def _run(server: Server, graph: dict[str, Any]) -> tuple[Image.Image, Image.Image]:
    """Source and edit, from the nodes of these titles."""
    drawn = server.draw(graph)
    titles = {node["_meta"]["title"]: name for name, node in graph.items()}
    source, edit = (
        Image.open(io.BytesIO(drawn[titles[title]][0])).convert("RGB") for title in ("Source", "Edit")
    )
    return source, edit
