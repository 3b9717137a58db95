"""Optimises null texts through the host's MODEL (docs/adr/0021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.samplers import calc_cond_batch
from comfy.utils import ProgressBar
from torch import Tensor, nn

from ...p2p_core.errors import P2PError
from ...p2p_core.real.null_text import Course, NullText, optimise
from ...p2p_core.real.trajectory import AGAIN, Trajectory
from .fingerprint import fingerprint, levels_of
from .inversion import NO_INVERSION, Guided, run_instead
from .pairing import Conditioning
from .real import TEXT, with_tensors


def with_null_texts(
    model: Any, trajectory: Trajectory, source: Conditioning, negative: Conditioning, chosen: NullText
) -> Trajectory:
    """The trajectory with an unconditional encoding per step.

    Raises P2PError if it is another MODEL's or has no steps, and without guidance to optimise for.
    """
    if chosen.cfg == 1:
        hint = "Set cfg to the sampler's. At 1 there is no negative; a pinned Real Image needs none."
        raise P2PError("a cfg above 1", "1", hint)
    if not trajectory.inverted:
        raise P2PError("an inverted image", f"one with {NO_INVERSION}", "Choose fixed point in Invert.")
    found = fingerprint(model)
    if found != trajectory.model:
        raise P2PError(f"the MODEL of the inversion, {trajectory.model}", found, AGAIN)
    levels, bar = levels_of(model.get_model_object("model_sampling")), ProgressBar(trajectory.steps)
    nulls: list[Tensor] = []

    def work(guider: Any, clean: Tensor, extra_args: dict[str, Any]) -> None:
        """Runs outside inference mode, in which ComfyUI runs nodes and which allows no gradients."""
        with torch.inference_mode(False), torch.enable_grad():
            latents = trajectory.latents.to(clean.device, torch.float32).clone()
            course = Course(latents, trajectory.sigmas, levels)
            module = _Optimisation(guider, extra_args["model_options"], course, chosen)
            nulls.append(torch.func.functional_call(module, module.weights(), (bar.update_absolute,)).cpu())

    guided = Guided(source, negative, chosen.cfg)
    run_instead(model, guided, trajectory.picture, trajectory.sigmas, work)
    return replace(trajectory, nulls=nulls[0])


class _Optimisation(nn.Module):
    """The optimisation as a module around the host's model, so that weights can be replaced for one call.

    Weights loaded in inference mode cannot take part in autograd; copies of them can.
    """

    def __init__(self, guider: Any, options: Any, course: Course, chosen: NullText) -> None:
        super().__init__()
        self.model, self.guider, self.options = guider.inner_model, guider, options
        self.course, self.chosen = course, chosen

    def weights(self) -> dict[str, Tensor]:
        """Weights and buffers that gradients can pass through, without gradients of their own."""
        own = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        return {name: t.detach().clone() if t.is_inference() else t.detach() for name, t in own.items()}

    def forward(self, on_step: Callable[[int], None]) -> Tensor:
        conds = self.guider.conds
        free = conds["negative"]
        null = free[0]["model_conds"][TEXT].cond[0].float().clone()

        def predict(x: Tensor, sigma: float, side: Any) -> Tensor:
            throw_exception_if_processing_interrupted()
            level = x.new_full((x.shape[0],), sigma)
            return calc_cond_batch(self.model, [side], x, level, self.options)[0].float()

        def with_prompt(x: Tensor, sigma: float) -> Tensor:
            return predict(x, sigma, conds["positive"])

        def with_null(x: Tensor, sigma: float, null: Tensor) -> Tensor:
            return predict(x, sigma, [with_tensors(entry, {TEXT: null}) for entry in free])

        return optimise(with_prompt, with_null, null, self.course, self.chosen, on_step)
