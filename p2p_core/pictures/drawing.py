"""Maps as labelled pictures: float32 IMAGE [B, H, W, 3] in 0..1, on the CPU."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

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

    tile: pixels of a tile's longer side. across: tiles side by side before a line goes on below. one_scale:
    colours are relative to the maximum of the sample's whole sheet, not of each map. opacity: of the heat
    over a picture.
    """

    tile: int = 256
    across: int = 8
    one_scale: bool = False
    opacity: float = 0.6

    def __post_init__(self) -> None:
        if self.tile < SMALLEST or self.across < 1:
            got = f"tiles of {self.tile}, {self.across} a line"
            raise P2PError(f"tiles of {SMALLEST} pixels or more, 1 or more a line", got, "Set it higher.")
        require_opacity(self.opacity)

    @property
    def text(self) -> int:
        """Pixels of the letters."""
        return max(10, self.tile // 15)

    @property
    def gap(self) -> int:
        """Pixels between tiles."""
        return max(4, self.tile // 24)


_PLAIN = Style()


def draw(sheet: Sheet, pictures: Tensor | None = None, style: Style = _PLAIN) -> Tensor:
    """A labelled picture of each sample, [B, H, W, 3]. Beside a heat map's label stands its maximum.

    pictures: [P·B or 1, H, W, 3], each the first tile of its lines and under their heat. Raises P2PError for
    pictures of another number or shape, and for a result above 64 megapixels.
    """
    page = _Page(sheet, style, pictures is not None)
    require_room(len(sheet.samples), page.size, "Choose fewer words or layers, or smaller tiles.")
    if pictures is not None:
        require_pictures(pictures, sheet.rows)
        _require_shape(pictures, sheet.latent)
        channels = rearrange(pictures.cpu().float(), "r h w c -> r c h w")
        small = rearrange(resized(channels, page.tile), "r c h w -> r h w c")
        pictures = repeat(small, "r h w c -> (n r) h w c", n=sheet.rows // len(small))
    drawn = [np.asarray(page.draw(lines, pictures)) for lines in sheet.samples]
    return torch.tensor(np.stack(drawn), dtype=torch.float32) / 255


# Pages


@dataclass(frozen=True, eq=False)
class _Page:
    """A sample's page and where things stand on it. with_pictures: each line begins with a picture."""

    sheet: Sheet
    style: Style
    with_pictures: bool

    @property
    def tile(self) -> Size:
        """Of a tile without its label, in the shape of the latent."""
        (height, width), long = self.sheet.latent, max(self.sheet.latent)
        return max(1, self.style.tile * height // long), max(1, self.style.tile * width // long)

    @property
    def step(self) -> Size:
        """From a tile to the one below and the one at its right."""
        return self.tile[0] + 2 * self.style.text, self.tile[1] + self.style.gap

    @property
    def grid(self) -> Size:
        """A line's tiles, down and across, in equal shares."""
        tiles = self.with_pictures + len(self.sheet.samples[0][0].tiles)
        down = -(-tiles // self.style.across)
        return down, -(-tiles // down)

    @property
    def line(self) -> int:
        """From a line's heading to the next."""
        return 2 * self.style.text + self.grid[0] * self.step[0] + self.style.gap

    @property
    def size(self) -> Size:
        height = len(self.sheet.samples[0]) * self.line
        return height + self.style.gap, self.grid[1] * self.step[1] + self.style.gap

    def draw(self, lines: Sequence[Line], pictures: Tensor | None) -> Image.Image:
        """pictures: [P·B, h, w, 3], of a tile's size."""
        page = Image.new("RGB", (self.size[1], self.size[0]), PAPER)
        gap, text = self.style.gap, self.style.text
        most = _maximum(lines) if self.style.one_scale else None
        for i, line in enumerate(lines):
            top = gap + i * self.line
            _write(page, gap, top, self.size[1] - 2 * gap, text + 1, line.heading)
            under = None if pictures is None else pictures[line.row]
            first = [] if under is None else [_Drawn(under, "picture")]
            for n, tile in enumerate([*first, *(self._drawn(tile, under, most) for tile in line.tiles)]):
                down, right = divmod(n, self.grid[1])
                y, x = top + 2 * text + down * self.step[0], gap + right * self.step[1]
                self._place(page, x, y, tile)
        return page

    def _place(self, page: Image.Image, x: int, y: int, tile: _Drawn) -> None:
        (height, width), text, gap = self.tile, self.style.text, self.style.gap
        page.paste(_image(tile.picture), (x, y))
        _write(page, x, y + height + text // 4, width, text, tile.label, tile.value)
        _write(page, x + gap, y + (height - text) // 2, width - 2 * gap, text - 1, tile.note, centred=True)

    def _drawn(self, tile: Tile, under: Tensor | None, most: float | None) -> _Drawn:
        """under: a picture [h, w, 3]; most: what colours are relative to, None for the map's own maximum."""
        if tile.map is None:
            return _Drawn((torch.tensor(BLANK) / 255).expand(*self.tile, 3), tile.label, note=tile.note)
        if not self.sheet.heat:
            return _Drawn(repeat(resized(tile.map, self.tile), "h w -> h w c", c=3), tile.label)
        values = resized(relative(tile.map) if most is None else tile.map / most, self.tile)
        colours = heat_colours(values) if under is None else over(under, values, self.style.opacity)
        return _Drawn(colours, tile.label, f"max {float(tile.map.max()):.2g}")


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A tile in colours [h, w, 3]; what stands under it, at the left and at the right; what across it."""

    picture: Tensor
    label: str
    value: str = ""
    note: str = ""


def _maximum(lines: Sequence[Line]) -> float | None:
    """The largest value of all maps, None where none is positive."""
    most = max((float(t.map.max()) for line in lines for t in line.tiles if t.map is not None), default=0)
    return most if most > 0 else None


def _image(picture: Tensor) -> Image.Image:
    """[h, w, 3] in 0..1."""
    return Image.fromarray((picture * 255).round().byte().numpy())


# Text


def _write(
    page: Image.Image, x: int, y: int, width: int, letters: int, text: str, right: str = "",
    centred: bool = False,
) -> None:  # fmt: skip
    """A text shortened to a width; `right`, a number, at its end where there is room for both."""
    canvas, font = ImageDraw.Draw(page), _font(letters)
    shown = _shortened(text, width, font)
    room = width - font.getlength(shown)
    canvas.text((x + room // 2 if centred else x, y), shown, FAINT if centred else INK, font)
    if right and letters + font.getlength(right) <= room:
        canvas.text((x + width - font.getlength(right), y), right, FAINT, font)


def _font(letters: int) -> Font:
    """Pillow's own font; it has one size only before Pillow 10.1, and without FreeType."""
    try:
        return ImageFont.load_default(letters)
    except (TypeError, ImportError, OSError):
        return ImageFont.load_default()


def _shortened(text: str, width: int, font: Font) -> str:
    """On one line, with what the font can draw; dots at the end stand for what has no room."""
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
    """On one line and without accents, which Pillow's font lacks."""
    letters = unicodedata.normalize("NFKD", " ".join(text.split()))
    return "".join(c for c in letters if not unicodedata.combining(c)).translate(_ALIKE)


_ALIKE = str.maketrans("×–—", "x--")


# Bad input


def _require_shape(pictures: Tensor, latent: Size) -> None:
    """Raises P2PError for pictures that are much wider or taller than the latent."""
    (height, width), (rows, columns) = pictures.shape[1:3], latent
    if not 0.95 < height * columns / (width * rows) < 1.05:
        expected = f"pictures in the shape of {columns} × {rows}"
        raise P2PError(expected, f"{width} × {height}", HINT, topic="pictures")
