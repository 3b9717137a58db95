"""Masks of local blend: from maps of words by the published rule, from users, with a soft edge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import given
from hypothesis import strategies as st
from prompts_of import tries
from torch import Tensor
from torch.nn import functional as F

from p2p_core.architecture.layers import Layer
from p2p_core.errors import P2PError
from p2p_core.maps.masks import MaskRule, soft_edge, user_mask
from p2p_core.maps.resolution import map_scale, mean_map
from p2p_core.rows import Rows

MIDDLE = Layer("middle", 0)
PAIR = Rows(2, 1)


def words_mask(
    rule: MaskRule, maps: Mapping[Layer, Tensor], size: tuple[int, int], rows: Rows = PAIR
) -> Tensor:
    """The mask from words and the rule's own mask, [E·B, H, W]."""
    return rule.of_maps(maps, rule.users_mask(rows, size), rows, size)


# The mask of words, against the published rule


def published_mask(
    maps: Sequence[Tensor], words: Tensor, subtract: Tensor, th: tuple[float, float], pool: bool, size: Any
) -> Tensor:
    """The published local blend (second version) of one sample: the mask of every row, [P, H, W].

    maps: by layer [P, heads, h, w, T], summed over calls. words, subtract: [P, T], 1 for columns of words.
    """

    def get_mask(alpha: Tensor, threshold: float, use_pool: bool) -> Tensor:
        map = (torch.cat(list(maps), dim=1) * alpha[:, None, None, None]).sum(-1).mean(1, keepdim=True)
        if use_pool:
            map = F.max_pool2d(map, (3, 3), (1, 1), padding=(1, 1))
        mask = F.interpolate(map, size=size)
        mask = mask / mask.max(2, keepdim=True)[0].max(3, keepdim=True)[0]
        mask = mask.gt(threshold)
        return (mask[:1] | mask)[:, 0]

    return (get_mask(words, th[0], pool) & ~get_mask(subtract, th[1], False)).float()


@tries(80)
@given(
    st.tuples(st.integers(2, 4), st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4)),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans()),
    st.integers(0, 999),
)
def test_the_mask_of_words_is_the_published_one(
    counts: tuple[int, int, int, int],
    shape: tuple[int, int, int],
    rule: tuple[float, float, bool],
    seed: int,
) -> None:
    """Any size and aspect ratio, several edits and samples; words that a prompt lacks have a map of 0."""
    (prompts, samples, layers, calls), (h, w, larger), (threshold, other, pool) = counts, shape, rule
    random, size = torch.Generator().manual_seed(seed), (h * larger, w * larger)
    words, subtract = (torch.rand(2, prompts, 6, generator=random) < 0.3).float()
    seen = torch.rand(layers, samples, prompts, 2, h, w, 6, generator=random) ** 4 * calls
    by_word = torch.stack([(seen * c[:, None, None, None]).sum(-1) for c in (words, subtract)], dim=3)
    means = rearrange(by_word / calls, "l b p n e h w -> l (b p) n e h w").mean(3)
    maps = {Layer("middle", i): m for i, m in enumerate(means)}
    ours = words_mask(MaskRule(threshold, other, pool), maps, size, Rows(prompts, samples))
    expected = [
        published_mask(list(seen[:, b]), words, subtract, (threshold, other), pool, size)[1:]
        for b in range(samples)
    ]
    assert ours.shape == (samples * (prompts - 1), *size)
    assert torch.equal(ours, torch.cat(expected))


def maps_of(
    *rows: Sequence[Sequence[float]], subtract: Sequence[Sequence[float]] | None = None
) -> dict[Layer, Tensor]:
    """One layer's maps [P, 2, h, w]; the subtracted words of the last row."""
    added = torch.tensor(rows).float()
    taken = torch.zeros_like(added)
    if subtract is not None:
        taken[-1] = torch.tensor(subtract)
    return {MIDDLE: torch.stack([added, taken], dim=1)}


NOTHING = [[0.0, 0.0, 0.0, 0.0]]


def test_the_mask_is_where_the_map_of_the_source_or_of_the_edit_is_above_the_threshold() -> None:
    hard = MaskRule(pool=False)
    maps = maps_of([[9.0, 0.0, 0.0, 2.0]], [[0.0, 0.5, 0.1, 0.2]])
    assert words_mask(hard, maps, (1, 4)).tolist() == [[[1, 1, 0, 1]]]
    maps = maps_of([[9.0, 0.0, 0.0, 2.0]], NOTHING)
    assert words_mask(hard, maps, (1, 4)).tolist() == [[[1, 0, 0, 0]]]
    assert words_mask(hard, maps, (2, 8))[0, 1].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


def test_maps_of_zero_make_no_mask() -> None:
    for threshold in (0.0, 0.3, 1.0):
        mask = words_mask(MaskRule(threshold), maps_of(NOTHING, NOTHING), (1, 4))
        assert torch.equal(mask, torch.zeros(1, 1, 4))


def test_a_threshold_of_zero_takes_every_cell_with_attention_and_one_takes_none() -> None:
    maps = maps_of([[9.0, 0.0, 1e-6, 2.0]], NOTHING)
    assert words_mask(MaskRule(0.0, pool=False), maps, (1, 4)).tolist() == [[[1, 0, 1, 1]]]
    assert not words_mask(MaskRule(1.0), maps, (1, 4)).any()


def test_subtracted_words_cut_a_hole_that_is_not_widened() -> None:
    maps = maps_of([[9.0, 9.0, 9.0, 9.0]], NOTHING, subtract=[[0.0, 5.0, 1.0, 0.0]])
    assert words_mask(MaskRule(), maps, (1, 4)).tolist() == [[[1, 0, 1, 1]]]
    assert words_mask(MaskRule(subtract_threshold=0.1), maps, (1, 4)).tolist() == [[[1, 0, 0, 1]]]
    assert words_mask(MaskRule(subtract_threshold=1.0), maps, (1, 4)).all()
    assert words_mask(MaskRule(threshold=0.0), maps, (1, 4)).tolist() == [[[1, 0, 1, 1]]]


def test_pooling_widens_the_map_by_a_cell() -> None:
    maps = maps_of([[0.0, 0.0, 0.0, 9.0]], NOTHING)
    assert words_mask(MaskRule(), maps, (1, 4)).tolist() == [[[0, 0, 1, 1]]]


# Other thresholds of the same maps


@tries(30)
@given(
    st.tuples(st.integers(2, 3), st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)),
    st.tuples(st.integers(0, 9), st.booleans(), st.booleans()),
    st.integers(0, 999),
)
def test_many_thresholds_make_the_masks_that_each_makes(
    counts: tuple[int, int, int], shape: tuple[int, int, int], options: tuple[int, bool, bool], seed: int
) -> None:
    (prompts, samples, layers), (h, w, larger), (soft, pool, painted) = counts, shape, options
    random, size, rows = torch.Generator().manual_seed(seed), (h * larger, w * larger), Rows(prompts, samples)
    maps = {Layer("middle", i): torch.rand(rows.count, 2, h, w, generator=random) ** 2 for i in range(layers)}
    users = torch.rand(1, *size, generator=random).round() if painted else None
    if users is not None:
        users[0, 0, 0] = 0.5
    thresholds = [0.0, 0.01, 0.25, 0.3, 0.5, 0.99, 1.0, 0.25]
    masks = torch.stack(list(MaskRule(0.7, 0.4, pool, soft, users).at(thresholds, maps, rows, size)), 1)
    assert masks.shape == (len(thresholds), len(rows.edited), *size)
    for threshold, mask in zip(thresholds, masks, strict=True):
        one = words_mask(MaskRule(threshold, 0.4, pool, soft, users), maps, size, rows)
        assert torch.equal(mask, one)


# Layers of several sizes


def test_maps_of_several_sizes_are_brought_to_the_largest() -> None:
    small, large = torch.full((2, 1, 2, 3), 3.0), torch.full((2, 1, 4, 6), 1.0)
    assert torch.equal(mean_map([small, large, large]), torch.full((2, 1, 4, 6), 5 / 3))
    assert torch.equal(mean_map([small]), small)


def test_a_coarse_map_is_interpolated_between_its_cells() -> None:
    """A step from 0 to 1 in a map of half the width becomes a ramp, with 1/4 and 3/4 at cell centres."""
    coarse = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    fine = torch.zeros(1, 1, 1, 4)
    assert mean_map([coarse, fine])[0, 0, 0].tolist() == [0, 0.125, 0.375, 0.5]


def of(stage: str, *numbers: tuple[int, int]) -> list[Layer]:
    return [Layer(stage, number, 0, scale) for number, scale in numbers]


SD15 = of("input", (1, 1), (2, 1), (4, 2), (5, 2), (7, 4), (8, 4)) + of("middle", (0, 8))
SD15 += of("output", (3, 4), (4, 4), (5, 4), (6, 2), (9, 1))
SDXL = of("input", (4, 2), (5, 2), (7, 4), (8, 4)) + of("middle", (0, 4)) + of("output", (0, 4), (3, 2))


@pytest.mark.parametrize(
    ("layers", "latent", "scale"),
    [
        (SD15, (64, 64), 4),
        (SDXL, (128, 128), 4),
        (SD15, (32, 32), 2),
        (SD15, (48, 48), 4),
        (SD15, (96, 40), 2),
        (SD15, (40, 96), 2),
        (SDXL, (104, 152), 4),
        (SDXL, (40, 128), 2),
        (SD15, (16, 16), 1),
        (SD15, (8, 8), 1),
        (SDXL, (16, 16), 2),
        ([Layer("middle", 0, 0, 8)], (64, 64), 8),
        ([Layer("input", 4, 0, 2), Layer("middle", 0, 0, 8)], (128, 128), 2),
    ],
)
def test_maps_are_a_quarter_of_the_latent_or_finer_where_that_is_too_coarse(
    layers: list[Layer], latent: tuple[int, int], scale: int
) -> None:
    assert map_scale(layers, latent) == scale


# A user's mask


def test_a_mask_is_brought_to_the_size_of_the_latent_by_averaging() -> None:
    mask = torch.zeros(1, 4, 6)
    mask[0, :2, :3] = 1
    assert user_mask(mask, PAIR, (2, 3)).tolist() == [[[1, 0.5, 0], [0, 0, 0]]]
    assert torch.equal(user_mask(mask, PAIR, (4, 6)), mask)
    assert torch.equal(user_mask(mask, PAIR, (8, 12)), F.interpolate(mask[:, None], scale_factor=2)[:, 0])


@pytest.mark.parametrize(("count", "order"), [(1, "000000"), (2, "010101"), (6, "012345")])
def test_one_mask_serves_all_and_several_are_for_the_edits(count: int, order: str) -> None:
    masks = torch.arange(1, count + 1).view(-1, 1, 1).expand(-1, 4, 4) / 10
    used = user_mask(masks, Rows(3, 3), (4, 4))
    assert used.shape == (6, 4, 4)
    assert torch.equal(used, masks[[int(n) for n in order]])


def test_another_number_of_masks_is_refused() -> None:
    with pytest.raises(P2PError, match="one for each of 2 edits, or one for each of 6 edited images, got 3"):
        user_mask(torch.ones(3, 4, 4), Rows(3, 3), (4, 4))


def test_a_mask_cuts_the_mask_of_words() -> None:
    maps, mask = maps_of([[9.0, 9.0, 0.0, 0.0]], NOTHING), torch.tensor([[[1.0, 0.5, 0.5, 0.0]]])
    assert words_mask(MaskRule(pool=False, mask=mask), maps, (1, 4)).tolist() == [[[1, 0.5, 0, 0]]]
    soft = words_mask(MaskRule(pool=False, mask=mask, soft=1), maps, (1, 4))
    assert soft.tolist() == [[[1, 0.5, 0.5, 0]]]


# A soft edge


def random_mask(seed: int, kind: str) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    mask = (torch.rand(2, 9, 7, generator=random) < 0.1).float()
    return mask if kind == "hard" else mask * torch.rand(2, 9, 7, generator=random)


def faded(mask: Tensor, cells: int) -> Tensor:
    """The maximum over all cells of their value, limited to 1 minus a share per cell of distance."""
    result = torch.zeros_like(mask)
    _, height, width = mask.shape
    for y in range(height):
        for x in range(width):
            rows = (torch.arange(height) - y).abs()[:, None]
            distance = torch.maximum(rows, (torch.arange(width) - x).abs())
            limit = (1 - distance / (cells + 1)).clamp(min=0)
            here = mask[:, y, x][:, None, None]
            result = torch.maximum(result, torch.where(distance == 0, here, torch.minimum(here, limit)))
    return result


@tries(30)
@given(st.integers(0, 99), st.sampled_from(["hard", "partial"]), st.integers(0, 5))
def test_a_soft_edge_fades_to_zero_over_its_cells(seed: int, kind: str, cells: int) -> None:
    mask = random_mask(seed, kind)
    soft = soft_edge(mask, cells)
    torch.testing.assert_close(soft, faded(mask, cells))
    assert torch.equal(soft == 1, mask == 1)  # exactly 1 inside
    reach = 2 * cells + 1
    near = F.max_pool2d(mask[:, None], reach, stride=1, padding=cells)[:, 0] > 0
    assert torch.equal(soft > 0, near)  # exactly 0 beyond its cells
    assert (soft >= mask).all() and (soft_edge(mask / 2, cells) <= soft).all()  # monotone


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": -0.1}, r"expected a threshold within 0\.\.1, got -0\.1"),
        ({"threshold": 1.5}, r"expected a threshold within 0\.\.1, got 1\.5"),
        ({"threshold": math.nan}, r"expected a threshold within 0\.\.1, got nan"),
        ({"subtract_threshold": 2.0}, r"expected a subtract threshold within 0\.\.1, got 2"),
        ({"soft": -1}, "a soft edge of 0 cells or more, got -1"),
        ({"mask": torch.zeros(1, 4, 4)}, "a mask that covers something, got an empty mask"),
        ({"mask": torch.zeros(0, 4, 4)}, "a mask that covers something, got an empty mask"),
        ({"mask": torch.tensor([[[0.5, math.nan]]])}, "a mask with values from 0 to 1, got one with NaN"),
        ({"mask": torch.tensor([[[0.5, math.inf]]])}, "a mask with values from 0 to 1, got one with NaN"),
        ({"mask": torch.tensor([[[0.5, 255.0]]])}, r"got one from 0\.5 to 255"),
        ({"mask": torch.tensor([[[-1.0, 0.5]]])}, r"got one from -1 to 0\.5"),
    ],
)
def test_what_cannot_be_a_rule_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(P2PError, match=message):
        MaskRule(**options)


@pytest.mark.parametrize("soft", [0, 2])
@pytest.mark.parametrize("pool", [False, True])
def test_frames_have_masks_of_their_own(pool: bool, soft: int) -> None:
    each = torch.rand(3, 2, 2, 4, 5)
    each[..., 0, 0] = 1  # the maximum of each frame is the video's
    rule = MaskRule(0.6, 0.9, pool, soft, (torch.rand(1, 8, 10) > 0.3).float())
    size = (3 * 8, 10)
    video = {MIDDLE: torch.cat(list(each), dim=2)}
    mask = rule.of_maps(video, rule.users_mask(PAIR, size, 3), PAIR, size, 3)
    assert torch.equal(mask, torch.cat([words_mask(rule, {MIDDLE: own}, (8, 10)) for own in each], dim=1))


def test_a_frame_without_the_word_has_no_mask() -> None:
    maps = torch.zeros(2, 2, 2 * 4, 4)
    maps[:, 0, :4] = torch.rand(4, 4) + 1
    maps[:, 0, 4:] = 0.1 * torch.rand(4, 4)
    mask = MaskRule(0.3).of_maps({MIDDLE: maps}, None, PAIR, (8, 4), 2)
    assert mask[:, :4].all() and not mask[:, 4:].any()
