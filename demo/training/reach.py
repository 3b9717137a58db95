"""What the models reach: `python -m demo.training.reach --folder FOLDER` draws captions that no training saw.

`--model none` has the checker judge the scenes themselves.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..things import assets
from ..things.captions import texts
from ..things.tokens import Tokens
from ..things.vocabulary import PLACES
from ..things.world import Scenes, World
from . import sampling, transformer, upsampler
from .detector import Detector
from .device import placed
from .judging import Sight, Tally, described, seen, tally
from .training import load_into
from .unet import TextToImage

BATCH = 24
GUIDANCE = 5.0
TILE, TEXT, COLUMNS = 192, 64, 6
Draw = Callable[[Tensor], Tensor]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="the checkpoints of train_all")
    parser.add_argument("--things", type=Path, required=True, help="the file that train_all packed")
    parser.add_argument("--model", choices=["unet", "transformer", "none"], default="unet")
    parser.add_argument("--captions", type=int, default=300)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="write the first 24 pictures here")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    chosen = _arguments()
    generator = torch.Generator(chosen.device).manual_seed(chosen.seed)
    world = World(assets.load(chosen.things), 1, generator.device, variants=4)
    draw = None if chosen.model == "none" else artist(chosen.model, chosen.folder, chosen.steps, generator)
    detector = Detector()
    load_into(detector, chosen.folder / "detector")
    layouts = world.layouts(chosen.captions, generator, held=True)
    pages = [
        judged(world.scenes(layouts[part], generator), draw, detector.to(generator.device).eval(), world)
        for part in torch.arange(chosen.captions, device=generator.device).split(BATCH)
    ]
    print(reduce(add, (page.tally for page in pages)).table())
    if chosen.sheet:
        sheet(pages[0]).save(chosen.sheet)


@dataclass(frozen=True)
class Page:
    """Pictures [B, 3, 256, 256] with captions and what the checker saw; right [B]: captions all right."""

    pictures: Tensor
    captions: list[str]
    sight: Sight
    tally: Tally
    right: Tensor


def judged(scenes: Scenes, draw: Draw | None, detector: Detector, world: World) -> Page:
    """The scenes' captions as `draw` draws them, or the scenes themselves."""
    pictures = draw(scenes.words) if draw else scenes.pictures
    sight = seen(detector, pictures)
    return Page(pictures, texts(scenes.words), sight, *tally(scenes, sight, world.sprites))


def artist(name: str, folder: Path, steps: int, generator: torch.Generator) -> Draw:
    """Captions as words [B, L] to pictures in -1..1, by a checkpoint's model and decoder."""
    draw, decode = drawer(name, folder, steps, generator), decoder(folder, generator.device)
    tokens = Tokens(generator.device)
    return lambda words: decode(draw(tokens(words)))


def drawer(name: str, folder: Path, steps: int, generator: torch.Generator) -> Draw:
    """Token ids [B, 77] to latents [B, 3, 32, 32] of a checkpoint's model."""
    device, unet = generator.device, TextToImage()
    load_into(unet, folder / "unet")
    unet.to(device).eval()
    model = partial(sampling.with_unet, unet)
    if name == "transformer":
        flux = placed(transformer.build(), device)
        load_into(flux, folder / "transformer")
        model = partial(sampling.with_transformer, flux.eval(), unet.text)
    empty = Tokens(device).empty
    return lambda ids: model(ids, empty, sampling.noise(len(ids), generator), steps, GUIDANCE)


def decoder(folder: Path, device: torch.device) -> Draw:
    """Latents to pictures in -1..1 by a checkpoint's decoder."""
    autoencoder = upsampler.build()
    load_into(autoencoder, folder / "decoder")
    autoencoder.to(device).eval()
    return torch.no_grad()(lambda latents: autoencoder.decode(latents).clamp(-1, 1))


def sheet(page: Page) -> Image.Image:
    """Every picture with its caption (green: all right) and with what the checker saw in it."""
    rows = -(-len(page.pictures) // COLUMNS)
    paper = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + TEXT)), "white")
    canvas = ImageDraw.Draw(paper)
    for i, picture in enumerate(page.pictures):
        x, y = i % COLUMNS * TILE, i // COLUMNS * (TILE + TEXT)
        pixels = picture.add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu()
        paper.paste(Image.fromarray(pixels.numpy()).resize((TILE - 4, TILE - 4)), (x + 2, y + 2))
        color = "darkgreen" if page.right[i] else "firebrick"
        canvas.text((x + 4, y + TILE), textwrap.fill(page.captions[i], 31), color)
        saw = f"{described(page.sight, i)} ({list(PLACES)[int(page.sight.background[i])]})"
        canvas.text((x + 4, y + TILE + 36), textwrap.fill(saw, 31), "dimgray")
    return paper


if __name__ == "__main__":
    main()
