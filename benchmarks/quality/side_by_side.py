"""Several methods for one edit in one batch: a source row, and one edited row per method.

The source is sampled once for all of them. Each row comes out as if it were sampled alone with the source, up
to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from demo.diffusers_host.pipeline import DemoPipeline, layers_by_processor, schedule, unet_layers
from demo.model.shape import TRAIN_STEPS
from p2p_core.architecture.layers import Layer
from p2p_core.plan import EditPlan
from p2p_core.run import Run
from p2p_core.step import Call, Scene


class Way(Protocol):
    """A method to edit one row from the source. All functions take and return the rows [source, edit]."""

    def attention(self, layer: Layer, progress: float, is_cross: bool, qkv: Sequence[Tensor]) -> Tensor:
        """q [2, h, N, c], k and v [2, h, K, c] with h heads → [2, h, N, c]."""
        ...

    def before_call(self, x: Tensor, progress: float) -> Tensor: ...

    def after_call(self, clean: Tensor, progress: float) -> Tensor:
        """clean: the model's prediction of the clean latents, [2, 3, h, w]."""
        ...

    def after_step(self, x: Tensor) -> Tensor: ...

    def finish(self, x: Tensor) -> Tensor: ...


class Alone:
    """The edit prompt alone, without control."""

    def attention(self, layer: Layer, progress: float, is_cross: bool, qkv: Sequence[Tensor]) -> Tensor:
        return _attend(*qkv)

    def before_call(self, x: Tensor, progress: float) -> Tensor:
        return x

    def after_call(self, clean: Tensor, progress: float) -> Tensor:
        return clean

    def after_step(self, x: Tensor) -> Tensor:
        return x

    def finish(self, x: Tensor) -> Tensor:
        return x


class Planned(Alone):
    """The pack's own edits."""

    def __init__(self, plan: EditPlan, pipe: DemoPipeline, size: tuple[int, int]) -> None:
        self.run = Run(plan, Scene(plan.prompts, 1, size, unet_layers(pipe.unet)))
        self.size = size

    def attention(self, layer: Layer, progress: float, is_cross: bool, qkv: Sequence[Tensor]) -> Tensor:
        heads = qkv[0].shape[1]
        size = -(-self.size[0] // layer.scale), -(-self.size[1] // layer.scale)

        def attend(*merged: Tensor) -> Tensor:
            return _merged(_attend(*(_by_head(t, heads) for t in merged)))

        edit = self.run.cross if is_cross else self.run.self_attention
        q, k, v = (_merged(t) for t in qkv)
        out = edit(Call(layer, progress, size, heads, (True,)), q, k, v, attend)
        return _by_head(out, heads)

    def before_call(self, x: Tensor, progress: float) -> Tensor:
        return self.run.before_model(x, 0.0, progress)

    def after_call(self, clean: Tensor, progress: float) -> Tensor:
        return self.run.after_model(clean, progress)

    def finish(self, x: Tensor) -> Tensor:
        return self.run.finish(x)


class Published(Alone):
    """The paper-literal controller, on materialised attention maps."""

    def __init__(self, controller: Any, pipe: DemoPipeline, size: tuple[int, int]) -> None:
        self.controller = controller
        controller.reset(len(pipe.unet.attn_processors), torch.Size(size))

    def attention(self, layer: Layer, progress: float, is_cross: bool, qkv: Sequence[Tensor]) -> Tensor:
        q, k, v = (rearrange(t, "p h n c -> (p h) n c") for t in qkv)
        maps = torch.softmax((q @ k.mT) * q.shape[-1] ** -0.5, dim=-1)
        both = torch.cat([maps, maps])  # it expects an unconditional half, which it leaves alone
        edited = self.controller(both, is_cross)[len(maps) :]
        return rearrange(edited @ v, "(p h) n c -> p h n c", p=2)

    def after_step(self, x: Tensor) -> Tensor:
        return self.controller.after_step(x)


def _attend(*qkv: Tensor) -> Tensor:
    q, k, v = qkv
    return F.scaled_dot_product_attention(q, k, v)


def _by_head(t: Tensor, heads: int) -> Tensor:
    return rearrange(t, "p n (h c) -> p h n c", h=heads)


def _merged(t: Tensor) -> Tensor:
    return rearrange(t, "p h n c -> p n (h c)")


@torch.no_grad()
def sample_ways(
    pipe: DemoPipeline, texts: tuple[str, str], noise: Tensor, steps: int, cfg: float, ways: Sequence[Way]
) -> Tensor:
    """Euler sampling as in DemoPipeline.sample, with the source first.

    noise: [1, 3, h, w] → latents [1 + methods, 3, h, w].
    """
    rows = 1 + len(ways)
    encoded = pipe.encode(["", *texts])
    context = encoded[[0] * rows + [1] + [2] * len(ways)]
    timesteps, sigmas = schedule(steps)
    x = noise.expand(rows, -1, -1, -1) * (1 + sigmas[0] ** 2).sqrt()
    before, layers = pipe.unet.attn_processors, layers_by_processor(pipe.unet)
    try:
        for i, t in enumerate(timesteps):
            progress = 1 - int(t) / (TRAIN_STEPS - 1)
            pipe.unet.set_attn_processor(
                {name: _Processor(layer, ways, progress) for name, layer in layers.items()}
            )
            x = _pairwise(x, [partial(w.before_call, progress=progress) for w in ways])
            scaled = x / (sigmas[i] ** 2 + 1).sqrt()
            without, with_text = pipe.unet(torch.cat([scaled, scaled]), t, context).sample.chunk(2)
            clean = x - sigmas[i] * (without + cfg * (with_text - without))
            clean = _pairwise(clean, [partial(w.after_call, progress=progress) for w in ways])
            x = x + (sigmas[i + 1] - sigmas[i]) * (x - clean) / sigmas[i]
            x = _pairwise(x, [w.after_step for w in ways])
        return _pairwise(x, [w.finish for w in ways])
    finally:
        pipe.unet.set_attn_processor(before)


def _pairwise(rows: Tensor, ways: Sequence[Any]) -> Tensor:
    """[1 + methods, ...]: each row through its method, together with the source."""
    edited = [way(rows[[0, 1 + j]])[1] for j, way in enumerate(ways)]
    return torch.stack([rows[0], *edited])


class _Processor:
    """A diffusers attention processor for a batch with an unconditional and a conditional half."""

    def __init__(self, layer: Layer, ways: Sequence[Way], progress: float) -> None:
        self.layer, self.ways, self.progress = layer, ways, progress

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        *rest: Any,
        **kwargs: Any,
    ) -> Tensor:
        is_cross = encoder_hidden_states is not None
        context = encoder_hidden_states if is_cross else hidden_states
        parts = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        qkv = [_by_head(t, attn.heads) for t in parts]
        plain = 2 + len(self.ways)  # the unconditional half and the source
        out = [_attend(*(t[:plain] for t in qkv))]
        for row, way in enumerate(self.ways, start=plain):
            pair = [t[[plain - 1, row]] for t in qkv]
            out.append(way.attention(self.layer, self.progress, is_cross, pair)[1:])
        return attn.to_out[1](attn.to_out[0](_merged(torch.cat(out))))
