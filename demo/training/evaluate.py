"""Measure the demo model on captions it never saw: `python -m demo.training.evaluate`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ..diffusers_host.pipeline import load, schedule
from ..model.decoder import CHANNELS, FACTOR, ThumbnailAutoencoder
from ..model.shape import TOKENIZER, TOKENS, WEIGHTS
from ..world.scenes import Scene
from .checker import Checker, Verdict, held_out_scenes, match

PIXELS = 256
BATCH = 16


@dataclass(frozen=True)
class Parts:
    """The parts of a model. decode: latents [B, 3, h, w] to pictures [B, 3, 8h, 8w] in -1..1."""

    unet: Any
    text: Any
    tokenizer: Any
    decode: Callable[[Tensor], Tensor]


# The model


def from_weights(weights: Path) -> Parts:
    pipeline = load(weights)
    return Parts(pipeline.unet, pipeline.text, pipeline.tokenizer, pipeline.autoencoder.decode)


def from_checkpoint(folder: Path) -> Parts:
    """The moving averages of a training run that may still be in progress."""
    from transformers import CLIPTokenizer

    from .train import averaged, decoder_modules, latent_statistics, unet_modules

    modules = averaged(unet_modules(), folder / "unet.pt")
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    if (folder / "decoder.pt").exists():
        autoencoder = averaged(decoder_modules(), folder / "decoder.pt")["autoencoder"]
        assert isinstance(autoencoder, ThumbnailAutoencoder)
        return Parts(modules["unet"], modules["text"], tokenizer, autoencoder.decode)
    autoencoder = ThumbnailAutoencoder()
    latent_statistics(autoencoder)
    return Parts(modules["unet"], modules["text"], tokenizer, lambda z: enlarged(z, autoencoder))


def enlarged(latents: Tensor, autoencoder: ThumbnailAutoencoder) -> Tensor:
    """The thumbnails themselves, with each cell enlarged to 8 × 8 pixels."""
    thumbnails = latents * autoencoder.std + autoencoder.mean.view(1, -1, 1, 1)
    return F.interpolate(thumbnails, scale_factor=float(FACTOR))


@torch.no_grad()
def sample(
    unet: Any, text: Any, tokenizer: Any, captions: Sequence[str], seed: int, steps: int, cfg: float
) -> Tensor:
    """Deterministic DDIM, each caption from its own noise; → latents [B, 3, 32, 32]."""
    side = PIXELS // FACTOR
    noise = torch.randn(len(captions), CHANNELS, side, side, generator=torch.manual_seed(seed))
    timesteps, sigmas = schedule(steps)
    latents: list[Tensor] = []
    bar = tqdm(total=len(captions) * steps, desc="drawing", unit="step")
    for start in range(0, len(captions), BATCH):
        texts = ["", *captions[start : start + BATCH]]
        ids = tokenizer(texts, padding="max_length", max_length=TOKENS, return_tensors="pt").input_ids
        encoded = text(ids).last_hidden_state
        context = torch.cat([encoded[:1].expand(len(texts) - 1, -1, -1), encoded[1:]])
        x = noise[start : start + BATCH] * (1 + sigmas[0] ** 2).sqrt()
        for t, sigma, following in zip(timesteps, sigmas, sigmas[1:], strict=False):
            scaled = x / (sigma**2 + 1).sqrt()
            without, with_text = unet(torch.cat([scaled, scaled]), t, context).sample.chunk(2)
            x = x + (following - sigma) * (without + cfg * (with_text - without))
            bar.update(len(x))
        latents.append(x)
    bar.close()
    return torch.cat(latents)


# The table


@dataclass(frozen=True)
class Score:
    """What one picture shows of its caption, as counts of things."""

    named: int
    right: int  # kind, and colour if it is named
    right_kind: int
    color_named: int  # of those with the right kind
    right_color: int
    extra: int
    background: bool

    @property
    def all_right(self) -> bool:
        return self.background and self.right == self.named


def score(scene: Scene, verdict: Verdict) -> Score:
    by_color = match(scene.things, verdict)
    by_kind = match(scene.things, verdict, colors=False)
    named_colors = [i for i, thing in enumerate(scene.things) if thing.names_color]
    return Score(
        named=len(scene.things),
        right=sum(found is not None for found in by_color),
        right_kind=sum(found is not None for found in by_kind),
        color_named=sum(by_kind[i] is not None for i in named_colors),
        right_color=sum(by_color[i] is not None for i in named_colors),
        extra=len(verdict.things) - sum(found is not None for found in by_kind),
        background=scene.background == verdict.background,
    )


def table(scores: Sequence[Score]) -> str:
    """A Markdown table with one row."""

    def total(name: str) -> int:
        return sum(getattr(s, name) for s in scores)

    named, captions = total("named"), len(scores)
    cells = {
        "captions": f"{captions}",
        "things named": f"{named}",
        "right kind and colour": f"{total('right') / named:.1%}",
        "right kind": f"{total('right_kind') / named:.1%}",
        "right colour given kind": f"{total('right_color') / max(1, total('color_named')):.1%}",
        "background right": f"{total('background') / captions:.1%}",
        "captions all right": f"{total('all_right') / captions:.1%}",
        "extra things per image": f"{total('extra') / captions:.2f}",
    }
    return "\n".join("| " + " | ".join(row) + " |" for row in (cells, ["---"] * len(cells), cells.values()))


# The contact sheet

TILE, TEXT, COLUMNS = 192, 88, 8


def sheet(pictures: Tensor, scenes: Sequence[Scene], verdicts: Sequence[Verdict]) -> Image.Image:
    """Every picture with its caption (green: all right) and with what the checker saw in it."""
    rows = -(-len(scenes) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + TEXT)), "white")
    for i, (scene, verdict) in enumerate(zip(scenes, verdicts, strict=True)):
        corner = i % COLUMNS * TILE, i // COLUMNS * (TILE + TEXT)
        page.paste(_tile(pictures[i], scene, verdict), corner)
    return page


def _tile(picture: Tensor, scene: Scene, verdict: Verdict) -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE + TEXT), "white")
    pixels = picture.add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0)
    tile.paste(Image.fromarray(pixels.numpy()).resize((TILE - 4, TILE - 4)), (2, 2))
    seen = "; ".join(f"{f.color} {f.kind} {f.score:.2f}" for f in verdict.things) or "nothing"
    canvas = ImageDraw.Draw(tile)
    color = "darkgreen" if score(scene, verdict).all_right else "firebrick"
    canvas.text((4, TILE), textwrap.fill(scene.caption, 30), fill=color)
    canvas.text((4, TILE + 40), textwrap.fill(f"{seen} ({verdict.background})", 30), fill="dimgray")
    return tile


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--captions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--cfg", type=float, default=5.0)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--weights", type=Path, default=WEIGHTS)
    source.add_argument("--checkpoint", type=Path, help="checkpoint folder of demo.training.train")
    parser.add_argument("--sheet", type=Path, help="write the first 40 pictures here, as PNG")
    chosen = parser.parse_args()
    parts = from_checkpoint(chosen.checkpoint) if chosen.checkpoint else from_weights(chosen.weights)
    scenes = list(islice(held_out_scenes(chosen.seed), chosen.captions))
    captions = [scene.caption for scene in scenes]
    latents = sample(parts.unet, parts.text, parts.tokenizer, captions, chosen.seed, chosen.steps, chosen.cfg)
    with torch.no_grad():
        pictures = torch.cat([parts.decode(z).clamp(-1, 1) for z in latents.split(BATCH)])
    checker = Checker.load()
    verdicts = [verdict for some in pictures.split(BATCH) for verdict in checker(some)]
    print(table([score(scene, verdict) for scene, verdict in zip(scenes, verdicts, strict=True)]))
    if chosen.sheet:
        sheet(pictures[:40], scenes[:40], verdicts[:40]).save(chosen.sheet)


if __name__ == "__main__":
    main()
