"""Maps as labelled pictures: float32 IMAGE [B, H, W, 3] in 0..1, on the CPU."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from einops import rearrange, repeat
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import P2PError
from ..maps.heat import relative
from .colours import (
    HINT,
    Size,
    heat_colours,
    over,
    require_opacity,
    require_pictures,
    require_room,
    resized,
)
from .sheets import Line, Sheet, Tile

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
PAPER, BLANK, INK, FAINT = (255, 255, 255), (236, 236, 236), (20, 20, 20), (110, 110, 110)
SMALLEST = 32  # pixels of a tile's longer side


@dataclass(frozen=True)
class Style:
    """How a sheet is drawn.

    tile: pixels of a tile's longer side. across: tiles per row before a line wraps. one_scale: colours are
    relative to the maximum of the sample's whole sheet instead of each map. opacity: of heat over a picture.
    """

    tile: int = 256
    across: int = 8
    one_scale: bool = False
    opacity: float = 0.6

    def __post_init__(self) -> None:
        if self.tile < SMALLEST or self.across < 1:
            got = f"tiles of {self.tile}, {self.across} per line"
            raise P2PError(f"tiles of at least {SMALLEST} pixels, at least 1 per line", got, "Set it higher.")
        require_opacity(self.opacity)

    @property
    def text(self) -> int:
        """Text size in pixels."""
        return max(10, self.tile // 15)

    @property
    def gap(self) -> int:
        """Pixels between tiles."""
        return max(4, self.tile // 24)


_PLAIN = Style()


def draw(sheet: Sheet, pictures: Tensor | None = None, style: Style = _PLAIN) -> Tensor:
    """A labelled picture of each sample, [B, H, W, 3]. The maximum of a heat map is next to its label.

    pictures: [P·B or 1, H, W, 3], the first tile of each line, also drawn below the heat. Raises P2PError for
    pictures of another number or shape, and for a result that is too large. Memory is that of the result and
    of a tile.
    """
    page = _Page(sheet, style, pictures is not None)
    require_room(len(sheet.samples), page.size, "Choose fewer words or layers, or smaller tiles.")
    if pictures is not None:
        require_pictures(pictures, sheet.rows)
        _require_shape(pictures, sheet.latent)
        channels = rearrange(pictures.cpu().float(), "r h w c -> r c h w")
        small = rearrange(resized(channels, page.tile), "r c h w -> r h w c")
        pictures = repeat(small, "r h w c -> (n r) h w c", n=sheet.rows // len(small))
    drawn = torch.ones(len(sheet.samples), *page.size, 3)
    for paper, lines in zip(drawn, sheet.samples, strict=True):
        page.draw(paper, lines, pictures)
    return drawn


# Pages


@dataclass(frozen=True, eq=False)
class _Page:
    """A sample's page and its layout. with_pictures: each line starts with a picture."""

    sheet: Sheet
    style: Style
    with_pictures: bool

    @property
    def tile(self) -> Size:
        """Size of a tile without its label, with the latent's aspect ratio."""
        (height, width), long = self.sheet.latent, max(self.sheet.latent)
        return max(1, self.style.tile * height // long), max(1, self.style.tile * width // long)

    @property
    def step(self) -> Size:
        """Distance from a tile to the one below and to the one on its right."""
        return self.tile[0] + 2 * self.style.text, self.tile[1] + self.style.gap

    @property
    def grid(self) -> Size:
        """Rows and columns of a line's tiles, in equal shares."""
        tiles = self.with_pictures + len(self.sheet.samples[0][0].tiles)
        down = -(-tiles // self.style.across)
        return down, -(-tiles // down)

    @property
    def line(self) -> int:
        """Distance from a line's heading to the next."""
        return 2 * self.style.text + self.grid[0] * self.step[0] + self.style.gap

    @property
    def size(self) -> Size:
        height = len(self.sheet.samples[0]) * self.line
        return height + self.style.gap, self.grid[1] * self.step[1] + self.style.gap

    def draw(self, paper: Tensor, lines: Sequence[Line], pictures: Tensor | None) -> None:
        """paper: white, [H, W, 3]; pictures: [P·B, h, w, 3], of a tile's size."""
        gap, text = self.style.gap, self.style.text
        most = _maximum(lines) if self.style.one_scale else None
        for i, line in enumerate(lines):
            top = gap + i * self.line
            heading = Image.new("RGB", (self.size[1] - gap, 2 * text), PAPER)
            _write(heading, 0, 0, self.size[1] - 2 * gap, text + 1, line.heading)
            _paste(paper, gap, top, heading)
            under = None if pictures is None else pictures[line.row]
            first = [] if under is None else [_Drawn(under, "picture")]
            for n, tile in enumerate(chain(first, (self._drawn(tile, under, most) for tile in line.tiles))):
                down, right = divmod(n, self.grid[1])
                y, x = top + 2 * text + down * self.step[0], gap + right * self.step[1]
                _paste(paper, x, y, self._tile(tile))

    def _tile(self, tile: _Drawn) -> Image.Image:
        """A tile with its label, as large as the distance to the next one."""
        (height, width), text, gap = self.tile, self.style.text, self.style.gap
        image = Image.new("RGB", (self.step[1], self.step[0]), PAPER)
        image.paste(_image(tile.picture), (0, 0))
        _write(image, 0, height + text // 4, width, text, tile.label, tile.value)
        _write(image, gap, (height - text) // 2, width - 2 * gap, text - 1, tile.note, centred=True)
        return image

    def _drawn(self, tile: Tile, under: Tensor | None, most: float | None) -> _Drawn:
        """under: a picture [h, w, 3]; most: the maximum of the colour scale, None for the map's own."""
        if tile.map is None:
            return _Drawn((torch.tensor(BLANK) / 255).expand(*self.tile, 3), tile.label, note=tile.note)
        if not self.sheet.heat:
            return _Drawn(repeat(resized(tile.map, self.tile), "h w -> h w c", c=3), tile.label)
        values = resized(relative(tile.map) if most is None else tile.map / most, self.tile)
        colours = heat_colours(values) if under is None else over(under, values, self.style.opacity)
        return _Drawn(colours, tile.label, f"max {float(tile.map.max()):.2g}")


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A coloured tile [h, w, 3]; label and value: text below it, left and right; note: text across it."""

    picture: Tensor
    label: str
    value: str = ""
    note: str = ""


def _maximum(lines: Sequence[Line]) -> float | None:
    """The largest value of all maps, or None if none is positive."""
    most = max((float(t.map.max()) for line in lines for t in line.tiles if t.map is not None), default=0)
    return most if most > 0 else None


def _paste(paper: Tensor, x: int, y: int, image: Image.Image) -> None:
    """Put an image at a place of a page [H, W, 3]."""
    part = paper[y : y + image.height, x : x + image.width]
    torch.div(torch.tensor(np.array(image)), 255, out=part)


def _image(picture: Tensor) -> Image.Image:
    """[h, w, 3] in 0..1."""
    return Image.fromarray((picture * 255).round().byte().numpy())


# Text


def _write(
    page: Image.Image, x: int, y: int, width: int, letters: int, text: str, right: str = "",
    centred: bool = False,
) -> None:  # fmt: skip
    """Writes text shortened to a width, and `right`, a number, at its end if there is room for both."""
    canvas, font = ImageDraw.Draw(page), _font(letters)
    shown = _shortened(text, width, font)
    room = width - font.getlength(shown)
    canvas.text((x + room // 2 if centred else x, y), shown, FAINT if centred else INK, font)
    if right and letters + font.getlength(right) <= room:
        canvas.text((x + width - font.getlength(right), y), right, FAINT, font)


def _font(letters: int) -> Font:
    """Pillow's own font, which has only one size before Pillow 10.1 and without FreeType."""
    try:
        return ImageFont.load_default(letters)
    except (TypeError, ImportError, OSError):
        return ImageFont.load_default()


def _shortened(text: str, width: int, font: Font) -> str:
    """The text on one line, limited to what the font can draw, with dots if it is cut off."""
    plain = _plain(text)
    if not isinstance(font, ImageFont.FreeTypeFont):
        plain = plain.encode("latin-1", "replace").decode("latin-1")
    if font.getlength(plain) <= width:
        return plain
    kept = plain[: max(width, 0)]
    while kept and font.getlength(kept + "...") > width:
        kept = kept[:-1]
    return kept and kept.rstrip() + "..."


def _plain(text: str) -> str:
    """The text on one line and without accents, which Pillow's font lacks."""
    letters = unicodedata.normalize("NFKD", " ".join(text.split()))
    return "".join(c for c in letters if not unicodedata.combining(c)).translate(_ALIKE)


_ALIKE = str.maketrans("×–—", "x--")


# Bad input


def _require_shape(pictures: Tensor, latent: Size) -> None:
    """Raises P2PError for pictures with another aspect ratio than the latent."""
    (height, width), (rows, columns) = pictures.shape[1:3], latent
    if not 0.95 < height * columns / (width * rows) < 1.05:
        expected = f"images with the aspect ratio of {columns} × {rows}"
        raise P2PError(expected, f"{width} × {height}", HINT, topic="pictures")
