"""What the models reach: `python -m demo.training.reach --folder FOLDER` draws captions that no training saw.

`--model none` has the checker judge the scenes themselves.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from functools import partial
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
from .judging import Sight, described, seen, tally
from .training import load_into
from .unet import TextToImage

BATCH = 20
GUIDANCE = 5.0
TILE, TEXT, COLUMNS = 192, 64, 6
Draw = Callable[[Tensor], Tensor]


def main() -> None:
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
    chosen = parser.parse_args()
    device = torch.device(chosen.device)
    world = World(assets.load(chosen.things), 1, device, variants=4)
    generator = torch.Generator(device).manual_seed(chosen.seed)
    scenes = world.scenes(world.layouts(chosen.captions, generator, held=True), generator)
    pictures = scenes.pictures
    if chosen.model != "none":
        pictures = _drawn(chosen.model, chosen.folder, chosen.steps, scenes, generator)
    detector = Detector()
    load_into(detector, chosen.folder / "detector")
    sight = _seen(detector.to(device).eval(), pictures)
    counts, right = tally(scenes, sight, world.sprites)
    print(counts.table())
    if chosen.sheet:
        sheet(pictures[:24], texts(scenes.words), sight, right).save(chosen.sheet)


def _drawn(name: str, folder: Path, steps: int, scenes: Scenes, generator: torch.Generator) -> Tensor:
    """Pictures of the scenes' captions."""
    device = generator.device
    draw, decode = drawer(name, folder, steps, generator), decoder(folder, device)
    ids = Tokens(device)(scenes.words)
    return torch.cat([decode(draw(some)) for some in ids.split(BATCH)])


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


def _seen(detector: Detector, pictures: Tensor) -> Sight:
    sights = [seen(detector, some) for some in pictures.split(BATCH)]
    return Sight(*(torch.cat([getattr(s, name) for s in sights]) for name in Sight.__dataclass_fields__))


def sheet(pictures: Tensor, captions: list[str], sight: Sight, right: Tensor) -> Image.Image:
    """Every picture with its caption (green: all right) and with what the checker saw in it."""
    rows = -(-len(pictures) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + TEXT)), "white")
    canvas = ImageDraw.Draw(page)
    for i, picture in enumerate(pictures):
        x, y = i % COLUMNS * TILE, i // COLUMNS * (TILE + TEXT)
        pixels = picture.add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu()
        page.paste(Image.fromarray(pixels.numpy()).resize((TILE - 4, TILE - 4)), (x + 2, y + 2))
        canvas.text(
            (x + 4, y + TILE), textwrap.fill(captions[i], 31), "darkgreen" if right[i] else "firebrick"
        )
        place = list(PLACES)[int(sight.background[i])]
        canvas.text((x + 4, y + TILE + 36), textwrap.fill(f"{described(sight, i)} ({place})", 31), "dimgray")
    return page


if __name__ == "__main__":
    main()
