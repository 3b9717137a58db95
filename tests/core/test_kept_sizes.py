"""The memory of a remembered source: the help page has what `make kept-sizes` computes."""

from __future__ import annotations

from collections import Counter

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock

from benchmarks.core.kept_sizes import HEAD, PAGE, SHAPES, row
from benchmarks.shared.table import markdown


def test_the_help_page_has_the_table():
    assert markdown(HEAD, [row(shape) for shape in SHAPES]) in PAGE.read_text("utf-8")


def test_the_layers_of_sd15_are_those_of_its_u_net():
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)  # diffusers' defaults are Stable Diffusion 1
    blocks = (module for module in unet.modules() if isinstance(module, BasicTransformerBlock))
    widths = Counter(block.dim for block in blocks)
    computed = Counter[int]()
    for layers in SHAPES[0].layers:
        computed[layers.width] += layers.count
    assert computed == widths
