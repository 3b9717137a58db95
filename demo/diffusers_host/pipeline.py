"""The second host: the demo model in diffusers, with the same edits through attention processors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from einops import rearrange
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from p2p_core.architecture.layers import Layer
from p2p_core.architecture.unet import diffusers_layer
from p2p_core.errors import P2PError
from p2p_core.plan import EditPlan
from p2p_core.rows import per_row
from p2p_core.run import Run
from p2p_core.step import Call, Scene
from p2p_core.words.pieces import Piece, build_prompt
from p2p_core.words.prompts import Prompt, PromptSet

from ..model.decoder import CHANNELS, FACTOR, ThumbnailAutoencoder
from ..model.shape import TOKENIZER, TOKENS, TRAIN_STEPS, WEIGHTS, alphas_cumprod, text_config, unet_config

Step = Callable[[int, int], None]


@dataclass(frozen=True)
class DemoPipeline:
    """The demo model's parts, on the CPU in float32."""

    unet: Any
    text: Any
    tokenizer: Any
    autoencoder: ThumbnailAutoencoder

    def prompt(self, text: str) -> Prompt:
        """The prompt's words and columns, [77]."""
        ids = self._ids([text])[0].tolist()
        end = ids.index(self.tokenizer.eos_token_id)
        strings = self.tokenizer.convert_ids_to_tokens(ids)
        return build_prompt(text, [_piece(s, 0 < i < end) for i, s in enumerate(strings)])

    def prompts(self, source: str, *edits: str) -> PromptSet:
        return PromptSet(self.prompt(source), tuple(self.prompt(edit) for edit in edits))

    def _ids(self, texts: Sequence[str]) -> Tensor:
        encoded = self.tokenizer(list(texts), padding="max_length", max_length=TOKENS, return_tensors="pt")
        if encoded.input_ids.shape[1] > TOKENS:
            raise P2PError(f"prompts of at most {TOKENS - 2} tokens", "a longer one", "Shorten it.")
        return encoded.input_ids

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Prompts → [P, 77, 128]."""
        return self.text(self._ids(texts)).last_hidden_state

    @torch.no_grad()
    def sample(
        self,
        texts: Sequence[str],
        noise: Tensor,
        steps: int = 24,
        cfg: float = 5.0,
        plan: EditPlan | None = None,
        negative: str = "",
        on_step: Step = lambda step, steps: None,
    ) -> Tensor:
        """Euler (DDIM) sampling of a paired batch. noise: [B, 3, h, w] → latents [B·P, 3, h, w].

        Row r holds prompt r mod P of sample r div P; all rows of a sample start from its noise.
        """
        samples = noise.shape[0]
        run = None if plan is None else Run(plan, scene(self, plan, noise))
        context = torch.cat([self.encode([negative]).expand(samples * len(texts), -1, -1)])
        context = torch.cat([context, self.encode(texts).repeat(samples, 1, 1)])
        timesteps, sigmas = schedule(steps)
        x = per_row(noise, len(texts)) * (1 + sigmas[0] ** 2).sqrt()
        moments = [progress_at(int(t)) for t in timesteps]
        if run is not None:
            run.start(sigmas, moments)
        for i, (t, progress) in enumerate(zip(timesteps, moments, strict=True)):
            control(self, run, progress)
            x = x if run is None else run.before_model(x, float(sigmas[i]), progress)
            scaled = x / (sigmas[i] ** 2 + 1).sqrt()
            without, with_text = self.unet(torch.cat([scaled, scaled]), t, context).sample.chunk(2)
            clean = x - sigmas[i] * (without + cfg * (with_text - without))
            clean = clean if run is None else run.after_model(clean, progress)
            x = x + (sigmas[i + 1] - sigmas[i]) * (x - clean) / sigmas[i]
            on_step(i + 1, steps)
        control(self, None)
        return x if run is None else run.finish(x)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """[B, 3, h, w] → pictures [B, 3, 8h, 8w] in 0..1."""
        return self.autoencoder.decode(latents).clamp(-1, 1).add(1).div(2)


def scene(pipe: DemoPipeline, plan: EditPlan, latents: Tensor) -> Scene:
    """What a sampling of B latents [B, C, h, w] by this plan is about."""
    size = latents.shape[-2], latents.shape[-1]
    return Scene(plan.prompts, len(latents), size, unet_layers(pipe.unet), FACTOR)


def progress_at(timestep: int) -> float:
    """0 for pure noise, 1 for a finished picture."""
    return 1 - timestep / (TRAIN_STEPS - 1)


def control(pipe: DemoPipeline, run: Run | None, progress: float = 0.0) -> None:
    """Set the attention processors for one model call."""
    layers = layers_by_processor(pipe.unet)
    processors = {name: PairProcessor(layer, run, progress) for name, layer in layers.items()}
    pipe.unet.set_attn_processor(processors)


class PairProcessor:
    """A diffusers attention processor that runs a plan on paired rows, alone or after as many unconditional
    ones."""

    def __init__(self, layer: Layer, run: Run | None, progress: float) -> None:
        self.layer, self.run, self.progress = layer, run, progress

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        *rest: Any,
        **kwargs: Any,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            q, k, v = (rearrange(t, "b n (h c) -> b h n c", h=attn.heads) for t in (q, k, v))
            return rearrange(F.scaled_dot_product_attention(q, k, v), "b h n c -> b n (h c)")

        if self.run is None:
            out = attend(q, k, v)
        else:
            edit = self.run.self_attention if encoder_hidden_states is None else self.run.cross
            out = edit(self._call(self.run, len(q), attn.heads), q, k, v, attend)
        return attn.to_out[1](attn.to_out[0](out))

    def _call(self, run: Run, batch: int, heads: int) -> Call:
        height, width = run.scene.size(self.layer)
        paired = (True,) if batch == run.scene.rows.count else (False, True)
        return Call(self.layer, self.progress, (height, width), heads, paired)


def layers_by_processor(unet: Any) -> dict[str, Layer]:
    """The layer of each attention processor of a U-Net of the Stable Diffusion family."""
    return {name: diffusers_layer(name, unet.config) for name in unet.attn_processors}


def unet_layers(unet: Any) -> tuple[Layer, ...]:
    """The layers that attend to text."""
    return tuple(layer for name, layer in layers_by_processor(unet).items() if ".attn2." in name)


def schedule(steps: int) -> tuple[Tensor, Tensor]:
    """ComfyUI's `simple` scheduler: timesteps [steps], evenly from 999; sigmas [steps + 1], ending in 0."""
    timesteps = torch.tensor([TRAIN_STEPS - 1 - i * TRAIN_STEPS // steps for i in range(steps)])
    signal = alphas_cumprod()[timesteps]
    return timesteps, torch.cat([((1 - signal) / signal).sqrt(), torch.zeros(1)])


def start_noise(seed: int, width: int = 256, height: int = 256, samples: int = 1) -> Tensor:
    """The noise that ComfyUI draws for a seed, [B, 3, height/8, width/8]."""
    return torch.randn(
        samples, CHANNELS, height // FACTOR, width // FACTOR, generator=torch.manual_seed(seed)
    )


def _piece(token: str, is_text: bool) -> Piece:
    return Piece(token.removesuffix("</w>"), "text" if is_text else "special", token.endswith("</w>"))


# Weights


def load(weights: Path = WEIGHTS) -> DemoPipeline:
    """The bundled model. Raises P2PError when its file is missing or damaged."""
    state = read_weights(weights)
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    unet = UNet2DConditionModel(**unet_config())
    text = CLIPTextModel(CLIPTextConfig(**text_config(len(tokenizer))))
    autoencoder = ThumbnailAutoencoder()
    for name, module in (("unet", unet), ("text", text), ("autoencoder", autoencoder)):
        part = {
            key.removeprefix(name + "."): v.float() for key, v in state.items() if key.startswith(name + ".")
        }
        try:
            module.load_state_dict(part)
        except RuntimeError as error:
            raise _damaged(weights, str(error).splitlines()[0]) from error
        module.eval().requires_grad_(False)
    return DemoPipeline(unet, text, tokenizer, autoencoder)


def read_weights(weights: Path) -> dict[str, Tensor]:
    try:
        return load_file(weights)
    except (OSError, SafetensorError) as error:
        raise _damaged(weights, str(error)) from error


def _damaged(weights: Path, trouble: str) -> P2PError:
    return P2PError(
        "the demo model's weight file",
        f"{weights.name}, which cannot be read ({trouble})",
        "Reinstall the pack, or run `git checkout -- demo/model`.",
    )
