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
MARGIN, SIDE = 12, 302  # 640 = 3 margins and 2 sides
PAPER, INK = (24, 24, 27), (240, 240, 240)


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
    """The first two pictures side by side, 16:9: titles on them, prompts below."""
    canvas = Image.new("RGB", SIZE, PAPER)
    pen = ImageDraw.Draw(canvas)
    badge, body = ImageFont.load_default(18), ImageFont.load_default(17)
    for i, each in enumerate(shown[:2]):
        left = MARGIN + i * (SIDE + MARGIN)
        canvas.paste(each.picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, MARGIN))
        at = left + 8, MARGIN + 4
        _, _, x1, y1 = pen.textbbox(at, each.title, badge)
        pen.rectangle((left, MARGIN, x1 + 8, y1 + 6), PAPER)
        pen.text(at, each.title, INK, badge)
        lines = textwrap.wrap(each.prompt, 38, max_lines=2, placeholder=" …")
        pen.multiline_text((left, MARGIN + SIDE + 2), "\n".join(lines), INK, body, spacing=2)
    return canvas


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
