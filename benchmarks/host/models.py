"""The models for speed measurements: ComfyUI's own classes in a real model's shape, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .shapes import Shape

PROMPTS = "a red circle and a blue star on grass", "a red house and a blue star on grass"

Callback = Callable[..., None]


@dataclass(frozen=True)
class Bench:
    """A MODEL, a pair of prompts, and the means to sample them.

    sides: the encodings of source and edit, each a CONDITIONING; paired: both. noise: [1, C, h, w] or
    [1, C, 1, h, w].
    """

    pack: Any
    model: Any
    prompts: Any
    sides: tuple[Any, Any]
    paired: Any
    negative: Any
    noise: Any
    sigmas: Any
    cfg: float

    @property
    def rows(self) -> int:
        """Of a model call: each prompt has a conditional one and, with guidance, an unconditional one."""
        return (1 if self.cfg == 1 else 2) * len(self.sides)

    def node(self, module: str, name: str, *inputs: Any) -> Any:
        """The first output of a node of the pack, by module and class."""
        return outputs(self.pack, module, name, *inputs)[0]

    def core(self, module: str) -> Any:
        """A module of the pack."""
        return import_module(f"{self.pack.__name__}.{module}")

    def pair(self, model: Any, callback: Callback) -> Any:
        """Sample source and edit as a pair: [2, C, h, w]. callback: called after each step."""
        return self._sample(model, self.paired, self.noise, callback)

    def plain(self, callback: Callback) -> Any:
        """Sample the same prompts as a batch without the pack."""
        return self._sample(
            self.model, batched(*self.sides), self.noise.repeat_interleave(2, dim=0), callback
        )

    def _sample(self, model: Any, positive: Any, noise: Any, callback: Callback) -> Any:
        import comfy.sample
        import comfy.samplers
        import torch

        sampler, latent = comfy.samplers.sampler_object("euler"), torch.zeros_like(noise)
        with torch.inference_mode():
            return comfy.sample.sample_custom(
                model, noise, self.cfg, sampler, self.sigmas, positive, self.negative, latent,
                callback=callback, disable_pbar=True,
            )  # fmt: skip


def batched(source: Any, edit: Any) -> Any:
    """One CONDITIONING with a row per prompt, as a batch has it."""
    import torch

    (text, options), (other, more) = source[0], edit[0]
    pooled = {name: torch.cat([options[name], more[name]]) for name in options}
    return [[torch.cat([text, other]), pooled]]


def bench(pack: Any, shape: Shape, dtype: Any, steps: int) -> Bench:
    import comfy.samplers
    import torch

    generator = torch.Generator().manual_seed(1)

    def drawn(*size: int) -> Any:
        return torch.randn(1, *size, generator=generator)

    _, clip, _ = outputs(pack, "demo.demo_model", "P2PDemoModel")
    prompts, *_ = outputs(pack, "edit.prompt_pair", "P2PPromptPair", clip, *PROMPTS)
    padding = drawn(*shape.text)[:, prompts.source.columns :]  # alike in all prompts

    def encoded() -> Any:
        text = torch.cat([drawn(prompts.source.columns, shape.text[1]), padding], dim=1)
        return [[text, {"pooled_output": drawn(shape.pooled)} if shape.pooled else {}]]

    model, sides = random_model(shape, dtype), (encoded(), encoded())
    paired, *_ = outputs(pack, "edit.pair_conditioning", "P2PPairConditioning", *sides)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", steps)
    return Bench(pack, model, prompts, sides, paired, encoded(), drawn(*shape.latent), sigmas, shape.cfg)


def outputs(pack: Any, module: str, name: str, *inputs: Any) -> tuple[Any, ...]:
    """The outputs of a node of the pack, by module and class."""
    return getattr(import_module(f"{pack.__name__}.nodes.{module}"), name).execute(*inputs).args


def random_model(shape: Shape, dtype: Any) -> Any:
    """A MODEL of that shape, as Load Checkpoint makes it, on the device that ComfyUI chose."""
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models
    import torch

    config = getattr(comfy.supported_models, shape.kind)(dict(shape.unet))
    config.set_inference_dtype(dtype, None)
    model = config.get_model({}).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))
