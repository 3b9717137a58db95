"""Train the checker from scratch: `python -m demo.training.train_checker --minutes 12`.

Scenes are rendered endlessly, without held-out captions. The checker has to recognise things even if their
outlines are soft, so most pictures are warped and softened. It has to ignore shapes that are no kind at all,
so many pictures contain junk: blobs, halves of two kinds, morphs, ghosts, smears and specks.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ..model.decoder import FACTOR
from ..world.scenes import (
    BACKGROUNDS,
    COLORS,
    HIDDEN,
    KINDS,
    Rgb,
    Scene,
    Thing,
    draw,
    draw_thing,
    held_out,
    random_scene,
)
from .checker import STRIDE, USUAL_RADIUS, WEIGHTS, Detector, Maps

PIXELS = 256
CELLS = PIXELS // STRIDE
RADII = (0.10, 0.29)
KIND, COLOR, BACKGROUND = list(KINDS), list(COLORS), list(BACKGROUNDS)


# Junk: patches [RGBA, 2·REACH·r squared] that look like a thing at first glance but are not

REACH = 1.25  # half a patch's side, in radii


def _patch(kind: str, r: float, color: Rgb, shift: tuple[float, float] = (0, 0)) -> Image.Image:
    """One kind on a transparent background, `shift` radii off the centre of the patch."""
    side = math.ceil(2 * REACH * r)
    patch = Image.new("RGBA", (2 * side, 2 * side))
    draw_thing(ImageDraw.Draw(patch), kind, side + 2 * r * shift[0], side + 2 * r * shift[1], 2 * r, color)
    return patch.convert("RGBa").resize((side, side), Image.Resampling.BOX).convert("RGBA")


def blob(rng: random.Random, r: float, color: Rgb) -> Image.Image:
    """A lumpy outline without symmetry."""
    waves = [(k, rng.uniform(0.1, 0.4) / k**0.5, rng.uniform(0, 2 * math.pi)) for k in (1, 2, 3, 4, 5)]
    angles = [2 * math.pi * i / 60 for i in range(60)]
    radii = [r * (0.75 + sum(a * math.cos(k * t + p) for k, a, p in waves)) for t in angles]
    centre = REACH * r
    outline = [
        (centre + s * math.cos(t), centre + s * math.sin(t)) for s, t in zip(radii, angles, strict=True)
    ]
    side = math.ceil(2 * centre)
    patch = Image.new("RGBA", (side, side))
    ImageDraw.Draw(patch).polygon(outline, fill=color)
    return patch


def halves(rng: random.Random, r: float, color: Rgb) -> Image.Image:
    """The left or upper half of one kind and the other half of another, or of nothing."""
    one, other = (_patch(kind, r, color) for kind in rng.sample(KIND, 2))
    side = one.width
    upper = rng.random() < 0.4
    if not upper and rng.random() < 0.4:
        other = Image.new("RGBA", other.size)
    box = (0, 0, side, side // 2) if upper else (0, 0, side // 2, side)
    target, piece = (one, other) if rng.random() < 0.5 else (other, one)
    target.paste(piece.crop(box), box)
    return target


def morph(rng: random.Random, r: float, color: Rgb) -> Image.Image:
    """An outline half-way between those of two clearly different kinds."""
    while True:
        first, second = (_patch(kind, r, color).getchannel("A") for kind in rng.sample(KIND, 2))
        common = np.asarray(ImageChops.darker(first, second)).sum(dtype=float)
        if common < 0.7 * np.asarray(ImageChops.lighter(first, second)).sum(dtype=float):
            break
    middle = Image.blend(first, second, 0.5).filter(ImageFilter.GaussianBlur(0.25 * r))
    alpha = middle.point([min(255, max(0, 8 * (v - 100))) for v in range(256)])
    patch = Image.new("RGBA", alpha.size, color)
    patch.putalpha(alpha)
    return patch


def ghost(rng: random.Random, r: float, color: Rgb) -> Image.Image:
    """Two kinds overlaid transparently, or merged into one outline."""
    one, other = rng.sample(KIND, 2)
    if rng.random() < 0.5:
        tints = color, COLORS[rng.choice(COLOR)]
        return Image.blend(_patch(one, r, tints[0]), _patch(other, r, tints[1]), rng.uniform(0.4, 0.6))
    angle, apart = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 0.6)
    shift = apart * math.cos(angle), apart * math.sin(angle)
    small = 0.8 * r
    patch = _patch(one, small, color, shift)
    patch.alpha_composite(_patch(other, small, color, (-shift[0], -shift[1])))
    return patch


def smear(rng: random.Random, r: float, color: Rgb) -> Image.Image:
    """A kind blurred until it cannot be told from others."""
    wide = _patch(rng.choice(KIND), 0.8 * r, color)
    margin = math.ceil(0.6 * r)
    side = wide.width + 2 * margin
    patch = Image.new("RGBA", (side, side))
    patch.paste(wide, (margin, margin))
    blurred = patch.convert("RGBa").filter(ImageFilter.GaussianBlur(rng.uniform(0.35, 0.6) * r))
    return blurred.convert("RGBA")


def speck(rng: random.Random, r: float, color: Rgb) -> Image.Image:
    """Something far too small."""
    return _patch(rng.choice(KIND), rng.uniform(0.15, 0.35) * r, color)


Junk = Callable[[random.Random, float, Rgb], Image.Image]
JUNK: tuple[Junk, ...] = (blob, halves, morph, ghost, smear, speck)


# Pictures and their ground truth


@dataclass(frozen=True)
class Example:
    """A picture [3, 256, 256] in -1..1, the things to be found in it, and its background."""

    picture: Tensor
    things: tuple[Thing, ...]
    background: str


def examples(seed: int) -> Iterator[Example]:
    """Endless scenes with more things than a caption would name, and with junk."""
    rng = random.Random(seed)
    while True:
        scene = random_scene(rng)
        if held_out(scene.caption):
            continue
        if rng.random() < 0.05:
            scene = replace(scene, things=())
        junk: list[Thing] = []
        for _ in range(rng.randrange(5)):
            extra = _extra(rng, (*scene.things, *junk), scene.background)
            if extra and rng.random() < 0.5:
                junk.append(extra)
            elif extra:
                scene = replace(scene, things=(*scene.things, extra))
        yield Example(_picture(scene, junk, rng), scene.things, scene.background)


def _extra(rng: random.Random, things: Sequence[Thing], background: str) -> Thing | None:
    """One more thing, if there is room."""
    color = rng.choice([c for c in COLOR if (c, background) not in HIDDEN])
    for _ in range(20):
        r = rng.uniform(*RADII)
        cx, cy = rng.uniform(r * 1.1, 1 - r * 1.1), rng.uniform(r * 1.1, 1 - r * 1.1)
        if all(math.hypot(cx - t.cx, cy - t.cy) > (r + t.r) * 1.1 for t in things):
            return Thing(rng.choice(KIND), color, "", cx, cy, r)
    return None


def _picture(scene: Scene, junk: Sequence[Thing], rng: random.Random) -> Tensor:
    picture = draw(scene, PIXELS, supersample=2 if rng.random() < 0.25 else 1)
    for place in junk:
        patch = rng.choice(JUNK)(rng, place.r * PIXELS, COLORS[place.color])
        left, top = (round(c * PIXELS - patch.width / 2) for c in (place.cx, place.cy))
        picture.paste(patch, (left, top), patch)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(127.5).sub(1)


# Softening


def warped(pictures: Tensor) -> Tensor:
    """Outlines bent by up to a few pixels."""
    count, _, height, width = pictures.shape
    knots = random.choice((5, 9, 14))
    bends = torch.randn(count, 2, knots, knots) * torch.rand(count, 1, 1, 1) * 0.02
    bends = F.interpolate(bends, (height, width), mode="bicubic").permute(0, 2, 3, 1)
    still = F.affine_grid(torch.eye(2, 3).expand(count, 2, 3), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, still + bends, padding_mode="border", align_corners=False)


def as_thumbnails(pictures: Tensor) -> Tensor:
    """Averaged over 8 × 8 pixels, with a little noise, enlarged, sometimes mixed with the original."""
    small = F.avg_pool2d(pictures, FACTOR)
    small = small + random.choice((0.0, 0.03, 0.08)) * torch.randn_like(small)
    mode = random.choice(("nearest", "bilinear", "bicubic"))
    large = F.interpolate(small, scale_factor=float(FACTOR), mode=mode)
    return large.lerp(pictures, random.choice((0.0, 0.0, 0.3)))


def blurred(pictures: Tensor) -> Tensor:
    """Enlarged from a random smaller size, which softens by 1 to 8 pixels."""
    small = F.interpolate(pictures, scale_factor=1 / random.uniform(1.2, 7), mode="bilinear", antialias=True)
    return F.interpolate(small, pictures.shape[-2:], mode=random.choice(("bilinear", "bicubic")))


def jittered(pictures: Tensor) -> Tensor:
    """Contrast, tint and brightness changed by a few percent, and noise."""
    count = len(pictures)
    gain = 1 + 0.1 * (torch.rand(count, 1, 1, 1) - 0.5) + 0.06 * (torch.rand(count, 3, 1, 1) - 0.5)
    shift = 0.08 * (torch.rand(count, 1, 1, 1) - 0.5) + 0.06 * (torch.rand(count, 3, 1, 1) - 0.5)
    noise = torch.randn_like(pictures) * torch.rand(count, 1, 1, 1) * 0.05
    return (pictures * gain + shift + noise).clamp(-1, 1)


def softened(pictures: Tensor) -> Tensor:
    """A third each: unchanged, as thumbnails, blurred; every second one is warped first; all are jittered."""
    pictures = torch.cat([warped(pictures[::2]), pictures[1::2]])
    ways = (lambda x: x, as_thumbnails, blurred)
    kept = torch.empty_like(pictures)
    for i, way in enumerate(ways):
        kept[i::3] = way(pictures[i::3])
    return jittered(kept)


def reordered(examples: Sequence[Example]) -> list[Example]:
    """The order in which `softened` returns the pictures."""
    return [*examples[::2], *examples[1::2]]


# Loss


@dataclass(frozen=True)
class Targets:
    """heat [B, h, w]: 1 in the cell of a centre, decaying around it. For the nearest thing: kind and color
    [B, h, w], place [B, 3, h, w] as in Maps. background [B]."""

    heat: Tensor
    kind: Tensor
    color: Tensor
    place: Tensor
    background: Tensor


def targets(batch: Sequence[Example]) -> Targets:
    count = len(batch)
    heat = torch.zeros(count, CELLS, CELLS)
    kind, color = (torch.zeros(count, CELLS, CELLS, dtype=torch.long) for _ in range(2))
    place = torch.zeros(count, 3, CELLS, CELLS)
    y, x = torch.meshgrid(*(torch.arange(CELLS, dtype=torch.float32),) * 2, indexing="ij")
    for b, example in enumerate(batch):
        for thing in example.things:
            cx, cy = thing.cx * CELLS, thing.cy * CELLS
            warmth = torch.exp(-((x - int(cx)).square() + (y - int(cy)).square()) / 2)
            nearest = warmth > heat[b]
            heat[b] = heat[b].maximum(warmth)
            kind[b][nearest], color[b][nearest] = KIND.index(thing.kind), COLOR.index(thing.color)
            log_r = torch.full_like(x, math.log(thing.r * PIXELS / USUAL_RADIUS))
            place[b][:, nearest] = torch.stack([cx - x - 0.5, cy - y - 0.5, log_r])[:, nearest]
    backgrounds = torch.tensor([BACKGROUND.index(example.background) for example in batch])
    return Targets(heat, kind, color, place, backgrounds)


def loss_of(maps: Maps, truth: Targets) -> Tensor:
    """CenterNet's focal loss for the centres; cross-entropy and L1 around them."""
    thing, kind, color, place, background = (m.float() for m in maps)
    thing = thing[:, 0]
    centre = truth.heat == 1
    p = thing.sigmoid()
    miss = F.softplus(-thing) * (1 - p).square()
    false = F.softplus(thing) * p.square() * (1 - truth.heat) ** 4
    focal = torch.where(centre, miss, false).sum() / centre.sum().clamp(min=1)
    near = truth.heat * (truth.heat > 0.3)
    near = near / near.sum().clamp(min=1)
    kinds = (F.cross_entropy(kind, truth.kind, reduction="none") * near).sum()
    colors = (F.cross_entropy(color, truth.color, reduction="none") * near).sum()
    places = ((place - truth.place).abs().sum(1) * near).sum()
    return focal + kinds + 0.5 * colors + 0.5 * places + 0.2 * F.cross_entropy(background, truth.background)


# Training


def train(
    detector: Detector, minutes: float, rate: float, batch: int, seed: int, device: torch.device
) -> None:
    """AdamW in bfloat16, with warm-up and the rate decaying to zero over the last half."""
    torch.manual_seed(seed)
    random.seed(seed)
    detector.to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.AdamW(detector.parameters(), rate, weight_decay=1e-3)
    stream = examples(seed)
    bar = tqdm(total=minutes, desc="checker", bar_format="{desc}: {n:.1f}/{total:.0f} min |{bar}| {postfix}")
    started, step, fraction, smooth = time.time(), 0, 0.0, 0.0
    while fraction < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * min(1, (1 - fraction) / 0.5)
        loss = _step(detector, optimizer, [next(stream) for _ in range(batch)], device)
        step, smooth = step + 1, 0.98 * smooth + 0.02 * loss if step else loss
        bar.set_postfix(step=step, loss=f"{smooth:.3f}", refresh=False)
        bar.update(-bar.n + (time.time() - started) / 60)
        fraction = (time.time() - started) / (minutes * 60)
    bar.close()


def _step(
    detector: Detector, optimizer: torch.optim.Optimizer, batch: Sequence[Example], device: torch.device
) -> float:
    pictures = softened(torch.stack([example.picture for example in batch]))
    truth = targets(reordered(batch))
    with torch.autocast(device.type, torch.bfloat16):
        maps = detector(pictures.to(device).contiguous(memory_format=torch.channels_last))
    loss = loss_of(Maps(*(m.cpu() for m in maps)), truth)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(detector.parameters(), 5.0)
    optimizer.step()
    return loss.item()


def save(detector: Detector, weights: Path) -> None:
    state = {
        name: value.detach().cpu().half().contiguous() if value.is_floating_point() else value.cpu()
        for name, value in detector.state_dict().items()
    }
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, weights, metadata={"format": "pt", "model": "p2p-demo-checker"})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=30_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    detector = Detector()
    train(detector, chosen.minutes, chosen.rate, chosen.batch, chosen.seed, torch.device(chosen.device))
    save(detector, chosen.weights)


if __name__ == "__main__":
    main()
