"""Cards for workflows with real checkpoints, which are not run here: the graph and the files it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ..workflows.build import NOTE, title_of

SIZE, HEAD, FOOT, MARGIN = (640, 360), 84, 44, 14
PAPER, INK, FAINT = (24, 24, 27), (240, 240, 240), (170, 170, 175)
BOX, OURS = (52, 53, 60), (122, 92, 28)
FILES = ("ckpt_name", "unet_name", "control_net_name")
COLOURS = {
    "MODEL": (180, 160, 230),
    "CLIP": (240, 215, 90),
    "VAE": (240, 110, 110),
    "CONDITIONING": (245, 160, 60),
    "LATENT": (240, 140, 230),
    "IMAGE": (110, 180, 240),
    "P2P_PROMPTS": (120, 200, 130),
}
TITLES = {  # the front end's titles, or shorter ones
    "CLIPLoader": "Load CLIP",
    "CheckpointLoaderSimple": "Load Checkpoint",
    "ConditioningZeroOut": "Zero Out",
    "ControlNetApplyAdvanced": "Apply ControlNet",
    "ControlNetLoader": "Load ControlNet",
    "DualCLIPLoader": "Load CLIP",
    "EmptyFlux2LatentImage": "Empty Latent",
    "EmptyHunyuanLatentVideo": "Empty Video",
    "EmptyLatentImage": "Empty Latent",
    "EmptySD3LatentImage": "Empty Latent",
    "FluxKontextMultiReferenceLatentMethod": "Reference",
    "InpaintModelConditioning": "Inpaint Condition.",
    "LatentBatchSeedBehavior": "Batch Seed: fixed",
    "LatentUpscaleBy": "Upscale Latent By",
    "ModelSamplingAuraFlow": "Shift",
    "ModelSamplingSD3": "Shift",
    "P2PPairConditioning": "P2P Pair Cond.",
    "ReferenceLatent": "Reference",
    "SamplerCustomAdvanced": "Sampler Custom",
    "SaveAnimatedWEBP": "Save Animation",
    "UNETLoader": "Load Model",
    "VAELoader": "Load VAE",
}


def card(graph: Mapping[str, Any], api: Mapping[str, Any]) -> Image.Image:
    """A 16:9 image of a workflow in the UI format. api: the same workflow in the API format."""
    canvas = Image.new("RGB", SIZE, PAPER)
    pen = ImageDraw.Draw(canvas)
    note = next(node["widgets_values"][0] for node in graph["nodes"] if node["type"] == NOTE)
    inputs = [node["inputs"] for node in api.values()]
    files = [str(values[name]) for values in inputs for name in FILES if name in values]
    pen.text((MARGIN, 8), note.splitlines()[0].removeprefix("### "), INK, ImageFont.load_default(26))
    small = ImageFont.load_default(14)
    pen.text((MARGIN, 42), f"needs {' and '.join(files)}", FAINT, small)
    pen.text((MARGIN, 60), "only the graph, because the images depend on your checkpoint", FAINT, small)
    pair = next(values for values in inputs if "edit" in values)
    prompts = f"source: {pair['source']}\nedit: {pair['edit']}"
    pen.multiline_text((MARGIN, SIZE[1] - FOOT + 4), prompts, INK, small, spacing=3)
    boxes = _boxes([node for node in graph["nodes"] if node["type"] != NOTE])
    for _, source, output, target, slot, kind in graph["links"]:
        start, end = boxes[source][1], boxes[target][1]
        a = start[2], _along(start, output)
        b = end[0], _along(end, slot)
        pen.line((*a, (a[0] + b[0]) / 2, a[1], (a[0] + b[0]) / 2, b[1], *b), COLOURS.get(kind, FAINT), 2)
    for node, box in boxes.values():
        ours = str(node["type"]).startswith("P2P")
        pen.rounded_rectangle(box, 5, OURS if ours else BOX, (90, 90, 98))
        title = str(node.get("title") or TITLES.get(node["type"]) or title_of(node["type"]))
        pen.text((box[0] + 5, box[1] + 3), title, INK, ImageFont.load_default(11))
    return canvas


Box = tuple[float, float, float, float]


def _boxes(nodes: list[dict[str, Any]]) -> dict[int, tuple[dict[str, Any], Box]]:
    """Each node's left, top, right and bottom on the card, in the graph's columns, with equal heights."""
    lefts = sorted({node["pos"][0] for node in nodes})
    width = (SIZE[0] - 2 * MARGIN) / len(lefts)
    places: dict[int, tuple[dict[str, Any], Box]] = {}
    for column, left in enumerate(lefts):
        inside = sorted((n for n in nodes if n["pos"][0] == left), key=lambda node: node["pos"][1])
        height = min(64.0, (SIZE[1] - HEAD - FOOT) / len(inside))
        for row, node in enumerate(inside):
            x, y = MARGIN + column * width, HEAD + row * height
            places[node["id"]] = node, (x, y, x + width - 16, y + height - 12)
    return places


def _along(box: Box, slot: int) -> float:
    """The y position of a socket on the side of a box."""
    return min(box[1] + 8 + 6 * slot, box[3] - 4)
