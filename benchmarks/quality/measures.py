"""Measures an edit by the checker and the pixels. Positions are fractions of the side, as in scenes.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from demo.training.checker import Found, Verdict, match
from demo.world.scenes import COLORS, Thing, draw_thing

from .edits import Edit

MARGIN = 1 / 16  # around the edited thing's box: one cell of the finest attention maps
EDGE = 4  # pixels at the rim of a thing that are not compared, because the backgrounds show through there


@dataclass(frozen=True)
class Measured:
    """One edit by one method.

    done: whether the checker sees the edit anywhere; in_place: whether it is where the source had the thing.
    mae: mean absolute difference of the area that had to stay, in levels of 255; mse: its mean square.
    others: for each thing that had to stay, whether its kind, colour and place did.
    shifts: for those whose kind is still there, the distance it moved, in pixels of 256.
    """

    done: bool
    in_place: bool
    mae: float
    mse: float
    others: tuple[bool, ...]
    shifts: tuple[float, ...]


def shows(edit: Edit, source: Verdict) -> tuple[Found, ...] | None:
    """The source picture's things in the scene's order, or None if it does not show exactly its caption."""
    things = match(edit.source.things, source)
    right = source.background == edit.source.background and len(source.things) == len(things)
    return tuple(t for t in things if t) if right and all(things) and not done(edit, source) else None


def measured(
    edit: Edit, things: Sequence[Found], source: Tensor, picture: Tensor, verdict: Verdict
) -> Measured:
    """things: of the source, from `shows`. Pictures are [3, H, W] in 0..1."""
    stay = [thing for i, thing in enumerate(things) if i != edit.index]
    difference = (picture - source).mul(255)[:, to_stay(edit, things, source.shape[-1])]
    nearest = [_nearest(thing, verdict) for thing in stay]
    return Measured(
        done(edit, verdict),
        in_place(edit, things, verdict),
        float(difference.abs().mean()),
        float(difference.square().mean()),
        tuple(_kept(thing, verdict) for thing in stay),
        tuple(256 * distance(a, b) for a, b in zip(stay, nearest, strict=True) if b),
    )


def done(edit: Edit, verdict: Verdict) -> bool:
    """Whether the picture shows what the edit asks for, wherever it is."""
    if edit.index is None:
        return verdict.background == edit.target.background
    if edit.thing is None:
        return match([edit.source.things[edit.index]], verdict) == (None,)
    return match([edit.thing], verdict) != (None,)


def in_place(edit: Edit, things: Sequence[Found], verdict: Verdict) -> bool:
    """Whether it does so within the radius of the edited thing in the source."""
    if edit.index is None:
        return done(edit, verdict)
    old = things[edit.index]
    here = tuple(found for found in verdict.things if distance(found, old) < old.r)
    if edit.thing is not None or edit.weights:
        return done(edit, Verdict(here, ""))
    return not here


def distance(a: Found | Thing, b: Found | Thing) -> float:
    return math.hypot(a.cx - b.cx, a.cy - b.cy)


def _kept(thing: Found, verdict: Verdict) -> bool:
    """Kind and colour are there, the centre within half a radius."""
    return any(
        (found.kind, found.color) == (thing.kind, thing.color) and distance(found, thing) < thing.r / 2
        for found in verdict.things
    )


def _nearest(thing: Found, verdict: Verdict) -> Found | None:
    same = [found for found in verdict.things if found.kind == thing.kind]
    return min(same, key=lambda found: distance(found, thing), default=None)


# The area that had to stay


def to_stay(edit: Edit, things: Sequence[Found], side: int) -> Tensor:
    """[side, side], true where the picture had to stay: outside the edited thing's box, or on the things."""
    if edit.index is None:
        return torch.stack([silhouette(thing, side) for thing in things]).any(0)
    return ~box(things[edit.index], side)


def box(thing: Found, side: int) -> Tensor:
    """[side, side], true in the square of 1.17 radii, which covers every kind's outline, plus the margin."""
    reach = thing.r * 1.17 + MARGIN
    place = (torch.arange(side) + 0.5) / side
    return ((place - thing.cy).abs() <= reach)[:, None] & ((place - thing.cx).abs() <= reach)


def silhouette(thing: Found, side: int) -> Tensor:
    """[side, side], true inside the outline of a thing, without its rim."""
    canvas = Image.new("RGB", (side, side), (1, 2, 3))
    center = thing.cx * side, thing.cy * side, thing.r * side
    draw_thing(ImageDraw.Draw(canvas), thing.kind, *center, COLORS[thing.color])
    outside = torch.from_numpy((np.array(canvas) == (1, 2, 3)).all(2)).float()
    return F.max_pool2d(outside[None], 2 * EDGE + 1, stride=1, padding=EDGE)[0] == 0
