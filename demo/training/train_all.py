"""Train every model of the demo on the world of things, within a given time.

    npm pack @lobehub/fluent-emoji-3d && tar xzf lobehub-fluent-emoji-3d-*.tgz
    python -m demo.training.train_all --assets package/assets --folder checkpoints --minutes 12

The U-Net with the text encoder comes first, then the transformer (which reads with that text encoder), the
decoder and the checker's network. Each has a share of the time, which includes its compilation. A further run
resumes from the checkpoints: `checkpoints/<model>/*.safetensors`, half precision, no file over 15 MiB, saved
every two minutes. `--parts` trains some of the models only. `things.safetensors` there holds the pictures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..things import assets, tokens
from . import detecting, transformer, unet, upsampler
from .detector import Detector
from .latents import Latents
from .training import Recipe, Training, load_into

Part = Callable[["Setting"], tuple[Training, Callable[[int], Tensor]]]
SHARES = {"unet": 0.43, "transformer": 0.33, "decoder": 0.14, "detector": 0.10}


class Setting:
    """What every part trains with."""

    def __init__(self, folder: Path, pictures: Mapping[str, Tensor], device: torch.device, seed: int) -> None:
        self.folder, self.pictures, self.device, self.seed = folder, pictures, device, seed

    def recipe(self, recipes: Mapping[str, Recipe]) -> Recipe:
        return recipes[self.device.type]

    def latents(self) -> Latents:
        return Latents(self.pictures, self.device, self.seed)


def train_unet(setting: Setting) -> tuple[Training, Callable[[int], Tensor]]:
    model = unet.TextToImage()
    loss = unet.UNetLoss(model, setting.latents(), setting.device)
    return Training(model, setting.folder / "unet", setting.recipe(unet.RECIPES)), loss


def train_transformer(setting: Setting) -> tuple[Training, Callable[[int], Tensor]]:
    reader = unet.TextToImage()
    load_into(reader, setting.folder / "unet")
    model = transformer.build()
    loss = transformer.FlowLoss(model, reader.text, setting.latents(), setting.device)
    return Training(model, setting.folder / "transformer", setting.recipe(transformer.RECIPES)), loss


def train_decoder(setting: Setting) -> tuple[Training, Callable[[int], Tensor]]:
    model = upsampler.build()
    loss = upsampler.DecoderLoss(model, setting.pictures, setting.device, setting.seed)
    return Training(model, setting.folder / "decoder", setting.recipe(upsampler.RECIPES)), loss


def train_detector(setting: Setting) -> tuple[Training, Callable[[int], Tensor]]:
    model = Detector()
    loss = detecting.DetectorLoss(model, setting.pictures, setting.device, setting.seed)
    return Training(model, setting.folder / "detector", setting.recipe(detecting.RECIPES)), loss


PARTS: dict[str, Part] = {
    "unet": train_unet,
    "transformer": train_transformer,
    "decoder": train_decoder,
    "detector": train_detector,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--assets", type=Path, help="folder package/assets; needed the first time")
    parser.add_argument("--folder", type=Path, default=Path("demo/checkpoints"))
    parser.add_argument("--minutes", type=float, default=12, help="all parts together")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    chosen = _arguments()
    deadline = time.monotonic() + 60 * chosen.minutes
    things = chosen.folder / "things.safetensors"
    if chosen.assets:
        assets.pack(chosen.assets, things)
    tokens.write(chosen.folder / "tokenizer")
    torch.set_float32_matmul_precision("high")
    seed = int(time.time())  # further runs see other scenes
    torch.manual_seed(seed)
    setting = Setting(chosen.folder, assets.load(things), torch.device(chosen.device), seed)
    waiting = {name: SHARES[name] for name in chosen.parts}
    for name in chosen.parts:
        share = waiting[name] / sum(waiting.values())
        until = time.monotonic() + share * (deadline - time.monotonic())
        training, loss = PARTS[name](setting)
        training.run(loss, until - time.monotonic())
        del waiting[name]


if __name__ == "__main__":
    main()
