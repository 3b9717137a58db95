"""The model for speed measurements: ComfyUI's own U-Net in Stable Diffusion 1.5's shape, random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
    "num_heads": 8,
    "context_dim": 768,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "legacy": False,
}
PROMPTS = "a red circle and a blue star on grass", "a red house and a blue star on grass"


@dataclass(frozen=True)
class Bench:
    """A pair and the means to sample it. execute: a node of the pack, by module and class."""

    pack: Any
    model: Any
    execute: Callable[[str, str], Any]
    prompts: Any
    source: Any
    edit: Any
    paired: Any
    noise: Any
    sigmas: Any

    def swapped(self, cross_end: float, self_end: float) -> Any:
        """The MODEL with Word Swap."""
        swap = self.execute("edit.word_swap", "P2PWordSwap")
        return swap(self.model, self.prompts, 0.0, cross_end, 0.0, self_end).args[0]

    def sample(self, model: Any, cfg: float, positive: Any, negative: Any, noise: Any, latent: Any) -> Any:
        import comfy.sample
        import comfy.samplers
        import torch

        sampler = comfy.samplers.sampler_object("euler")
        with torch.inference_mode():
            return comfy.sample.sample_custom(
                model, noise, cfg, sampler, self.sigmas, positive, negative, latent, disable_pbar=True
            )


def bench(pack: Any, steps: int, side: int) -> Bench:
    """side: of the latent."""
    import comfy.samplers
    import torch

    def execute(module: str, name: str) -> Any:
        return getattr(import_module(f"{pack.__name__}.nodes.{module}"), name).execute

    model = random_model()
    _, clip, _ = execute("demo.demo_model", "P2PDemoModel")().args
    prompts, _ = execute("edit.prompt_pair", "P2PPromptPair")(clip, *PROMPTS).args
    generator = torch.Generator().manual_seed(1)
    source, edit = ([[torch.randn(1, 77, 768, generator=generator), {}]] for _ in range(2))
    (paired,) = execute("edit.pair_conditioning", "P2PPairConditioning")(source, edit).args
    noise = torch.randn(1, 4, side, side, generator=generator)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", steps)
    return Bench(pack, model, execute, prompts, source, edit, paired, noise, sigmas)


def random_model() -> Any:
    """A MODEL of Stable Diffusion 1.5's shape, float32."""
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models
    import torch

    config = comfy.supported_models.SD15(UNET)
    config.unet_config["dtype"] = torch.float32
    model = comfy.model_base.BaseModel(config)
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return comfy.model_patcher.ModelPatcher(model.eval(), torch.device("cpu"), torch.device("cpu"))
