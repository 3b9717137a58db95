"""ComfyUI itself: its stock nodes around the pack's demo model."""

from __future__ import annotations

import functools
import importlib
import tempfile
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.samplers
import comfyui_version
import folder_paths
import torch
from adapter import Conditioning, Host, Latent
from comfy_api.internal import make_locked_method_func

stock: Any = importlib.import_module("nodes")  # ComfyUI's, first on the path


class ComfyUI(Host):
    name = f"ComfyUI {comfyui_version.__version__}"
    samplers = tuple(comfy.samplers.SAMPLER_NAMES)
    interrupt = comfy.model_management.InterruptProcessingException

    def __init__(self, demo_model: Any) -> None:
        self._demo_model = demo_model
        self._temp = tempfile.TemporaryDirectory()  # nodes write small pictures for the front end
        folder_paths.set_temp_directory(self._temp.name)

    def _execute(self, node: Any, inputs: dict[str, Any]) -> Any:
        return make_locked_method_func(node, node.FUNCTION, node.PREPARE_CLASS_CLONE(None))(**inputs)

    @functools.cached_property
    def _loaded(self) -> tuple[Any, ...]:
        return self.run(self._demo_model)

    def model(self) -> Any:
        return self._loaded[0]

    def clip(self) -> Any:
        return self._loaded[1]

    def model_without_text(self) -> Any:
        model = torch.nn.Module()
        model.diffusion_model = torch.nn.Conv2d(3, 3, 1)
        cpu = torch.device("cpu")
        return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)

    @torch.inference_mode()
    def encode(self, text: str) -> Conditioning:
        return stock.CLIPTextEncode().encode(self.clip(), text)[0]

    @torch.inference_mode()
    def empty_latent(self, width: int, height: int, batch: int = 1) -> Latent:
        return stock.EmptyLatentImage().generate(width, height, batch)[0]

    @torch.inference_mode()
    def sample(
        self, model: Any, positive: Conditioning, negative: Conditioning, *, seed: int = 7, steps: int = 2,
        cfg: float = 4.0, latent: Latent | None = None, sampler: str = "euler", scheduler: str = "normal",
        denoise: float = 1.0,
    ) -> Latent:  # fmt: skip
        latent = latent or self.empty_latent(64, 64)
        run = stock.KSampler().sample
        return run(model, seed, steps, cfg, sampler, scheduler, positive, negative, latent, denoise)[0]
