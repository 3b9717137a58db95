"""Invert: an image's latents at every noise level, for Real Image."""

from __future__ import annotations

from typing import Any

from comfy.samplers import KSampler
from comfy_api.latest import io

from ...p2p_core.errors import P2PError
from ...p2p_core.real.inversion import Inversion
from ..comfyui.advice import naming
from ..comfyui.inversion import METHODS, NO_INVERSION, Guided, Schedule, inverted, not_inverted, schedule_of
from ..comfyui.model import require_no_plan
from ..comfyui.pairing import source_of
from ..shared.types import REAL, TrajectorySocket, found_by, require_option


class P2PInvert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PInvert",
            display_name="P2P Invert",
            category=REAL,
            **found_by("ddim inversion", "inversion", "photo", "photograph", "real image", "edit friendly"),
            description="Inverts an image: computes its starting noise and every latent on the way, so that "
            "Real Image can edit it. Use the same steps, scheduler and denoise as in the sampler of the "
            "edit.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of the checkpoint, without Prompt-to-Prompt "
                    "nodes."),
                io.Conditioning.Input("source", tooltip="The source prompt, which describes the image. From "
                    "a Prompt Pair with an empty edit (so that a new edit prompt does not invert again), "
                    "from the Prompt Pair of the edit, or from CLIP Text Encode."),
                io.Latent.Input("latent", tooltip="The image, from VAE Encode, which crops its sides to a "
                    "multiple of 8 pixels. Several images with one prompt can be a batch."),
                io.Combo.Input("method", options=list(METHODS), default="euler at target level",
                    tooltip="euler at target level: DDIM inversion as published. euler: the same, evaluated "
                    "at the level below. fixed point: ReNoise, closer to the image, slower. midpoint: second "
                    "order, twice the time. edit-friendly noise: for the euler_ancestral sampler. rf "
                    "inversion: flow models only, for control in Real Image. no inversion: no model call; "
                    "the image takes the noise of the sampler, with any of its settings."),
                io.Int.Input("iterations", default=3, min=0, max=50,
                    tooltip="Extra model calls per step (fixed point only). 0: the same as euler at target "
                    "level."),
                io.Int.Input("steps", default=30, min=1, max=1000,
                    tooltip="The same as in the sampler. A sampler with a lower denoise needs the number of "
                        "steps that fall into its part."),
                io.Combo.Input("scheduler", options=list(KSampler.SCHEDULERS), default="normal",
                    tooltip="The same as in the sampler."),
                io.Float.Input("denoise", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="How far the image is inverted, 0 to 1, the same as in the sampler. 1: to pure "
                    "noise. The sampler's may be lower, with fewer steps."),
                io.Float.Input("cfg", default=1.0, min=0.0, max=100.0, step=0.1,
                    tooltip="Guidance during the inversion. 1: none, as published for all methods but "
                    "edit-friendly noise (3.5). Values other than 1 need a negative."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF,
                    tooltip="Seed for edit-friendly noise and rf inversion; other methods ignore it."),
                io.Conditioning.Input("negative", optional=True, tooltip="For a cfg other than 1."),
                io.Sigmas.Input("sigmas", optional=True, tooltip="In place of steps, scheduler and denoise: "
                    "those of a custom sampler, descending to 0."),
            ],
            outputs=[
                TrajectorySocket.Output(display_name="trajectory",
                    tooltip="For Real Image, Null Text or Save Trajectory."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, source: Any, latent: Any, method: Any, iterations: int, steps: int, scheduler: str,
        denoise: float, cfg: float, seed: int, negative: Any = None, sigmas: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        with naming("Invert"):
            require_option("method", method, METHODS)
            require_option("scheduler", scheduler, KSampler.SCHEDULERS)
            require_no_plan(model)
            alone, text = source_of(source)
            if method == NO_INVERSION:
                return io.NodeOutput(not_inverted(model, alone, latent))
            given = schedule_of(model, scheduler, steps, denoise) if sigmas is None else Schedule(sigmas)
            guided = _guided(alone, negative, cfg)
            chosen = Inversion(method, iterations, seed)
            return io.NodeOutput(inverted(model, guided, text, latent, given, chosen))


def _guided(source: Any, negative: Any, cfg: float) -> Guided:
    if cfg == 1:
        return Guided(source, source)
    if negative is None:
        hint = "Connect one, or set cfg to 1."
        raise P2PError("a negative CONDITIONING for a cfg other than 1", "none", hint)
    return Guided(source, source_of(negative)[0], cfg)


NODES = [P2PInvert]
