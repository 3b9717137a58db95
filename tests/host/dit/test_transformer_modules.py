"""Modules that other packs change in a transformer: quantised layers, wrapped blocks, cast weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from graphs import CLOSED, EDIT, OPEN, SOURCE, Graph, close
from torch import Tensor, nn

pytestmark = [pytest.mark.host, pytest.mark.real_host, pytest.mark.filterwarnings("ignore")]

try:
    from test_end_to_end import CHECKPOINTS, NAMES
    from transformer_host import TransformerHost
    from transformer_table import FAMILIES
    from transformers_tiny import built
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    NAMES = []

FULL = [name for name in ("Wan 2.1", "Flux.1", "Qwen-Image", "Z-Image") if name in NAMES]


class Quantised(nn.Module):
    """A linear layer of a GGUF-like loader: whole numbers of 8 bits and a scale, made floats in each call."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        scale = layer.weight.abs().amax(dim=1, keepdim=True) / 127
        self.numbers = nn.Parameter((layer.weight / scale).round().to(torch.int8), requires_grad=False)
        self.scale, self.bias = nn.Parameter(scale, requires_grad=False), layer.bias
        self.in_features, self.out_features = layer.in_features, layer.out_features

    @property
    def weight(self) -> Tensor:
        return self.numbers * self.scale

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.to(x), self.bias)


class Wrapped(nn.Module):
    """A block of a pack that swaps blocks between devices."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.block(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name == "block" else getattr(self.block, name)


def quantised_layers(blocks: nn.ModuleList) -> None:
    for block in blocks:
        for name, layer in [*block.named_modules()]:
            if isinstance(layer, nn.Linear):
                parent, _, last = name.rpartition(".")
                setattr(block.get_submodule(parent), last, Quantised(layer))


def wrapped_blocks(blocks: nn.ModuleList) -> None:
    for number, block in enumerate(blocks):
        blocks[number] = Wrapped(block)


def cast_weights(blocks: nn.ModuleList) -> None:
    """In bfloat16, as layers of the host cast them to the input in each call."""
    for layer in blocks.modules():
        if isinstance(layer, nn.Linear):
            cast(Any, layer.to(torch.bfloat16)).comfy_cast_weights = True


CHANGES = {change.__name__: change for change in (quantised_layers, wrapped_blocks, cast_weights)}


class ChangedHost(cast(Any, TransformerHost if NAMES else object)):
    """With a MODEL whose lists of blocks were changed."""

    def __init__(self, name: str, change: Callable[[nn.ModuleList], None]) -> None:
        super().__init__(name)
        family, own = FAMILIES[self.checkpoint.family or name], CHECKPOINTS[name]
        self._model = built(replace(family, model={**family.model, **own.model}))
        for blocks in self._model.model.diffusion_model.children():
            if isinstance(blocks, nn.ModuleList):
                change(blocks)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", FULL)
def test_changed_modules_are_edited_like_the_hosts(node: dict[str, Any], name: str, change: str) -> None:
    graph = Graph(ChangedHost(name, CHANGES[change]), node)
    closed, opened = (graph.edited(windows=windows) for windows in (CLOSED, OPEN))
    for row, text in enumerate((SOURCE, EDIT)):
        assert torch.equal(closed[row], graph.plain(text)[row])
    assert torch.equal(opened[0], closed[0]) and not close(opened[1], closed[1])
    same = torch.equal(closed, Graph(TransformerHost(name), node).edited(windows=CLOSED))
    assert same == (change == "wrapped_blocks")
