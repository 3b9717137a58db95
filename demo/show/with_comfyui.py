"""The demo's pictures through a real ComfyUI server, with the example workflow of Prompt Edit."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from PIL import Image

from p2p_core.errors import P2PError
from tools.comfyui.find import find_comfy
from tools.comfyui.server import PACK, Server, comfy_server
from tools.workflows.build import defaults

from .pairs import Artist, DemoMaps, DemoPair, Drawn

WORKFLOW = PACK / "example_workflows" / "api" / "p2p_prompt_edit.json"


@contextmanager
def artist(steps: int, cfg: float) -> Iterator[Artist]:
    """Starts the first ComfyUI found and stops it when the context ends."""
    installs = find_comfy(os.environ, PACK)
    if not installs:
        raise P2PError("a ComfyUI", "none", "Set COMFYUI_PATH=/path/to/ComfyUI, or omit HOST.")
    with comfy_server(installs[0]) as server:
        yield Artist(
            lambda pair: draw_pair(server, pair, steps, cfg), lambda maps: draw_maps(server, maps, steps, cfg)
        )


def draw_pair(server: Server, pair: DemoPair, steps: int, cfg: float) -> Drawn:
    """Run the workflow with the pair's edits, and again with the first edit and empty windows."""
    source, *edits = _run(server, workflow(pair, steps, cfg))
    _, alone = _run(server, workflow(replace(pair, edits=pair.edits[:1]), steps, cfg, controlled=False))
    return Drawn(source, alone, tuple(edits))


def workflow(pair: DemoPair, steps: int, cfg: float, controlled: bool = True) -> dict[str, Any]:
    """The example workflow with the pair's prompts, seed and windows, and the nodes after Prompt Edit."""
    graph: dict[str, Any] = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    numbers = {node["class_type"]: number for number, node in graph.items()}
    ends = {"cross_end": pair.cross_end, "self_end": pair.self_end}
    changes = {
        "P2PPromptPair": {"source": pair.source, "edit": "\n---\n".join(pair.edits)},
        "P2PPromptEdit": {"preset": "custom", **ends} if controlled else {"preset": "free"},
        "KSampler": {"seed": pair.seed, "steps": steps, "cfg": cfg, "scheduler": "simple"},
    }
    for node in graph.values():
        node["inputs"] |= changes.get(node["class_type"], {})
    model, prompts = [numbers["P2PPromptEdit"], 0], [numbers["P2PPromptPair"], 0]
    for kind, inputs in _more_nodes(pair).items() if controlled else ():
        graph[kind] = {"class_type": kind, "inputs": {"model": model, "prompts": prompts, **inputs}}
        model = [kind, 0]
    graph[numbers["KSampler"]]["inputs"]["model"] = model
    return graph


def draw_maps(server: Server, maps: DemoMaps, steps: int, cfg: float) -> Image.Image:
    """Run the example workflow of attention maps with this prompt, its words and its seed."""
    graph: dict[str, Any] = json.loads(WORKFLOW.with_name("p2p_attention_maps.json").read_text("utf-8"))
    changes = {
        "P2PPromptPair": {"source": maps.source, "edit": ""},
        "P2PAttentionStore": {"words": ", ".join(maps.words)},
        "KSampler": {"seed": maps.seed, "steps": steps, "cfg": cfg},
    }
    for node in graph.values():
        node["inputs"] |= changes.get(node["class_type"], {})
    drawn = server.draw(graph)
    sheet = next(name for name, node in graph.items() if node["_meta"]["title"] == "Maps")
    return Image.open(io.BytesIO(drawn[sheet][0])).convert("RGB")


def _more_nodes(pair: DemoPair) -> dict[str, dict[str, Any]]:
    """Reweight and Local Blend, if the pair has them, with their widgets."""
    nodes: dict[str, dict[str, Any]] = {}
    if pair.weights:
        nodes["P2PReweight"] = {**defaults("P2PReweight"), "weights": pair.weights}
    if pair.blend:
        words = dict(zip(("source_words", "edit_words"), pair.blend, strict=True))
        nodes["P2PLocalBlend"] = {**defaults("P2PLocalBlend"), **words}
    return nodes


def _run(server: Server, graph: dict[str, Any]) -> list[Image.Image]:
    """Source and edits, from the nodes with these titles."""
    drawn = server.draw(graph)
    titles = {node["_meta"]["title"]: name for name, node in graph.items() if "_meta" in node}
    files = [*drawn[titles["Source"]], *drawn[titles["Edit"]]]
    return [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
