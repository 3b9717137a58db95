"""Layers by the names that users give them."""

from __future__ import annotations

import pytest

from p2p_core.errors import P2PError
from p2p_core.layers import Layer, LayerFilter

LAYERS = [
    *[Layer("input", number, index) for number in (1, 4, 8) for index in (0, 1)],
    Layer("middle", 0),
    *[Layer("output", number) for number in (0, 3, 11)],
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
    ],
)
def test_a_filter_holds_the_layers_it_names(text: str, names: str) -> None:
    expected = {(stage, int(n)) for stage, *numbers in map(str.split, names.split(", ")) for n in numbers}
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
    ],
)
def test_what_is_no_filter_is_shown(text: str, shown: str) -> None:
    with pytest.raises(P2PError) as error:
        LayerFilter(text)
    assert error.value.got == repr(shown)


def test_filters_of_equal_text_are_equal() -> None:
    assert LayerFilter("input 4") == LayerFilter("input 4") != LayerFilter("input 5")
