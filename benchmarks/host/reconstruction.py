"""How closely each method of Invert reconstructs a latent, by architecture: `make reconstruction`.

The models are of ComfyUI's classes, tiny and with random weights. A smooth random latent is inverted and
sampled from its noise, without guidance and without pinning. Numbers compare methods on the same model; they
say nothing about a trained one.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from p2p_core.real.inversion import INVERSION_METHODS

from ..shared.page import fill
from ..shared.table import markdown
from .in_comfy import ROOT, graph

STEPS, SAMPLES, SEED = 30, 4, 0
COARSE = 3, 4  # cells of the random latent before it is enlarged
MODELS = "U-Net (SD1.5)", "separate attention (Wan 2.1)", "joint attention (Flux.1)"


@dataclass(frozen=True)
class Subject:
    """A MODEL, the prompts of a pair and their CONDITIONING, and clean latents in the model's space."""

    model: Any
    prompts: Any
    positive: Any
    latent: Any
    flow: bool


def main() -> None:
    parser = argparse.ArgumentParser(prog="make reconstruction", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="write the table into docs/real_images.md")
    chosen, on = parser.parse_args(), graph()
    sys.path.append(str(ROOT / "tests" / "host" / "dit"))
    import comfy.utils

    comfy.utils.set_progress_bar_enabled(False)
    subjects = [unet(on), transformer("Wan 2.1"), transformer("Flux.1")]
    rows = [[method, *(cell(on, subject, method) for subject in subjects)] for method in INVERSION_METHODS]
    text = f"{markdown(['inversion', *MODELS], rows)}\n\n{_settings(on.host.name)}"
    print(text)
    if chosen.docs:
        fill(ROOT / "docs" / "real_images.md", {"architectures": text})


def _settings(host: str) -> str:
    settings = f"{STEPS} steps of the scheduler simple, cfg 1, seed {SEED}"
    return f"Mean of {SAMPLES} latents, {settings}, {host}, on the CPU."


def cell(on: Any, subject: Subject, method: str) -> str:
    if method == "rf inversion" and not subject.flow:
        return "flow models only"
    return f"{error(on, subject, method):.2g}"


def error(on: Any, subject: Subject, method: str) -> float:
    """The L2 norm of the difference to the latent, relative to the latent's; the mean of the samples."""
    sampled = import_module("transformers_tiny").sampled  # in the folder of the tests

    model, space, run = subject.model, subject.model.model, on.host.run
    picture = {"samples": space.process_latent_out(subject.latent)}
    schedule = {"steps": STEPS, "scheduler": "simple"}
    inverted = {"model": model, "source": subject.positive, "latent": picture, "method": method, **schedule}
    (trajectory,) = run(on.node["P2PInvert"], **inverted)
    pinned = {"model": model, "prompts": subject.prompts, "trajectory": trajectory, "pin": False}
    patched, latent = run(on.node["P2PRealImage"], **pinned)
    how = {"sampler": "euler_ancestral" if method == "edit-friendly noise" else "euler", "steps": STEPS}
    sides, start = (subject.positive, subject.positive), latent["samples"]
    rows = sampled(patched, *sides, start * 0, latent=start, cfg=1.0, **how)
    sources = space.process_latent_in(rows[:: len(subject.prompts.texts)])
    missed = (sources - subject.latent).flatten(1).norm(dim=1) / subject.latent.flatten(1).norm(dim=1)
    return float(missed.mean())


def unet(on: Any) -> Subject:
    from families import TinyHost
    from graphs import EDIT, SOURCE

    host = TinyHost("SD1.5")
    texts = {"source": SOURCE, "edit": EDIT}
    prompts, positive = host.run(on.node["P2PPromptPair"], clip=host.clip(), **texts)
    return Subject(host.model(), prompts, positive, smooth((4, 16, 24)), flow=False)


def transformer(name: str) -> Subject:
    tiny, families = import_module("tiny_pairs"), import_module("transformer_table").FAMILIES
    pair = tiny.Pair(tiny.Pack(sys.modules["p2p_pack"]), name)
    return Subject(pair.model, pair.prompts, pair.paired, smooth(families[name].latent), flow=True)


def smooth(size: tuple[int, ...]) -> Any:
    """Random latents [B, C, h, w] or [B, C, T, h, w] with the frequencies of a few cells, of variance 1."""
    import torch
    from torch.nn import functional as F

    channels, *frames, height, width = size
    drawn = torch.randn(SAMPLES, channels, *COARSE, generator=torch.Generator().manual_seed(SEED))
    enlarged = F.interpolate(drawn, size=(height, width), mode="bicubic")
    whole = enlarged.view(SAMPLES, channels, *[1] * len(frames), height, width).expand(SAMPLES, *size)
    return whole / whole.std()


if __name__ == "__main__":
    main()
