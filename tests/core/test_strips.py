"""Maps in small coloured pictures, for a viewer."""

from __future__ import annotations

import torch
from stored import LARGE, SMALL, prompts_of, stored

from p2p_core.architecture.layers import Layer
from p2p_core.maps.heat import relative
from p2p_core.pictures.colours import heat_colours
from p2p_core.pictures.strips import MOST, steps_of, strips

PROMPTS = prompts_of("a cat", "a dog")


def maps(parts: int, size: tuple[int, int]) -> torch.Tensor:
    """[parts, 2 rows, 3 words, h, w]"""
    return torch.rand(parts, 2, 3, *size, generator=torch.Generator().manual_seed(size[0]))


def test_the_first_strip_is_of_the_chosen_layers_and_others_of_each_layer() -> None:
    recorded = stored(PROMPTS, {LARGE: maps(1, (24, 16)), SMALL: maps(1, (12, 8))}, (24, 16))
    found = tuple(strips(recorded, ["cat", "dog"], None))
    assert [(strip.label, strip.size) for strip in found] == [
        ("chosen layers", (24, 16)),
        ("input 1", (24, 16)),
        ("middle 0", (12, 8)),
    ]
    assert steps_of(recorded) == ("all steps",)
    assert found[2].picture.shape == (2 * 12, 2 * 8, 3)  # rows down, words across
    cat = recorded.maps[SMALL][0, :, 1]
    assert torch.equal(found[2].picture[12:, :8], heat_colours(relative(cat))[1])


def test_each_part_of_the_sampling_stands_below_the_whole() -> None:
    recorded = stored(PROMPTS, {SMALL: maps(2, (12, 8))}, (24, 16))
    (strip,) = strips(recorded, ["cat"], None)
    assert steps_of(recorded) == ("all steps", "part 1 of 2", "part 2 of 2")
    assert strip.picture.shape == (2 * 3 * 12, 8, 3)
    second_row_last_part = recorded.maps[SMALL][1, 1, 1]
    assert torch.allclose(strip.picture[-12:], heat_colours(relative(second_row_last_part)), atol=1e-6)


def test_a_part_without_a_step_is_black() -> None:
    values = maps(2, (12, 8))
    values[0] = 0
    (strip,) = strips(stored(PROMPTS, {SMALL: values}, (24, 16)), ["cat"], None)
    assert torch.equal(strip.picture[12:24], heat_colours(torch.zeros(12, 8)))


def test_many_layers_are_shown_by_resolution() -> None:
    layers = [Layer("input", n, 0, 1 + n % 2) for n in range(MOST + 1)]
    recorded = stored(PROMPTS, {layer: maps(1, (4, 4)) for layer in layers}, (8, 8))
    assert [strip.label for strip in strips(recorded, [], None)] == ["chosen layers", "1/1", "1/2"]
