"""Runs the example workflows for their thumbnails: `python -m tools.pictures.thumbnails [name ...]`.

ComfyUI's template browser shows each workflow with the .jpg of the same name. Run this again after a change
to a workflow or the demo model. Workflows for real checkpoints get a card with their graph.
"""

from __future__ import annotations

import io
import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from p2p_core.errors import P2PError
from p2p_core.words.fields import blocks

from ..comfyui.find import find_comfy
from ..comfyui.server import PACK, Server, ServerError, comfy_server
from ..workflows.parts import WEIGHED
from .cards import card

WORKFLOWS = PACK / "example_workflows"
SIZE = (640, 360)
MARGIN, TEXT, BADGE = 12, 34, 18
PAPER, INK = (24, 24, 27), (240, 240, 240)


@dataclass(frozen=True)
class Shown:
    """One picture of a workflow: the title of the node that shows it, and the text below it."""

    picture: Image.Image
    title: str
    text: str


def main(names: Sequence[str]) -> int:
    files = [WORKFLOWS / "api" / f"{name}.json" for name in names] or sorted(WORKFLOWS.glob("api/*.json"))
    drawn = [file for file in files if runs_here(read(file))]
    for file in set(files) - set(drawn):
        save(file, card(read(WORKFLOWS / file.name), read(file)), "card with its graph")
    if not drawn:
        return 0
    try:
        installs = find_comfy(os.environ, PACK)
        if not installs:
            raise P2PError("a ComfyUI to run the workflows", "none", "Set COMFYUI_PATH=/path/to/ComfyUI.")
        with comfy_server(installs[0]) as server:
            for file in drawn:
                save(file, thumbnail(shown_by(server, read(file))), f"drawn by {installs[0]}")
    except (P2PError, ServerError, OSError) as error:
        print(f"thumbnails: {error}", file=sys.stderr)
        return 1
    return 0


def read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8"))


def runs_here(workflow: Mapping[str, Any]) -> bool:
    """Whether it uses the bundled model and no checkpoint that needs a download."""
    return any(node["class_type"] == "P2PDemoModel" for node in workflow.values())


def save(file: Path, picture: Image.Image, made: str) -> None:
    target = WORKFLOWS / f"{file.stem}.jpg"
    picture.save(target, quality=92)
    print(f"{target}: {target.stat().st_size / 1000:.0f} KB, {made}")


def shown_by(server: Server, workflow: Mapping[str, Any]) -> list[Shown]:
    """The pictures that the nodes show, in the order of the nodes, with their prompts or weights."""
    texts = asked(workflow)
    drawn = server.draw(workflow)
    titles = {name: str(node["_meta"]["title"]) for name, node in workflow.items() if drawn.get(name)}
    shown: list[Shown] = []
    for name, title in titles.items():
        below = texts.get(title, [])
        for i, file in enumerate(drawn[name]):
            picture = Image.open(io.BytesIO(file)).convert("RGB")
            shown.append(Shown(picture, "" if i else title, below[i] if i < len(below) else ""))
    return shown


def asked(workflow: Mapping[str, Any]) -> dict[str, list[str]]:
    """The text below each picture, prompt or weights, by the title of the node that shows it."""
    inputs = {node["class_type"]: node["inputs"] for node in workflow.values()}
    pair = inputs.get("P2PPromptPair", {"source": "", "edit": ""})
    weights = inputs.get("P2PReweight", {"weights": ""})["weights"]
    plain = [pair["source"], *blocks(weights)] if weights else [pair["source"]]
    edits = list(blocks(pair["edit"]))
    return {"Source": [pair["source"]], "Edit": edits, "Edits": edits, "Image": plain, WEIGHED: plain}


def thumbnail(shown: Sequence[Shown]) -> Image.Image:
    """Up to four pictures, 16:9: two large ones side by side, or more in a grid or a row that fits."""
    shown = [each for each in shown if each.picture.width < 2 * each.picture.height][:4]  # no sheets
    canvas = Image.new("RGB", SIZE, PAPER)
    across = len(shown) if len(shown) < 3 else 4 if len(shown) == 4 else 3
    width = (SIZE[0] - MARGIN * (across + 1)) // across
    side = min(width, SIZE[1] - 2 * MARGIN - TEXT)
    top = (SIZE[1] - side - TEXT) // 2
    for i, each in enumerate(shown):
        left = MARGIN + i * (width + MARGIN) + (width - side) // 2
        _paste(canvas, each, left, top, side)
    return canvas


def _paste(canvas: Image.Image, each: Shown, left: int, top: int, side: int) -> None:
    """The picture in a square, the title on it, two lines of text below."""
    pen = ImageDraw.Draw(canvas)
    small = side < 250
    badge, body = ImageFont.load_default(BADGE - 4 * small), ImageFont.load_default(17 - 3 * small)
    picture = ImageOps.contain(each.picture, (side, side), Image.Resampling.LANCZOS)
    canvas.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
    if each.title:
        at = left + 6, top + 3
        _, _, x1, y1 = pen.textbbox(at, each.title, badge)
        pen.rectangle((left, top, x1 + 6, y1 + 5), PAPER)
        pen.text(at, each.title, INK, badge)
    letters = max(12, round(side / (8 - small)))
    lines = textwrap.wrap(each.text.replace("\n", ", "), letters, max_lines=2, placeholder=" …")
    pen.multiline_text((left, top + side + 3), "\n".join(lines), INK, body, spacing=2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
