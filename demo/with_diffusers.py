"""The demo's pictures through diffusers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from p2p_core.plan import EditPlan, TokenEdit
from p2p_core.schedule import Window

from .__main__ import Drawn
from .pairs import DemoPair
from .pipeline import DemoPipeline, load, start_noise


def artist(steps: int, cfg: float) -> Callable[[DemoPair], Drawn]:
    pipeline = load()
    return lambda pair: draw_pair(pipeline, pair, steps, cfg)


def draw_pair(pipeline: DemoPipeline, pair: DemoPair, steps: int, cfg: float) -> Drawn:
    """The edit prompt alone, then the pair under control, both from the noise of one seed."""
    prompts, noise = pipeline.prompts(pair.source, pair.edit), start_noise(pair.seed)
    edit = TokenEdit("swap", Window(0, pair.cross_end), Window(0, pair.self_end))
    plan = EditPlan(prompts).then(prompts, edit)
    alone = pipeline.sample([pair.edit], noise, steps, cfg)
    paired = pipeline.sample(prompts.texts, noise, steps, cfg, plan)
    source, changed, prompt_alone = pipeline.decode(torch.cat([paired, alone]))
    return Drawn(to_picture(source), to_picture(prompt_alone), to_picture(changed))


def to_picture(pixels: Tensor) -> Image.Image:
    """[3, H, W] in 0..1 → RGB picture."""
    return Image.fromarray(pixels.mul(255).round().byte().permute(1, 2, 0).numpy())
