"""The layout of a sheet of maps."""

from __future__ import annotations

import pytest
import torch
from stored import LARGE, looking_at, prompts_of, stored
from torch import Tensor

from p2p_core.architecture.layers import Layer, LayerFilter
from p2p_core.errors import P2PError
from p2p_core.pictures.sheets import Sheet, component_sheet, word_sheet

PAIR = prompts_of("a cat sat", "a dog sat")
WORDS = ("a", "cat", "sat", "dog")


def counted(parts: int, rows: int, words: int, h: int = 2, w: int = 3) -> Tensor:
    """Maps [parts, rows, words, h, w], each with a different value: part + 10·row + 100·word + 1."""
    part, row, word = torch.meshgrid(*(torch.arange(n) for n in (parts, rows, words)), indexing="ij")
    return (part + 10 * row + 100 * word + 1.0)[..., None, None].expand(-1, -1, -1, h, w)


def labels(sheet: Sheet, line: int = 0, sample: int = 0) -> list[str]:
    return [tile.label for tile in sheet.samples[sample][line].tiles]


def values(sheet: Sheet, line: int = 0, sample: int = 0) -> list[float | str]:
    """For each tile, the map's value at the first cell, or the note why there is none."""
    tiles = sheet.samples[sample][line].tiles
    return [tile.note if tile.map is None else float(tile.map[0, 0]) for tile in tiles]


def test_words_have_a_line_for_each_prompt_and_a_tile_for_each_word() -> None:
    sheet = word_sheet(stored(PAIR, {LARGE: counted(1, 4, 4)}, (2, 3)), "words", ["dog", "cat", "sat"])
    assert (sheet.rows, sheet.latent, len(sheet.samples)) == (4, (2, 3), 2)
    for sample in range(2):
        source, edit = sheet.samples[sample]
        assert (source.heading, edit.heading) == ("source: a cat sat", "edit: a dog sat")
        assert (source.row, edit.row) == (2 * sample, 2 * sample + 1)
        assert labels(sheet, 0, sample) == labels(sheet, 1, sample) == ["dog", "cat", "sat"]
        assert values(sheet, 0, sample) == ["not in this prompt", 101 + 20 * sample, 201 + 20 * sample]
        assert values(sheet, 1, sample) == [311 + 20 * sample, "not in this prompt", 211 + 20 * sample]


def test_several_edits_are_numbered() -> None:
    prompts = prompts_of("a cat", "a dog", "a lion")
    sheet = word_sheet(stored(prompts, {LARGE: counted(1, 3, 4)}, (2, 3)), "words")
    headings = [line.heading for line in sheet.samples[0]]
    assert headings == ["source: a cat", "edit 1: a dog", "edit 2: a lion"]


def test_steps_have_a_line_for_each_prompt_and_word_that_it_has() -> None:
    sheet = word_sheet(stored(PAIR, {LARGE: counted(3, 2, 4)}, (2, 3)), "steps", ["cat", "sat"])
    lines = sheet.samples[0]
    assert [line.heading for line in lines] == [
        "cat · source: a cat sat",
        "sat · source: a cat sat",
        "sat · edit: a dog sat",
    ]
    assert [line.row for line in lines] == [0, 0, 1]
    assert labels(sheet) == ["part 1 of 3", "part 2 of 3", "part 3 of 3"]
    assert [values(sheet, line) for line in range(3)] == [[101, 102, 103], [201, 202, 203], [211, 212, 213]]


def test_a_part_in_which_no_step_fell_says_so() -> None:
    columns = torch.full((2, 2, 3), PAIR.source.find("sat")[0])
    sheet = word_sheet(looking_at(PAIR, columns, LARGE, [0.1, 0.9], parts=3), "steps", ["sat"])
    first, second, third = values(sheet)
    assert (first, third) == (pytest.approx(1), pytest.approx(1)) and second == "no step in this part"


def test_one_mean_over_all_steps_has_no_view_over_steps() -> None:
    with pytest.raises(P2PError, match="Record the sampling in 2 parts or more"):
        word_sheet(stored(PAIR, {LARGE: counted(1, 2, 4)}, (2, 3)), "steps")


LAYERS = {
    Layer("output", 3, 1, 2): counted(1, 2, 4),
    Layer("output", 3, 0, 2): counted(1, 2, 4) + 2,
    Layer("middle", 0, 0, 4): counted(1, 2, 4, 1, 2),
    Layer("input", 2, 0, 1): counted(1, 2, 4, 4, 6),
    Layer("input", 1, 0, 1): counted(1, 2, 4, 4, 6),
}


def test_resolutions_come_from_fine_to_coarse_each_at_its_size() -> None:
    sheet = word_sheet(stored(PAIR, LAYERS, (4, 6)), "resolutions", ["cat"])
    assert labels(sheet) == ["1/1 · 6 × 4", "1/2 · 3 × 2", "1/4 · 2 × 1"]
    assert values(sheet) == [101, 102, 101]
    assert [t.map.shape for t in sheet.samples[0][0].tiles if t.map is not None] == [(4, 6), (2, 3), (1, 2)]


def test_layers_come_in_the_order_of_the_model_with_an_index_where_a_block_has_several() -> None:
    sheet = word_sheet(stored(PAIR, LAYERS, (4, 6)), "layers", ["cat"])
    assert labels(sheet) == ["input 1", "input 2", "middle 0", "output 3 · 0", "output 3 · 1"]
    assert values(sheet) == [101, 101, 101, 103, 101]


@pytest.mark.parametrize("view", ["resolutions", "layers"])
def test_a_filter_leaves_out_what_is_compared(view: str) -> None:
    recorded = stored(PAIR, LAYERS, (4, 6))
    sheet = word_sheet(
        recorded, "layers" if view == "layers" else "resolutions", ["cat"], LayerFilter("middle")
    )
    assert len(labels(sheet)) == 1


def test_components_have_a_line_for_each_prompt() -> None:
    own = torch.softmax(torch.randn(4, 6, 6, generator=torch.Generator().manual_seed(0)), dim=-1)
    sheet = component_sheet(stored(PAIR, {}, (4, 6), own=own, own_size=(2, 3)), 3)
    assert not sheet.heat and len(sheet.samples) == 2
    assert labels(sheet) == ["component 1", "component 2", "component 3"]
    assert [line.heading for line in sheet.samples[1]] == ["source: a cat sat", "edit: a dog sat"]
    assert [line.row for line in sheet.samples[1]] == [2, 3]
