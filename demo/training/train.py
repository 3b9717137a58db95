"""Train the demo model: `python -m demo.training.train all`, or one of vocabulary, decoder, unet, pack.

Scenes are rendered endlessly, so nothing is downloaded and no picture is seen twice. Each part resumes from
its checkpoint in `--work`; `pack` writes the weights that the nodes and the demo load. A GPU is used if there
is one. `--start-from` starts from packed weights. `--workers 2` trains the U-Net with two processes that step
the same weights in shared memory without waiting for each other (Hogwild, Recht et al. 2011), so that on a
busy machine no worker waits for the slowest.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes
from torch.nn import functional as F
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ..model.decoder import FACTOR, ThumbnailAutoencoder
from ..model.shape import TOKENIZER, TOKENS, TRAIN_STEPS, WEIGHTS, alphas_cumprod, text_config, unet_config
from ..world import vocabulary
from ..world.scenes import draw, held_out, random_scene

Module = TypeVar("Module", bound=nn.Module)

PIXELS = 256
MIN_SNR = 5.0
CAPTION_DROPOUT = 0.1


# Data


def scenes(seed: int) -> Iterator[tuple[Tensor, str]]:
    """Endless pairs of a picture [3, 256, 256] in -1..1 and its caption, without held-out captions."""
    rng = random.Random(seed)
    while True:
        scene = random_scene(rng)
        if not held_out(scene.caption):
            pixels = np.asarray(draw(scene, PIXELS, supersample=1))
            yield torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div(127.5).sub(1), scene.caption


def latent_statistics(autoencoder: ThumbnailAutoencoder, count: int = 1500) -> None:
    """Fill the autoencoder's `mean` and `std` from `count` scenes."""
    stream = scenes(seed=1)
    thumbnails = torch.stack([F.avg_pool2d(next(stream)[0], FACTOR) for _ in range(count)])
    mean = thumbnails.mean((0, 2, 3))
    autoencoder.mean.copy_(mean)
    autoencoder.std.copy_((thumbnails - mean.view(1, -1, 1, 1)).std())


# One loop for both parts


class Run:
    """A resumable run on a time budget: AdamW, warm-up, linear decay over the last 40 %, moving average."""

    def __init__(
        self,
        modules: nn.ModuleDict,
        checkpoint: Path,
        minutes: float,
        rate: float,
        decay: float,
        leads: bool = True,
    ) -> None:
        """leads: whether this process shows progress and writes the checkpoint."""
        self.modules, self.checkpoint, self.minutes, self.rate, self.decay = (
            modules,
            checkpoint,
            minutes,
            rate,
            decay,
        )
        self.leads = leads
        self.parameters = list(modules.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, rate, betas=(0.9, 0.98), weight_decay=1e-2)
        self.step, self.seconds = 0, 0.0
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=self.parameters[0].device, weights_only=True)
            modules.load_state_dict(state["modules"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.step, self.seconds = state["average"], state["step"], state["seconds"]

    def train(self, loss_of_step: Callable[[int], Tensor], name: str) -> None:
        bar = tqdm(
            total=self.minutes,
            initial=self.seconds / 60,
            desc=name,
            unit="min",
            bar_format=_BAR,
            disable=not self.leads,
        )
        saved = time.time()
        started = saved - self.seconds
        smooth = 0.0
        while self.seconds < self.minutes * 60:
            smooth = 0.98 * smooth + 0.02 * self._one_step(loss_of_step(self.step))
            before, self.seconds = self.seconds, time.time() - started
            bar.update((self.seconds - before) / 60)
            bar.set_postfix(step=self.step, loss=f"{smooth:.4f}", refresh=False)
            if time.time() - saved > 300:
                self.save()
                saved = time.time()
        self.save()
        bar.close()

    def _one_step(self, loss: Tensor) -> float:
        fraction = self.seconds / (self.minutes * 60)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1, (self.step + 1) / 200) * min(1, max(0.01, (1 - fraction) / 0.4))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(self.decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - keep)
        return loss.item()

    def save(self) -> None:
        if not self.leads:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "modules": self.modules.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "seconds": self.seconds,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)


_BAR = "{desc}: {n:.1f}/{total:.0f} min |{bar}| {postfix}"


def averaged(modules: nn.ModuleDict, checkpoint: Path) -> nn.ModuleDict:
    """The modules with the moving average of their checkpoint as weights."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    modules.load_state_dict(state["modules"])
    with torch.no_grad():
        for parameter, value in zip(modules.parameters(), state["average"], strict=True):
            parameter.copy_(value)
    return modules.eval()


# Decoder


def decoder_modules() -> nn.ModuleDict:
    return nn.ModuleDict({"autoencoder": ThumbnailAutoencoder()})


def train_decoder(work: Path, minutes: float, device: torch.device, batch: int = 8, crop: int = 128) -> None:
    """L1 and MSE on pixels and L1 on their gradients, from thumbnails with a little noise."""
    autoencoder = ThumbnailAutoencoder()
    latent_statistics(autoencoder)
    modules = nn.ModuleDict({"autoencoder": channels_last(autoencoder, device)})
    run = Run(modules, work / "decoder.pt", minutes, rate=1.5e-3, decay=0.998)
    stream = scenes(seed=10_000 + run.step)
    corner = random.Random(run.step)

    def cropped() -> Tensor:
        picture = next(stream)[0]
        top, left = (8 * corner.randrange((PIXELS - crop) // 8 + 1) for _ in range(2))
        return picture[:, top : top + crop, left : left + crop]

    def loss_of_step(step: int) -> Tensor:
        x = torch.stack([cropped() for _ in range(batch)]).to(device)
        with torch.no_grad():
            z = autoencoder.encode(x)
        z = z + torch.rand(batch, 1, 1, 1, device=device) * 0.12 * torch.randn_like(z)
        with _autocast(device):
            y = autoencoder.decode(z.contiguous(memory_format=torch.channels_last))
        y = y.float()
        edges = F.l1_loss(y.diff(dim=-1), x.diff(dim=-1)) + F.l1_loss(y.diff(dim=-2), x.diff(dim=-2))
        return F.l1_loss(y, x) + 2 * F.mse_loss(y, x) + 0.5 * edges

    run.train(loss_of_step, "decoder")


# U-Net and text encoder


def build_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(**unet_config())


def build_text(vocabulary_size: int) -> CLIPTextModel:
    return CLIPTextModel(CLIPTextConfig(**text_config(vocabulary_size)))


def unet_modules() -> nn.ModuleDict:
    tokens = len(CLIPTokenizer.from_pretrained(TOKENIZER))
    return nn.ModuleDict({"unet": build_unet(), "text": build_text(tokens)})


def train_unet(
    work: Path, minutes: float, device: torch.device, start: Path | None = None, workers: int = 1
) -> None:
    """All workers step the same weights; the first one keeps their moving average."""
    modules = unet_modules()
    if start:
        modules.load_state_dict(packed_part(start, ("unet.", "text.")))
    channels_last(modules, device).train().share_memory()
    if workers == 1:
        train_unet_worker(0, modules, work, minutes, device, 1)
    else:
        start_processes(
            train_unet_worker, (modules, work, minutes, device, workers), nprocs=workers, start_method="spawn"
        )


def train_unet_worker(
    worker: int,
    modules: nn.ModuleDict,
    work: Path,
    minutes: float,
    device: torch.device,
    workers: int,
    batch: int = 32,
) -> None:
    """Noise prediction, min-SNR weighting (Hang et al. 2023, gamma 5), stratified timesteps."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    autoencoder = ThumbnailAutoencoder()
    latent_statistics(autoencoder)
    unet, text = modules["unet"], modules["text"]
    assert isinstance(unet, UNet2DConditionModel)
    unet.set_attn_processor(AttnProcessor())  # faster than fused attention for training on a CPU
    run = Run(modules, work / "unet.pt", minutes, rate=1e-3, decay=0.998, leads=worker == 0)
    stream = scenes(seed=20_000 + 10_000_000 * worker + run.step)
    torch.manual_seed(run.step * workers + worker)
    schedule = alphas_cumprod().to(device)

    def loss_of_step(step: int) -> Tensor:
        pictures, captions = zip(*(next(stream) for _ in range(batch)), strict=True)
        z = autoencoder.encode(torch.stack(pictures)).to(device)
        captions = ["" if random.random() < CAPTION_DROPOUT else c for c in captions]
        ids = tokenizer(captions, padding="max_length", max_length=TOKENS, return_tensors="pt").input_ids
        t = ((torch.randperm(batch) + torch.rand(batch)) * (TRAIN_STEPS / batch)).long().to(device)
        signal = schedule[t].view(-1, 1, 1, 1)
        noise = torch.randn_like(z)
        noisy = (signal.sqrt() * z + (1 - signal).sqrt() * noise).contiguous(
            memory_format=torch.channels_last
        )
        with _autocast(device):
            context = text(ids.to(device)).last_hidden_state
            predicted = unet(noisy, t, context).sample
        snr = schedule[t] / (1 - schedule[t])
        weight = snr.clamp(max=MIN_SNR) / snr
        return (weight * (predicted.float() - noise).square().mean((1, 2, 3))).mean()

    run.train(loss_of_step, "unet")


def packed_part(weights: Path, prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of a packed file whose names begin with one of these, in float32."""
    return {name: value.float() for name, value in load_file(weights).items() if name.startswith(prefixes)}


def channels_last(module: Module, device: torch.device) -> Module:
    """The module on the device, with convolutions in their fastest memory layout."""
    module.to(device)
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16)


# Weights


def pack(work: Path, target: Path = WEIGHTS) -> None:
    """Write the averaged weights as one fp16 file; parts without a checkpoint are kept from that file."""
    weights = load_file(target) if target.exists() else {}
    for modules, name in ((unet_modules, "unet.pt"), (decoder_modules, "decoder.pt")):
        if (work / name).exists():
            state = averaged(modules(), work / name).state_dict()
            floats = {key: value for key, value in state.items() if value.is_floating_point()}
            weights |= {key: value.half().contiguous() for key, value in floats.items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, target, metadata={"format": "pt", "model": "p2p-demo"})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["all", "vocabulary", "decoder", "unet", "pack"])
    parser.add_argument("--work", type=Path, default=Path("demo/checkpoints"), help="checkpoint folder")
    parser.add_argument("--decoder-minutes", type=float, default=20, help="total time budget of the decoder")
    parser.add_argument("--unet-minutes", type=float, default=240, help="total time budget of the U-Net")
    parser.add_argument("--start-from", type=Path, help="packed weights to start training the U-Net from")
    parser.add_argument("--workers", type=int, default=1, help="number of processes that train the U-Net")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = parser.parse_args()
    device = torch.device(chosen.device)
    if chosen.part in ("all", "vocabulary"):
        vocabulary.write(TOKENIZER)
    if chosen.part in ("all", "decoder"):
        train_decoder(chosen.work, chosen.decoder_minutes, device)
    if chosen.part in ("all", "unet"):
        train_unet(chosen.work, chosen.unet_minutes, device, chosen.start_from, chosen.workers)
    if chosen.part in ("all", "pack"):
        pack(chosen.work)


if __name__ == "__main__":
    main()
