"""Thumbnails of the example workflows, made by running them: `python -m demo.thumbnails [name ...]`.

ComfyUI's template browser shows a workflow with the .jpg of the same name beside it. Run this again when a
workflow or the demo model has changed.
"""

from __future__ import annotations

import io
import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from p2p_core.errors import P2PError

from .hosts import find_comfy
from .server import PACK, Server, ServerError, comfy_server

WORKFLOWS = PACK / "examples_workflows"
SIZE = (640, 360)
MARGIN, SIDE = 12, 302
PAPER, INK, FAINT = (24, 24, 27), (240, 240, 240), (170, 170, 175)


@dataclass(frozen=True)
class Shown:
    """One picture of a workflow: the title of the node that shows it, and the prompt it was drawn from."""

    picture: Image.Image
    title: str
    prompt: str


def main(names: Sequence[str]) -> int:
    files = [WORKFLOWS / "api" / f"{name}.json" for name in names] or sorted(WORKFLOWS.glob("api/*.json"))
    try:
        installs = find_comfy(os.environ, PACK)
        if not installs:
            raise P2PError("a ComfyUI to run the workflows", "none", "Give COMFYUI_PATH=/path/to/ComfyUI.")
        with comfy_server(installs[0]) as server:
            for file in files:
                target = WORKFLOWS / f"{file.stem}.jpg"
                thumbnail(shown_by(server, json.loads(file.read_text("utf-8")))).save(target, quality=92)
                print(f"{target}: {target.stat().st_size / 1000:.0f} KB, drawn by {installs[0]}")
    except (P2PError, ServerError, OSError) as error:
        print(f"thumbnails: {error}", file=sys.stderr)
        return 1
    return 0


def shown_by(server: Server, workflow: Mapping[str, Any]) -> list[Shown]:
    """The first picture of every node that shows some, in the order of the nodes."""
    prompts: dict[str, Any] = {}
    for node in workflow.values():
        if node["class_type"] == "P2PPromptPair":
            prompts = node["inputs"]
    drawn = server.draw(workflow)
    titles = {name: str(node["_meta"]["title"]) for name, node in workflow.items() if drawn.get(name)}
    return [
        Shown(Image.open(io.BytesIO(drawn[name][0])).convert("RGB"), title, prompts.get(title.lower(), ""))
        for name, title in titles.items()
    ]


def thumbnail(shown: Sequence[Shown]) -> Image.Image:
    """The first two pictures side by side, 16:9, with their titles and prompts."""
    canvas = Image.new("RGB", SIZE, PAPER)
    pen = ImageDraw.Draw(canvas)
    for i, each in enumerate(shown[:2]):
        left = MARGIN + i * (SIDE + MARGIN)
        canvas.paste(each.picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, MARGIN))
        pen.text((left, MARGIN + SIDE + 6), each.title, INK, ImageFont.load_default(15))
        text = textwrap.shorten(each.prompt, 48, placeholder=" …")
        pen.text((left, MARGIN + SIDE + 26), text, FAINT, ImageFont.load_default(13))
    return canvas


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
