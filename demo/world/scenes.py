"""Procedural captioned scenes: coloured things on eight backgrounds.

The layout (positions, sizes in pixels, drawing order) is random and never in the caption, so a model trained
on these pictures can only keep a layout if something other than the prompt carries it.
Coordinates and radii are fractions of the picture's side.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Rgb = tuple[int, int, int]

COLORS: dict[str, Rgb] = {
    "red": (214, 48, 49),
    "orange": (243, 146, 55),
    "yellow": (253, 216, 53),
    "green": (46, 160, 67),
    "blue": (41, 98, 214),
    "purple": (125, 60, 180),
    "pink": (244, 143, 177),
    "white": (245, 245, 245),
    "black": (30, 30, 34),
    "brown": (121, 85, 61),
}
SIZES: dict[str, tuple[float, float]] = {"small": (0.11, 0.14), "": (0.16, 0.20), "large": (0.23, 0.28)}
BACKGROUNDS: dict[str, str] = {
    "plain": "",
    "sky": "in the sky",
    "grass": "on grass",
    "sand": "on sand",
    "night": "at night",
    "brick": "on a brick wall",
    "water": "in water",
    "snow": "on snow",
}
# A thing that would be invisible on its background is never drawn there.
HIDDEN = {
    ("white", "snow"),
    ("black", "night"),
    ("blue", "water"),
    ("green", "grass"),
    ("white", "plain"),
    ("brown", "brick"),
    ("red", "brick"),
    ("yellow", "sand"),
}


@dataclass(frozen=True)
class Thing:
    """One object: what it is and where it is. `named` lists the attributes that its caption names."""

    kind: str
    color: str
    size: str
    cx: float
    cy: float
    r: float
    names_color: bool = True

    @property
    def phrase(self) -> str:
        words = [w for w in (self.size, self.color if self.names_color else "", self.kind) if w]
        return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom; covers every kind's outline."""
        r = self.r * 1.17
        return self.cx - r, self.cy - r, self.cx + r, self.cy + r


@dataclass(frozen=True)
class Scene:
    """Things on a background. order: the order in which the caption names them; seed: of the texture."""

    things: tuple[Thing, ...]
    background: str
    order: tuple[int, ...]
    seed: int

    @property
    def caption(self) -> str:
        phrases = [self.things[i].phrase for i in self.order]
        text = phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]
        return f"{text} {BACKGROUNDS[self.background]}".rstrip()


def held_out(caption: str) -> bool:
    """Whether a caption belongs to the 2 % held out from training."""
    return zlib.crc32(caption.encode()) % 50 == 0


def random_scene(rng: random.Random) -> Scene:
    """A scene of one to three things that do not overlap and are of different kinds."""
    count = rng.choices([1, 2, 3], [0.35, 0.5, 0.15])[0]
    background = rng.choice(list(BACKGROUNDS))
    kinds = rng.sample(list(KINDS), count)
    colors = [c for c in COLORS if (c, background) not in HIDDEN]
    things: list[Thing] = []
    for kind in kinds:
        place = _free_place(rng, things, crowded=count == 3)
        if place is not None:
            size, cx, cy, r = place
            things.append(Thing(kind, rng.choice(colors), size, cx, cy, r, rng.random() > 0.08))
    order = list(range(len(things)))
    rng.shuffle(order)
    return Scene(tuple(things), background, tuple(order), rng.getrandbits(32))


def _free_place(
    rng: random.Random, things: Sequence[Thing], crowded: bool
) -> tuple[str, float, float, float] | None:
    for _ in range(200):
        size = rng.choice(["small", ""] if crowded else ["small", "", "", "large"])
        r = rng.uniform(*SIZES[size])
        cx, cy = rng.uniform(r * 1.2, 1 - r * 1.2), rng.uniform(r * 1.2, 1 - r * 1.2)
        if all(math.hypot(cx - t.cx, cy - t.cy) > (r + t.r) * 1.15 for t in things):
            return size, cx, cy, r
    return None


def recaption(scene: Scene, index: int, **changes: object) -> Scene:
    """The same scene and layout with fields of one thing changed: the ground truth of an edit."""
    things = list(scene.things)
    things[index] = replace(things[index], **changes)  # type: ignore[arg-type]
    return replace(scene, things=tuple(things))


def draw(scene: Scene, pixels: int = 256, supersample: int = 2) -> Image.Image:
    """The scene as an RGB picture of `pixels` squared."""
    side = pixels * supersample
    picture = _background(scene.background, side, random.Random(scene.seed))
    canvas = ImageDraw.Draw(picture)
    for thing in scene.things:
        draw_thing(canvas, thing.kind, thing.cx * side, thing.cy * side, thing.r * side, COLORS[thing.color])
    return picture.resize((pixels, pixels), Image.Resampling.BOX) if supersample > 1 else picture


def draw_thing(canvas: ImageDraw.ImageDraw, kind: str, cx: float, cy: float, r: float, color: Rgb) -> None:
    """Draw one thing around (cx, cy), all in pixels."""
    KINDS[kind](_Pen(canvas, cx, cy, r), color)


class _Pen:
    """Draws in units of a thing's radius around its centre."""

    def __init__(self, canvas: ImageDraw.ImageDraw, cx: float, cy: float, r: float) -> None:
        self.canvas, self.cx, self.cy, self.r = canvas, cx, cy, r

    def at(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(self.cx + x * self.r, self.cy + y * self.r) for x, y in points]

    def polygon(self, points: Sequence[tuple[float, float]], color: Rgb) -> None:
        self.canvas.polygon(self.at(points), fill=color)

    def box(self, x0: float, y0: float, x1: float, y1: float, color: Rgb) -> None:
        self.canvas.rectangle(self.at([(x0, y0), (x1, y1)]), fill=color)

    def oval(self, x0: float, y0: float, x1: float, y1: float, color: Rgb) -> None:
        self.canvas.ellipse(self.at([(x0, y0), (x1, y1)]), fill=color)


# Kinds


def _dark(color: Rgb, by: float = 0.65) -> Rgb:
    return int(color[0] * by), int(color[1] * by), int(color[2] * by)


def _spikes(n: int, r: float, inner: float | None = None) -> list[tuple[float, float]]:
    m = n * 2 if inner else n
    radius = [r * inner if inner and i % 2 else r for i in range(m)]
    return [
        (radius[i] * math.sin(2 * math.pi * i / m), -radius[i] * math.cos(2 * math.pi * i / m))
        for i in range(m)
    ]


def _circle(pen: _Pen, color: Rgb) -> None:
    pen.oval(-1, -1, 1, 1, color)


def _square(pen: _Pen, color: Rgb) -> None:
    pen.box(-0.88, -0.88, 0.88, 0.88, color)


def _triangle(pen: _Pen, color: Rgb) -> None:
    pen.polygon([(x, y + 0.15) for x, y in _spikes(3, 1.15)], color)


def _star(pen: _Pen, color: Rgb) -> None:
    pen.polygon(_spikes(5, 1.15, 0.45), color)


def _heart(pen: _Pen, color: Rgb) -> None:
    angles = [2 * math.pi * i / 60 for i in range(60)]
    lobes = [13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t) for t in angles]
    pen.polygon([(math.sin(t) ** 3, -y / 16) for t, y in zip(angles, lobes, strict=True)], color)


def _diamond(pen: _Pen, color: Rgb) -> None:
    pen.polygon([(0, -1.15), (0.8, 0), (0, 1.15), (-0.8, 0)], color)


def _ring(pen: _Pen, color: Rgb) -> None:
    pen.canvas.ellipse(pen.at([(-1, -1), (1, 1)]), outline=color, width=max(1, int(pen.r * 0.42)))


def _cross(pen: _Pen, color: Rgb) -> None:
    pen.box(-0.36, -1, 0.36, 1, color)
    pen.box(-1, -0.36, 1, 0.36, color)


def _moon(pen: _Pen, color: Rgb) -> None:
    outer = [(-math.cos(a) + 0.15, math.sin(a)) for a in np.linspace(-2.3, 2.3, 40)]
    inner = [(0.5 - 0.75 * math.cos(a), 0.75 * math.sin(a)) for a in np.linspace(2.3, -2.3, 40)]
    pen.polygon(outer + inner, color)


def _house(pen: _Pen, color: Rgb) -> None:
    pen.box(-0.8, -0.1, 0.8, 1, color)
    pen.polygon([(-1, -0.1), (0, -1), (1, -0.1)], _dark(color))
    pen.box(-0.2, 0.4, 0.2, 1, _dark(color, 0.4))


def _tree(pen: _Pen, color: Rgb) -> None:
    pen.box(-0.15, 0.2, 0.15, 1, (93, 64, 45))
    pen.oval(-0.8, -1, 0.8, 0.45, color)


def _fir_tree(pen: _Pen, color: Rgb) -> None:
    pen.box(-0.13, 0.5, 0.13, 1.05, (93, 64, 45))
    for top, half, base in ((-0.15, 0.85, 0.75), (-0.6, 0.68, 0.25), (-1.1, 0.5, -0.25)):
        pen.polygon([(0, top), (half, base), (-half, base)], color)


def _fish(pen: _Pen, color: Rgb) -> None:
    pen.oval(-1, -0.6, 0.6, 0.6, color)
    pen.polygon([(0.4, 0), (1.1, -0.6), (1.1, 0.6)], _dark(color))
    pen.oval(-0.65, -0.25, -0.4, 0, (255, 255, 255))


def _mushroom(pen: _Pen, color: Rgb) -> None:
    pen.box(-0.28, 0, 0.28, 1, (238, 222, 196))
    pen.canvas.pieslice(pen.at([(-1, -1), (1, 0.9)]), 180, 360, fill=color)
    for x in (-0.5, 0, 0.5):
        pen.oval(x - 0.12, -0.55, x + 0.12, -0.31, (255, 255, 255))


def _flower(pen: _Pen, color: Rgb) -> None:
    for i in range(6):
        x, y = 0.6 * math.cos(math.pi * i / 3), 0.6 * math.sin(math.pi * i / 3)
        pen.oval(x - 0.42, y - 0.42, x + 0.42, y + 0.42, color)
    pen.oval(-0.3, -0.3, 0.3, 0.3, COLORS["yellow"] if color != COLORS["yellow"] else COLORS["brown"])


def _sailing_boat(pen: _Pen, color: Rgb) -> None:
    pen.polygon([(-1.05, 0.45), (1.05, 0.45), (0.65, 1), (-0.65, 1)], _dark(color))
    pen.polygon([(-0.05, -1.1), (-0.05, 0.3), (-0.9, 0.3)], color)
    pen.polygon([(0.1, -0.75), (0.1, 0.3), (0.8, 0.3)], color)


KINDS: dict[str, Callable[[_Pen, Rgb], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "diamond": _diamond,
    "ring": _ring,
    "cross": _cross,
    "moon": _moon,
    "house": _house,
    "tree": _tree,
    "fir tree": _fir_tree,
    "fish": _fish,
    "mushroom": _mushroom,
    "flower": _flower,
    "sailing boat": _sailing_boat,
}


# Backgrounds

_GRADIENTS: dict[str, tuple[Rgb, Rgb]] = {
    "plain": ((190, 190, 195), (190, 190, 195)),
    "sky": ((120, 180, 240), (215, 235, 250)),
    "grass": ((120, 190, 90), (70, 150, 60)),
    "sand": ((240, 214, 160), (216, 184, 124)),
    "night": ((12, 16, 48), (40, 40, 90)),
    "brick": ((170, 90, 75), (160, 82, 68)),
    "water": ((40, 140, 190), (20, 90, 150)),
    "snow": ((225, 232, 245), (250, 250, 255)),
}


@lru_cache(maxsize=32)
def _gradient(name: str, side: int) -> NDArray[np.float32]:
    top, bottom = (np.array(c, np.float32) for c in _GRADIENTS[name])
    y = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    return np.broadcast_to(top * (1 - y) + bottom * y, (side, side, 3)).copy()


def _texture(name: str, side: int, phase: float) -> NDArray[np.float32] | None:
    u = np.linspace(0, 1, side, dtype=np.float32)
    y, x = u[:, None], u[None, :]
    if name == "grass":
        return 6 * np.sin(40 * x + phase) * np.sin(55 * y)
    if name == "sand":
        return 5 * np.sin(30 * y + 4 * np.sin(6 * x + phase))
    if name == "water":
        return 8 * np.sin(45 * y + 3 * np.sin(8 * x + phase))
    return None


def _background(name: str, side: int, rng: random.Random) -> Image.Image:
    pixels = _gradient(name, side)
    texture = _texture(name, side, rng.random() * 6)
    if texture is not None:
        pixels = np.clip(pixels + texture[..., None], 0, 255)
    picture = Image.fromarray(pixels.astype(np.uint8))
    canvas = ImageDraw.Draw(picture)
    if name == "night":
        for _ in range(14):
            x, y, s = rng.random() * side, rng.random() * side, side * 0.006
            canvas.ellipse([x - s, y - s, x + s, y + s], fill=(250, 250, 210))
    if name == "brick":
        _mortar(canvas, side)
    return picture


def _mortar(canvas: ImageDraw.ImageDraw, side: int) -> None:
    h, width = side / 8, max(1, side // 90)
    for row in range(9):
        canvas.line([0, row * h, side, row * h], fill=(205, 190, 180), width=width)
        for column in range(6):
            x = (column + (row % 2) * 0.5) * side / 5
            canvas.line([x, row * h, x, (row + 1) * h], fill=(205, 190, 180), width=width)
