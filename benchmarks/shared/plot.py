"""A scatter plot with lines, drawn with Pillow: series differ by marker shape, not by colour alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float]
SIZE, LEFT, TOP, RIGHT, BOTTOM = (960, 600), 80, 50, 240, 60
PAPER, INK, FAINT = (255, 255, 255), (20, 20, 20), (215, 215, 215)
COLORS = ((0, 90, 160), (200, 80, 0), (0, 130, 90), (150, 60, 140), (90, 90, 90))
SCALE = 2  # drawn larger and averaged, for smooth lines


@dataclass(frozen=True)
class Series:
    """Points in order, each with a short text beside it."""

    name: str
    points: tuple[Point, ...]
    labels: tuple[str, ...]


def plot(series: Sequence[Series], title: str, x_label: str, y_label: str) -> Image.Image:
    """Linear axes from 0 (x) and from the lowest tick (y). At most four series."""
    xs, ys = ([point[axis] for s in series for point in s.points] for axis in (0, 1))
    x_ticks, y_ticks = ticks(0, max(xs)), ticks(min(ys), max(ys))
    sheet = Image.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), PAPER)
    pen = _Pen(ImageDraw.Draw(sheet), _place(x_ticks, y_ticks))
    pen.axes(x_ticks, y_ticks)
    for number, one in enumerate(series):
        pen.series(one, number)
        pen.legend(one.name, number)
    pen.text((LEFT, 14), title, 18)
    pen.text(((LEFT + SIZE[0] - RIGHT) / 2, SIZE[1] - 14), x_label, 15, "mm")
    _upright(sheet, y_label)
    return sheet.resize(SIZE, Image.Resampling.BOX)


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers, evenly spaced, that hold low and high."""
    span = (high - low) or 1.0
    power = 10 ** math.floor(math.log10(span / most))
    step = next(s * power for s in (1, 2, 5, 10, 20) if span / (s * power) <= most - 1)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def _place(x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Callable[[Point], Point]:
    """Values to pixels."""
    width, height = SIZE[0] - LEFT - RIGHT, SIZE[1] - TOP - BOTTOM

    def place(value: Point) -> Point:
        x = (value[0] - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        y = (value[1] - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + x * width, TOP + (1 - y) * height

    return place


Shape = Callable[[ImageDraw.ImageDraw, float, float, float, tuple[int, int, int]], None]


def _circle(canvas: ImageDraw.ImageDraw, x: float, y: float, r: float, color: tuple[int, int, int]) -> None:
    canvas.ellipse((x - r, y - r, x + r, y + r), color)


def _polygon(*corners: Point) -> Shape:
    def draw(canvas: ImageDraw.ImageDraw, x: float, y: float, r: float, color: tuple[int, int, int]) -> None:
        canvas.polygon([(x + a * r, y + b * r) for a, b in corners], color)

    return draw


MARKERS: tuple[Shape, ...] = (
    _circle,
    _polygon((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    _polygon((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
    _polygon((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    _polygon((0, 1.2), (1.1, -0.9), (-1.1, -0.9)),
)


class _Pen:
    """Draws in pixels of the finished plot."""

    def __init__(self, canvas: ImageDraw.ImageDraw, place: Callable[[Point], Point]) -> None:
        self.canvas, self.place = canvas, place

    def text(self, at: Point, text: str, size: int, anchor: str = "la") -> None:
        font = ImageFont.load_default(size * SCALE)
        self.canvas.text((at[0] * SCALE, at[1] * SCALE), text, INK, font, anchor)

    def line(self, points: Sequence[Point], color: tuple[int, int, int], width: float = 1) -> None:
        flat = [(x * SCALE, y * SCALE) for x, y in points]
        self.canvas.line(flat, color, round(width * SCALE))

    def marker(self, at: Point, number: int) -> None:
        MARKERS[number](self.canvas, at[0] * SCALE, at[1] * SCALE, 6 * SCALE, COLORS[number])

    def axes(self, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> None:
        for x in x_ticks:
            foot, head = self.place((x, y_ticks[0])), self.place((x, y_ticks[-1]))
            self.line([foot, head], FAINT)
            self.text((foot[0], foot[1] + 14), f"{x:g}", 14, "mm")
        for y in y_ticks:
            start, stop = self.place((x_ticks[0], y)), self.place((x_ticks[-1], y))
            self.line([start, stop], FAINT)
            self.text((start[0] - 10, start[1]), f"{y:g}", 14, "rm")

    def series(self, one: Series, number: int) -> None:
        places = [self.place(point) for point in one.points]
        self.line(places, COLORS[number], 1.5)
        for (x, y), label in zip(places, one.labels, strict=True):
            self.marker((x, y), number)
            self.text((x + 9, y - 9), label, 12, "lm")

    def legend(self, name: str, number: int) -> None:
        x, y = SIZE[0] - RIGHT + 30, TOP + 20 + 26 * number
        self.marker((x, y), number)
        self.text((x + 16, y), name, 14, "lm")


def _upright(sheet: Image.Image, text: str) -> None:
    """The label of the y axis, from bottom to top."""
    strip = Image.new("RGB", ((SIZE[1] - TOP - BOTTOM) * SCALE, 24 * SCALE), PAPER)
    font = ImageFont.load_default(15 * SCALE)
    ImageDraw.Draw(strip).text((strip.width / 2, strip.height / 2), text, INK, font, "mm")
    sheet.paste(strip.rotate(90, expand=True), (8 * SCALE, TOP * SCALE))
