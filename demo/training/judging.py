"""Judges pictures by the checker's network: are the named things there, in their look and place?"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from ..things.sprites import NO_LOOK, Sprites
from ..things.vocabulary import KINDS, LOOKS, STYLES
from ..things.world import Scenes
from .detector import STRIDE, USUAL_SIDE, Detector

THRESHOLD = 0.3
COLORLESS = list(STYLES).index("pencil")  # the style in which no look can be seen


@dataclass(frozen=True)
class Sight:
    """What pictures show. score [B, kinds]: the certainty that a thing of the kind is there.

    Where it is surest: look [B, kinds], the likeliest of LOOKS, and box [B, kinds, 4], left, top, right and
    bottom in pixels. background, style [B]: indices.
    """

    score: Tensor
    look: Tensor
    box: Tensor
    background: Tensor
    style: Tensor


@torch.no_grad()
def seen(detector: Detector, pictures: Tensor) -> Sight:
    """Pictures [B, 3, H, W] in -1..1."""
    maps = detector(pictures)
    thing = maps.thing.sigmoid()
    peak = thing * (thing == F.max_pool2d(thing, 3, stride=1, padding=1))
    score, cell = (peak * maps.kind.softmax(1)).flatten(2).max(2)
    look = _at(maps.look, cell).argmax(1)
    box = _boxes(_at(maps.place, cell), cell, maps.place.shape[-1])
    return Sight(score, look, box, maps.background.argmax(1), maps.style.argmax(1))


def _at(grid: Tensor, cell: Tensor) -> Tensor:
    """[B, C, h, w] at cells [B, kinds], counted along rows → [B, C, kinds]."""
    return grid.flatten(2).gather(2, cell[:, None].expand(-1, grid.shape[1], -1))


def _boxes(place: Tensor, cell: Tensor, columns: int) -> Tensor:
    """place [B, 4, kinds] as in Maps → boxes [B, kinds, 4] in pixels."""
    x = (cell % columns + 0.5 + place[:, 0]) * STRIDE
    y = (cell // columns + 0.5 + place[:, 1]) * STRIDE
    width, height = (side.exp() * USUAL_SIDE / 2 for side in (place[:, 2], place[:, 3]))
    return torch.stack([x - width, y - height, x + width, y + height], dim=2)


@dataclass(frozen=True)
class Tally:
    """Counts over pictures."""

    captions: int
    named: int  # things
    right_kind: int
    right: int  # kind, and the look where it is named
    background: int
    style: int
    whole: int  # captions right in things, background and style
    others: int  # things that no caption names

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def table(self) -> str:
        """Markdown of one row."""
        cells = {
            "captions": f"{self.captions}",
            "things named": f"{self.named}",
            "right kind and look": f"{self.right / self.named:.1%}",
            "right kind": f"{self.right_kind / self.named:.1%}",
            "right background": f"{self.background / self.captions:.1%}",
            "right style": f"{self.style / self.captions:.1%}",
            "captions all right": f"{self.whole / self.captions:.1%}",
            "other things per picture": f"{self.others / self.captions:.2f}",
        }
        return "\n".join(
            "| " + " | ".join(row) + " |" for row in (cells, ["---"] * len(cells), cells.values())
        )


def tally(scenes: Scenes, sight: Sight, sprites: Sprites) -> tuple[Tally, Tensor]:
    """The counts, and which captions are all right, [B]."""
    present = scenes.layout.present
    variant = scenes.layout.variant.clamp(min=0)
    kind, look = sprites.kinds[variant], sprites.looks[variant]
    right_kind = present & (sight.score.gather(1, kind) > THRESHOLD)
    visible = scenes.named & (look != NO_LOOK) & (scenes.layout.style != COLORLESS)[:, None]
    right = right_kind & ((sight.look.gather(1, kind) == look) | ~visible)
    background, style = sight.background == scenes.layout.place, sight.style == scenes.layout.style
    whole = background & style & (right | ~present).all(1)
    found = (sight.score > THRESHOLD).sum() - right_kind.sum()
    counts = Tally(
        captions=len(whole),
        named=int(present.sum()),
        right_kind=int(right_kind.sum()),
        right=int(right.sum()),
        background=int(background.sum()),
        style=int(style.sum()),
        whole=int(whole.sum()),
        others=int(found),
    )
    return counts, whole


def described(sight: Sight, index: int) -> str:
    """What was seen in one picture, in words."""
    kinds = list(KINDS)
    names = []
    for i in (sight.score[index] > THRESHOLD).nonzero()[:, 0].tolist():
        looks = list(KINDS.values())[i].looks
        look = LOOKS[int(sight.look[index, i])]
        names.append(f"{look} {kinds[i]}" if look in looks else kinds[i])
    return ", ".join(names) or "nothing"
