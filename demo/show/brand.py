"""The pack's icon and banner, drawn with the demo's own scenes: `python -m demo.show.brand`.

The icon is one scene cut in two: the source's thing on the left, its replacement on the right.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..world.scenes import Scene, Thing, draw

ROOT = Path(__file__).resolve().parents[2]
ICON, BANNER = 400, (1680, 720)
PAPER, INK, FAINT, ACCENT = (24, 24, 27), (244, 244, 245), (161, 161, 170), (96, 165, 250)


def scene(kind: str, color: str, background: str = "sky") -> Scene:
    """One large thing in the middle."""
    return Scene((Thing(kind, color, "", 0.5, 0.5, 0.34),), background, (0,), 7)


def halves(left: Scene, right: Scene, side: int) -> Image.Image:
    """The left half of one picture next to the right half of the other, with a line between them."""
    picture, other = draw(left, side), draw(right, side)
    picture.paste(other.crop((side // 2, 0, side, side)), (side // 2, 0))
    line = max(2, side // 80)
    ImageDraw.Draw(picture).rectangle((side // 2 - line, 0, side // 2 + line - 1, side), INK)
    return picture


def icon() -> Image.Image:
    """[400 × 400], corners rounded."""
    picture = halves(scene("circle", "red"), scene("house", "red"), ICON)
    corners = Image.new("L", (ICON, ICON), 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, ICON - 1, ICON - 1), ICON // 8, 255)
    picture.putalpha(corners)
    return picture


def banner() -> Image.Image:
    """[1680 × 720], 21:9: name and purpose of the pack next to source and edit."""
    canvas = Image.new("RGB", BANNER, PAPER)
    pen = ImageDraw.Draw(canvas)
    side, top = 400, 130
    pairs = ((scene("circle", "red"), "a red ", "circle"), (scene("house", "red"), "a red ", "house"))
    for i, (each, kept, changed) in enumerate(pairs):
        left = 768 + i * (side + 40)
        canvas.paste(draw(each, side), (left, top))
        font = ImageFont.load_default(40)
        pen.text((left, top + side + 20), kept, FAINT, font)
        at = left + pen.textlength(kept, font), top + side + 20
        pen.text(at, changed, ACCENT, font)
        pen.line((at[0], at[1] + 52, at[0] + pen.textlength(changed, font), at[1] + 52), ACCENT, 4)
    pen.text((72, 190), "Prompt-to-Prompt", INK, ImageFont.load_default(76))
    pen.multiline_text(
        (76, 310),
        "Change words of the prompt,\nkeep the image.",
        FAINT,
        ImageFont.load_default(46),
        spacing=14,
    )
    pen.text((76, 470), "for ComfyUI's own samplers", FAINT, ImageFont.load_default(34))
    return canvas


def main() -> int:
    folder = ROOT / "docs" / "pictures"
    icon().save(folder / "icon.png", optimize=True)
    banner().save(folder / "banner.png", optimize=True)
    print(f"icon.png and banner.png are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
