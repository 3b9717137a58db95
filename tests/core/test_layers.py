"""Layers by the names that users write."""

from __future__ import annotations

import pytest

from p2p_core.architecture.layers import Layer, LayerFilter
from p2p_core.architecture.names import block_ranges
from p2p_core.errors import P2PError

LAYERS = [
    *[Layer("input", number, index, scale) for number, scale in [(1, 1), (4, 2), (8, 4)] for index in (0, 1)],
    Layer("middle", 0, 0, 8),
    *[Layer("output", number, 0, scale) for number, scale in [(0, 8), (3, 4), (11, 1)]],
]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("all", "input 1 4 8, middle 0, output 0 3 11"),
        (" ALL\n", "input 1 4 8, middle 0, output 0 3 11"),
        ("input", "input 1 4 8"),
        ("middle", "middle 0"),
        ("output 0", "output 0"),
        ("output 1-11", "output 3 11"),
        ("input 4", "input 4"),
        ("input 4 - 8", "input 4 8"),
        ("input 4-8, middle, output 3", "input 4 8, middle 0, output 3"),
        ("Input 1;\nOUTPUT 11,\n", "input 1, output 11"),
        ("input 1-4, input 4-8", "input 1 4 8"),
        ("1/4", "input 8, output 3"),
        ("1/1; 1/2", "input 1 4, output 11"),
        ("middle, 1/2, output 11", "input 4, middle 0, output 11"),
        ("1/3", ""),
    ],
)
def test_a_filter_holds_the_layers_it_names(text: str, names: str) -> None:
    stages = map(str.split, filter(None, names.split(", ")))
    expected = {(stage, int(n)) for stage, *numbers in stages for n in numbers}
    chosen = LayerFilter(text)
    assert {(layer.stage, layer.number) for layer in LAYERS if layer in chosen} == expected
    assert all((layer in chosen) == ((layer.stage, layer.number) in expected) for layer in LAYERS)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        (" ,\n", " ,\n"),
        ("down 3", "down 3"),
        ("input 4-8, up", "up"),
        ("input x", "input x"),
        ("input -1", "input -1"),
        ("input 1-2-3", "input 1-2-3"),
        ("input4", "input4"),
        ("all, middle", "all"),
        ("middle, input 8-4", "input 8-4"),
        ("1/0", "1/0"),
        ("1/4, 1/-2", "1/-2"),
        ("1/2.5", "1/2.5"),
        ("2/4", "2/4"),
        ("1/4-8", "1/4-8"),
        ("1/ 4", "1/ 4"),
        ("input 1/4", "input 1/4"),
    ],
)
def test_what_is_no_filter_is_shown(text: str, shown: str) -> None:
    with pytest.raises(P2PError) as error:
        LayerFilter(text)
    assert error.value.got == repr(shown)


def test_filters_of_equal_text_are_equal() -> None:
    assert LayerFilter("input 4") == LayerFilter("input 4") != LayerFilter("input 5")


FLUX = [*[Layer("double", n, 0, 2) for n in range(19)], *[Layer("single", n, 0, 2) for n in range(38)]]


@pytest.mark.parametrize(
    ("text", "doubles", "singles"),
    [
        ("all", 19, 38),
        ("double", 19, 0),
        ("double 15-18, single", 4, 38),
        ("SINGLE 0 - 3", 0, 4),
        ("1/2", 19, 38),
        ("1/1", 0, 0),
        ("block", 0, 0),
        ("input 4, double 3", 1, 0),
    ],
)
def test_a_transformer_names_its_blocks_its_own_way(text: str, doubles: int, singles: int) -> None:
    chosen = [layer.stage for layer in FLUX if layer in LayerFilter(text)]
    assert (chosen.count("double"), chosen.count("single"), len(chosen)) == (
        doubles,
        singles,
        doubles + singles,
    )


def test_ranges_of_blocks_are_a_filter_of_the_same_layers() -> None:
    assert block_ranges(("block", n) for n in (0, 1, 3)) == "block 0-1, block 3"
    assert block_ranges((x.stage, x.number) for x in FLUX) == "double 0-18, single 0-37"
    for layers in (FLUX, LAYERS, FLUX[3:7] + FLUX[22:23]):
        chosen = LayerFilter(block_ranges((x.stage, x.number) for x in layers))
        assert [layer for layer in [*LAYERS, *FLUX] if layer in chosen] == layers
