"""Labelled pictures: tiles side by side with a line of text below each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

MARGIN, PAPER, INK, FAINT = 12, (255, 255, 255), (20, 20, 20), (110, 110, 110)


@dataclass(frozen=True)
class Tile:
    """A picture with a heading above it and a text below."""

    picture: Image.Image
    heading: str
    text: str


def row(tiles: Sequence[Tile], title: str = "") -> Image.Image:
    """The tiles from left to right under a common title."""
    width, height = tiles[0].picture.size
    heading, body = ImageFont.load_default(15), ImageFont.load_default(13)
    top = MARGIN + (26 if title else 0) + 22
    sheet = Image.new("RGB", (MARGIN + len(tiles) * (width + MARGIN), top + height + 46), PAPER)
    canvas = ImageDraw.Draw(sheet)
    if title:
        canvas.text((MARGIN, MARGIN - 2), title, INK, ImageFont.load_default(18))
    for i, tile in enumerate(tiles):
        left = MARGIN + i * (width + MARGIN)
        canvas.text((left, top - 21), tile.heading, INK, heading)
        sheet.paste(tile.picture, (left, top))
        text = "\n".join(textwrap.wrap(tile.text, width // 7)[:2])
        canvas.multiline_text((left, top + height + 6), text, FAINT, body, spacing=3)
    return sheet


def column(sheets: Sequence[Image.Image]) -> Image.Image:
    """The sheets from top to bottom."""
    page = Image.new("RGB", (max(s.width for s in sheets), sum(s.height for s in sheets)), PAPER)
    y = 0
    for sheet in sheets:
        page.paste(sheet, (0, y))
        y += sheet.height
    return page
