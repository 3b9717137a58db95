"""Heat maps, masks and components from a store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from prompts_of import made_of
from stored import LARGE, SMALL, looking_at, prompts_of, stored
from torch import Tensor

from p2p_core.architecture.layers import Layer, LayerFilter
from p2p_core.errors import P2PError
from p2p_core.maps.components import components
from p2p_core.maps.heat import heat_maps, relative, word_masks
from p2p_core.maps.store import Channel
from p2p_core.words.prompts import PromptSet

ALL = LayerFilter()
CAT, PAIR = prompts_of("a cat"), prompts_of("a cat sat", "a dog sat")


def constant(*values: float, size: tuple[int, int] = (2, 3), rows: int = 1, words: int = 2) -> Tensor:
    """[parts, rows, words, h, w], a value for each part."""
    return torch.stack([torch.full((rows, words, *size), float(value)) for value in values])


# Words


def test_a_word_is_hot_where_the_cells_look_at_it() -> None:
    prompts = prompts_of("a cat sat", "a dog sat")
    cat, dog = prompts.source.find("cat")[0], prompts.edits[0].find("dog")[0]
    columns = torch.zeros(2, 2, 3, dtype=torch.long)
    columns[0, 1, 2], columns[1, 0, 1] = cat, dog
    maps = heat_maps(looking_at(prompts, columns, LARGE, [0.5]), ["cat", "dog"])
    expected = torch.zeros(2, 2, 2, 3)
    expected[0, 0, 1, 2] = expected[1, 1, 0, 1] = 1
    assert torch.allclose(maps, expected, atol=1e-4)


def test_a_word_beyond_the_first_77_tokens_has_its_map() -> None:
    prompts = PromptSet(made_of(" ".join(f"w{i}" for i in range(100))), ())
    column = prompts.source.find("w90")[0]
    assert prompts.source.columns == 154 and column > 77
    columns = torch.zeros(1, 3, 5, dtype=torch.long)
    columns[0, 2, 4] = column
    maps = heat_maps(looking_at(prompts, columns, LARGE, [0.5]), ["w90", "w89"])
    assert maps[0, 0].argmax() == 14 and maps[0, 0].max() > 0.99 and maps[0, 1].max() < 0.01


def test_parts_in_which_no_step_fell_do_not_count() -> None:
    cat = CAT.source.find("cat")[0]
    recorded = looking_at(CAT, torch.full((1, 2, 2), cat), LARGE, [0.1, 0.9], parts=5)
    assert len(recorded.maps[LARGE]) == 5
    assert torch.allclose(heat_maps(recorded, ["cat"]), torch.ones(1, 1, 2, 2), atol=1e-4)
    by_hand = stored(CAT, {LARGE: constant(0.2, 0, 0.6)}, (2, 3))
    assert torch.allclose(heat_maps(by_hand), torch.full((1, 2, 2, 3), 0.4))


def test_a_map_of_a_word_of_weight_0_is_0() -> None:
    assert not heat_maps(stored(CAT, {LARGE: constant(0, 0)}, (2, 3))).any()


def test_layers_are_averaged_at_the_largest_size() -> None:
    maps = {SMALL: constant(0.2), LARGE: constant(0.4, size=(4, 6))}
    recorded = stored(CAT, maps, (4, 6))
    assert torch.allclose(heat_maps(recorded, layers=ALL), torch.full((1, 2, 4, 6), 0.3))
    assert torch.allclose(heat_maps(recorded, layers=LayerFilter("middle")), torch.full((1, 2, 2, 3), 0.2))


def test_without_a_filter_the_layers_are_those_of_a_local_blend() -> None:
    layers = {scale: Layer("output", scale, scale=scale) for scale in (1, 2, 4, 8)}
    maps = {layer: constant(0.1 * s, size=(48 // s, 64 // s)) for s, layer in layers.items()}
    assert torch.allclose(heat_maps(stored(CAT, maps, (48, 64))), torch.full((1, 2, 12, 16), 0.4))
    assert heat_maps(stored(CAT, maps, (32, 64))).shape[-2:] == (24, 32)


TWICE = prompts_of("a cat and a cat by Tree")


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("cat", "cat"),
        ("CAT", "cat"),
        (" (cat:1.2) ", "cat"),
        ("cat[2]", "cat[2]"),
        ("and[1]", "and"),
        ("tree", "Tree"),
        ("a  cat", "a cat"),
        ("tree,", "Tree"),
    ],
)
def test_a_word_is_found_as_it_was_recorded(asked: str, kept: str) -> None:
    words = ["cat", "cat[2]", "and", "Tree", "a cat"]
    maps = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(-1, -1, -1, 2, 3)
    found = heat_maps(stored(TWICE, {LARGE: maps}, (2, 3), words), [asked])
    assert found.shape == (1, 1, 2, 3) and found[0, 0, 0, 0] == words.index(kept)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (["cat"], ["cat[1]", "cat[2]"]),
        (["(cat:1.2)"], ["cat[1]", "cat[2]"]),
        (["cat[2]", "cat"], ["cat[2]", "cat[1]"]),
        (["and", "A"], ["and", "a[1]", "a[2]"]),
    ],
)
def test_a_word_means_all_its_occurrences(asked: list[str], kept: list[str]) -> None:
    """`cat` is both cats, as in an edit; recorded were `cat[1]` and `cat[2]`, the names of all words."""
    words = TWICE.names
    maps = torch.arange(float(len(words))).view(1, 1, -1, 1, 1)
    found = heat_maps(stored(TWICE, {LARGE: maps}, (1, 1)), asked)
    assert [words[int(n)] for n in found.flatten()] == kept


def test_what_is_no_word_is_found_by_its_name() -> None:
    recorded = stored(CAT, {LARGE: torch.tensor([1.0, 2.0]).view(1, 1, 2, 1, 1)}, (1, 1))
    blend = replace(recorded, channels=(Channel("blend", ((1, 2),)), Channel("subtract", ((),))))
    assert heat_maps(blend, ["subtract", "blend"]).flatten().tolist() == [2, 1]


def test_words_come_in_the_order_asked_and_once() -> None:
    maps = torch.arange(3.0).view(1, 1, 3, 1, 1)
    recorded = stored(prompts_of("a cat sat"), {LARGE: maps}, (1, 1))
    assert heat_maps(recorded, ["sat", "a", "SAT"]).flatten().tolist() == [2, 0]
    assert heat_maps(recorded).flatten().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("word", "got"),
    [
        ("sat", "'sat'"),
        ("cat[2]", "'cat[2]', which is in no prompt"),
        ("lion", "'lion', which is in no prompt"),
    ],
)
def test_a_word_that_was_not_recorded_is_refused_with_those_that_were(word: str, got: str) -> None:
    recorded = stored(PAIR, {LARGE: constant(0.1, rows=2)}, (2, 3), ["cat", "dog"])
    with pytest.raises(P2PError) as error:
        heat_maps(recorded, ["cat", word])
    assert error.value.got == got
    assert "cat, dog" in error.value.hint


def test_layers_that_were_not_recorded_are_refused_with_those_that_were() -> None:
    recorded = stored(CAT, {SMALL: constant(0.1), LARGE: constant(0.1, size=(4, 6))}, (4, 6))
    with pytest.raises(P2PError) as error:
        heat_maps(recorded, layers=LayerFilter("output 3, 1/8"))
    assert error.value.got == "'output 3, 1/8'"
    assert "1/1, 1/2" in error.value.hint and "input 1, middle 0" in error.value.hint


def test_a_store_without_maps_is_refused() -> None:
    own = torch.full((1, 4, 4), 0.25)
    with pytest.raises(P2PError, match="got one without"):
        heat_maps(stored(CAT, {}, (2, 2), own=own, own_size=(2, 2)))


# Masks


def test_relative_maps_have_a_maximum_of_1_or_are_0() -> None:
    maps = torch.tensor([[[0.1, 0.2], [0.4, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[-1.0, -0.5], [-2.0, -1.0]]])
    assert torch.allclose(relative(maps)[0], torch.tensor([[0.25, 0.5], [1.0, 0.0]]))
    assert not relative(maps)[1:].any()


def test_a_mask_is_where_any_word_passes_its_own_threshold() -> None:
    maps = torch.zeros(1, 2, 3, 2, 3)
    maps[0, 0, 1] = torch.tensor([[0.010, 0.002, 0.0], [0.0, 0.0, 0.0]])  # cat, in the source
    maps[0, :, 2] = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.3, 0.9]])  # sat, in both
    recorded = stored(PAIR, {LARGE: maps}, (2, 3), ["a", "cat", "sat"])
    masks = word_masks(recorded, ["cat", "sat"], 0.5, (2, 3))
    assert masks.tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 1]]]
    assert word_masks(recorded, ["sat"], 0.2, (2, 3))[1].tolist() == [[0, 0, 0], [0, 1, 1]]
    assert not word_masks(recorded, ["a"], 0.0, (2, 3)).any()
    large = word_masks(recorded, ["cat"], 0.5, (20, 30))
    assert large.shape == (2, 20, 30) and large[0, :8, :8].all() and not large[0, 12:].any()


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(P2PError, match="a threshold within"):
        word_masks(stored(CAT, {LARGE: constant(0.1)}, (2, 3)), ["cat"], threshold, (2, 3))


# Self-attention


def self_maps(rows: int, h: int, w: int, seed: int = 0) -> Tensor:
    """Attention [rows, N, N] with a rapidly decaying spectrum: cells attend to similar cells."""
    features = torch.randn(rows, h * w, 6, generator=torch.Generator().manual_seed(seed))
    features = features * torch.tensor([2.0, 1.4, 1.0, 0.7, 0.5, 0.3])
    return torch.softmax(features @ features.mT, dim=-1)


def published(maps: Tensor, count: int, h: int, w: int) -> np.ndarray:
    """The right singular vectors as in the paper's code, each [h, w]."""
    a = maps.double().numpy()
    return np.linalg.svd(a - a.mean(axis=1, keepdims=True)).Vh[:count].reshape(count, h, w)


def test_components_are_those_of_the_published_code() -> None:
    maps = self_maps(2, 12, 20)
    found = components(stored(PAIR, {}, (12, 20), own=maps, own_size=(12, 20)), 5)
    assert found.shape == (2, 5, 12, 20)
    assert (found.amin((-2, -1)) == 0).all() and (found.amax((-2, -1)) == 1).all()
    for row in range(2):
        for ours, theirs in zip(found[row].numpy(), published(maps[row], 5, 12, 20), strict=True):
            assert abs(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]) > 0.9999


@pytest.mark.parametrize("seed", range(8))
def test_a_source_component_is_light_where_it_is_furthest_from_0_and_an_edit_follows(seed: int) -> None:
    source = self_maps(1, 6, 8, seed)
    edit = torch.softmax(source.log() + 0.01 * self_maps(1, 6, 8, seed + 1), dim=-1)
    recorded = stored(PAIR, {}, (6, 8), own=torch.cat([source, edit]), own_size=(6, 8))
    found = components(recorded, 3).flatten(2)
    for ours, like, theirs in zip(found[0], found[1], published(source[0], 3, 6, 8), strict=True):
        assert ours[np.abs(theirs).argmax()] == 1
        assert np.corrcoef(ours, like)[0, 1] > 0.9
    assert torch.equal(found, components(recorded, 3).flatten(2))


def test_attention_to_all_cells_alike_has_components_without_nan() -> None:
    maps = torch.full((1, 6, 6), 1 / 6)
    assert components(stored(CAT, {}, (2, 3), own=maps, own_size=(2, 3)), 6).isfinite().all()


@pytest.mark.parametrize("count", [0, -1, 25])
def test_more_components_than_cells_are_refused(count: int) -> None:
    with pytest.raises(P2PError, match="1 to 24 components"):
        components(stored(CAT, {}, (4, 6), own=self_maps(1, 4, 6), own_size=(4, 6)), count)


def test_a_store_without_self_attention_is_refused() -> None:
    with pytest.raises(P2PError, match="a store with self-attention"):
        components(stored(CAT, {LARGE: constant(0.1)}, (2, 3)), 1)
