"""Reads pictures of the demo model: which things are where, in which colour, on which background.

`python -m demo.training.checker` measures it on held-out scenes; train_checker.py trains it.
Positions and radii are fractions, as in scenes.py: x of the width, y of the height, r of the smaller side.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from p2p_core.errors import P2PError

from ..model.decoder import FACTOR, ThumbnailAutoencoder
from ..model.shape import FOLDER
from ..world.scenes import BACKGROUNDS, COLORS, KINDS, Scene, Thing, draw, held_out, random_scene

WEIGHTS = FOLDER / "checker.safetensors"
STRIDE = 8  # pixels per cell of the maps
COARSEST = 16  # the sides of a picture are multiples of this
USUAL_RADIUS = 32.0  # pixels; radii are predicted as logarithms relative to it
THRESHOLD = 0.4
DOUBT = 4  # power of the kind's probability: a shape between two kinds is most likely neither


@dataclass(frozen=True)
class Found:
    """A detected thing. score: the confidence, 0..1, that it is there and is of this kind."""

    kind: str
    color: str
    cx: float
    cy: float
    r: float
    score: float


@dataclass(frozen=True)
class Verdict:
    """What a picture shows, most confident thing first."""

    things: tuple[Found, ...]
    background: str


# The network


class Maps(NamedTuple):
    """Logits on a grid of 8-pixel cells: thing [B, 1, h, w], kind [B, 16, h, w], color [B, 10, h, w].

    place [B, 3, h, w]: the centre's distance from the cell's centre (x, y, in cells) and log(r / 32 pixels).
    background: [B, 8].
    """

    thing: Tensor
    kind: Tensor
    color: Tensor
    place: Tensor
    background: Tensor


def _convolution(inner: int, outer: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inner, outer, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outer), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = _convolution(width, width)
        self.b = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.b(self.a(x)))


class Detector(nn.Module):
    """Pictures [B, 3, H, W] in -1..1, sides multiples of 16, to Maps. After CenterNet (Zhou et al. 2019)."""

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 80)) -> None:
        super().__init__()
        a, b, c = widths
        self.fine = nn.Sequential(nn.PixelUnshuffle(4), _convolution(48, a), _Residual(a))
        self.middle = nn.Sequential(_convolution(a, b, stride=2), _Residual(b))
        self.coarse = nn.Sequential(_convolution(b, c, stride=2), *(_Residual(c) for _ in range(3)))
        self.lateral = _convolution(c, b, size=1)
        self.joined = nn.Sequential(_convolution(b, b), _Residual(b))
        self.heads = nn.Conv2d(b, sum(_HEADS), 1)
        self.background = nn.Linear(b + c, len(BACKGROUNDS))
        nn.init.constant_(self.heads.bias[:1], -4.0)  # type: ignore[index, arg-type]

    def forward(self, pictures: Tensor) -> Maps:
        middle = self.middle(self.fine(pictures))
        coarse = self.coarse(middle)
        joined = self.joined(middle + F.interpolate(self.lateral(coarse), scale_factor=2.0))
        texture = torch.cat([middle.mean((2, 3)), coarse.mean((2, 3))], dim=1)
        thing, kind, color, place = self.heads(joined).split(_HEADS, dim=1)
        return Maps(thing, kind, color, place, self.background(texture))


_HEADS = (1, len(KINDS), len(COLORS), 3)


# Judging


@dataclass(frozen=True)
class Checker:
    """Pictures [B, 3, H, W] in -1..1 to one verdict each. Things below `threshold` are not reported."""

    detector: Detector
    threshold: float = THRESHOLD

    @classmethod
    def load(cls, weights: Path = WEIGHTS) -> Checker:
        detector = Detector()
        try:
            detector.load_state_dict(load_file(weights))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise P2PError(
                "the checker's weight file",
                f"{weights.name} that cannot be used ({str(error).splitlines()[0]})",
                "Run `git checkout -- demo/model`, or train it: `python -m demo.training.train_checker`.",
            ) from error
        return cls(detector.eval().requires_grad_(False))

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> list[Verdict]:
        height, width = pictures.shape[-2:]
        if pictures.ndim != 4 or pictures.shape[1] != 3 or height % COARSEST or width % COARSEST:
            raise P2PError(
                f"pictures [B, 3, H, W] with sides that are multiples of {COARSEST}",
                f"{list(pictures.shape)}",
                "Crop or resize the pictures.",
            )
        maps = self.detector(pictures.float())
        things = found_things(maps, width, height, self.threshold)
        names = list(BACKGROUNDS)
        return [
            Verdict(seen, names[int(i)]) for seen, i in zip(things, maps.background.argmax(1), strict=True)
        ]


def found_things(maps: Maps, width: int, height: int, threshold: float) -> list[tuple[Found, ...]]:
    """The peaks of the maps, most confident first, one list per picture of width × height pixels."""
    kind = maps.kind.softmax(1).max(1)
    thing = maps.thing[:, 0].sigmoid()
    score = thing * kind.values**DOUBT
    peak = (thing == F.max_pool2d(thing[:, None], 3, stride=1, padding=1)[:, 0]) & (score > threshold)
    color = maps.color.argmax(1)
    found: list[list[Found]] = [[] for _ in range(len(score))]
    for b, y, x in peak.nonzero().tolist():
        dx, dy, log_r = maps.place[b, :, y, x].tolist()
        found[b].append(
            Found(
                kind=list(KINDS)[int(kind.indices[b, y, x])],
                color=list(COLORS)[int(color[b, y, x])],
                cx=(x + 0.5 + dx) * STRIDE / width,
                cy=(y + 0.5 + dy) * STRIDE / height,
                r=math.exp(log_r) * USUAL_RADIUS / min(width, height),
                score=float(score[b, y, x]),
            )
        )
    aspect = width / min(width, height), height / min(width, height)
    return [without_doubles(things, aspect) for things in found]


def without_doubles(things: Iterable[Found], aspect: tuple[float, float] = (1.0, 1.0)) -> tuple[Found, ...]:
    """Most confident first, without things whose centre is within half a radius of a more confident one.

    aspect: the picture's width and height divided by its smaller side.
    """
    kept: list[Found] = []
    for thing in sorted(things, key=lambda t: -t.score):
        if all(_distance(thing, other, aspect) > 0.5 * max(thing.r, other.r) for other in kept):
            kept.append(thing)
    return tuple(kept)


def _distance(a: Found | Thing, b: Found | Thing, aspect: tuple[float, float] = (1.0, 1.0)) -> float:
    """Distance of two centres, as a fraction of the picture's smaller side."""
    return math.hypot((a.cx - b.cx) * aspect[0], (a.cy - b.cy) * aspect[1])


# Comparing with a caption


def match(caption_things: Sequence[Thing], verdict: Verdict, colors: bool = True) -> tuple[Found | None, ...]:
    """For every named thing, the matching detected thing or None. No detected thing is used twice.

    Kinds must agree, and colours if the caption names them (`colors=False` ignores them). Places and sizes
    are ignored. As many named things as possible are matched.
    """
    return assign(caption_things, verdict.things, lambda named, found: _is(named, found, colors))


def assign(
    named: Sequence[Thing], found: Sequence[Found], agrees: Callable[[Thing, Found], bool]
) -> tuple[Found | None, ...]:
    """A maximum one-to-one assignment (augmenting paths), preferring earlier detected things."""
    taken: dict[int, int] = {}  # index of found → index of named

    def settle(i: int, tried: set[int]) -> bool:
        for j, thing in enumerate(found):
            if j not in tried and agrees(named[i], thing):
                tried.add(j)
                if j not in taken or settle(taken[j], tried):
                    taken[j] = i
                    return True
        return False

    for i in range(len(named)):
        settle(i, set())
    given = {i: found[j] for j, i in taken.items()}
    return tuple(given.get(i) for i in range(len(named)))


def _is(named: Thing, found: Found, colors: bool) -> bool:
    return named.kind == found.kind and (named.color == found.color or not (colors and named.names_color))


# Measuring the checker


@dataclass(frozen=True)
class Quality:
    """Shares in 0..1; false positives per image; mean distance of the centres as a fraction of the side."""

    found: float
    false_positives: float
    background: float
    centre_error: float


def held_out_scenes(seed: int) -> Iterator[Scene]:
    """Endless scenes whose captions are held out from training."""
    rng = random.Random(seed)
    while True:
        scene = random_scene(rng)
        if held_out(scene.caption):
            yield scene


def to_tensor(scene: Scene, pixels: int = 256, supersample: int = 2) -> Tensor:
    """The rendered scene, [3, pixels, pixels] in -1..1."""
    picture = np.array(draw(scene, pixels, supersample))
    return torch.from_numpy(picture).permute(2, 0, 1).float().div(127.5).sub(1)


def locate(scene: Scene, verdict: Verdict) -> tuple[Found | None, ...]:
    """For every rendered thing, the detected thing of its kind and colour in its place."""
    return assign(
        scene.things,
        verdict.things,
        lambda t, f: (t.kind, t.color) == (f.kind, f.color) and _distance(t, f) < 0.5 * t.r,
    )


def quality(scenes: Sequence[Scene], verdicts: Sequence[Verdict]) -> Quality:
    pairs = list(zip(scenes, verdicts, strict=True))
    located = [locate(scene, verdict) for scene, verdict in pairs]
    errors = [
        _distance(thing, found)
        for (scene, _), places in zip(pairs, located, strict=True)
        for thing, found in zip(scene.things, places, strict=True)
        if found
    ]
    return Quality(
        found=len(errors) / sum(len(scene.things) for scene in scenes),
        false_positives=(sum(len(v.things) for v in verdicts) - len(errors)) / len(scenes),
        background=sum(s.background == v.background for s, v in pairs) / len(scenes),
        centre_error=sum(errors) / max(1, len(errors)),
    )


Degrade = Callable[[Tensor], Tensor]


def thumbnails(pictures: Tensor) -> Tensor:
    """Averaged over 8 × 8 pixels and enlarged again, [B, 3, H, W]."""
    return F.interpolate(F.avg_pool2d(pictures, FACTOR), scale_factor=float(FACTOR), mode="bilinear")


def through_decoder(checkpoint: Path) -> Degrade:
    """Encoding and decoding by the autoencoder of a checkpoint of demo.training.train."""
    from .train import averaged, decoder_modules

    autoencoder = averaged(decoder_modules(), checkpoint)["autoencoder"]
    assert isinstance(autoencoder, ThumbnailAutoencoder)
    return torch.no_grad()(lambda pictures: autoencoder.decode(autoencoder.encode(pictures)).clamp(-1, 1))


def measure(checker: Checker, scenes: Sequence[Scene], ways: dict[str, Degrade]) -> dict[str, Quality]:
    """The checker's quality on each version of the scenes."""
    verdicts: dict[str, list[Verdict]] = {name: [] for name in ways}
    for start in tqdm(range(0, len(scenes), 20), desc="checking", unit_scale=20):
        pictures = torch.stack([to_tensor(scene) for scene in scenes[start : start + 20]])
        for name, way in ways.items():
            verdicts[name] += checker(way(pictures))
    return {name: quality(scenes, given) for name, given in verdicts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--decoder", type=Path, default=Path("demo/checkpoints/decoder.pt"))
    chosen = parser.parse_args()
    ways: dict[str, Degrade] = {"as rendered": lambda pictures: pictures, "thumbnails": thumbnails}
    if chosen.decoder.exists():
        ways["through the decoder"] = through_decoder(chosen.decoder)
    scenes = list(islice(held_out_scenes(chosen.seed), chosen.scenes))
    measured = measure(Checker.load(chosen.weights), scenes, ways)
    print("| scenes | found with kind and colour | false positives per image | background | centre error |")
    print("|---|---|---|---|---|")
    for name, q in measured.items():
        pixels = f"{q.centre_error * 256:.1f} px"
        print(f"| {name} | {q.found:.1%} | {q.false_positives:.3f} | {q.background:.1%} | {pixels} |")


if __name__ == "__main__":
    main()
