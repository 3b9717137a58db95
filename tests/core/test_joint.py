"""Joint attention edited in value space against its maps, built in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from einops import rearrange
from hypothesis import given
from hypothesis import strategies as st
from joint_form import Case, attend, attend_merged, joint_case, joint_cases
from prompts_of import tries
from torch import Tensor

from p2p_core.architecture.dit import Tokens
from p2p_core.attention.joint import edit_joint
from p2p_core.attention.probing import joint_maps

FLUX = Tokens().layout(5, (1, 16, 6, 8))


def close(result: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=1e-5)


@tries(150)
@given(joint_cases())
def test_edits_of_values_are_the_edits_of_maps(case: Case) -> None:
    close(edit_joint(case.call, case.edits, attend, case.outside), case.expected())


@tries(40)
@given(joint_cases())
def test_merged_heads_give_the_same(case: Case) -> None:
    heads = case.call.q.shape[1]
    result = edit_joint(case.merged(), case.edits, attend_merged(heads), case.outside)
    close(rearrange(result, "b n (h c) -> b h n c", h=heads), case.expected())


@tries(40)
@given(joint_cases())
def test_image_queries_alone_give_their_part(case: Case) -> None:
    result = edit_joint(case.call.of_image(), case.edits, attend, case.outside)
    close(result, case.call.image.of(case.expected()))


@tries(60)
@given(joint_cases(), st.integers(1, 20))
def test_maps_of_words_are_columns_of_the_edited_map(case: Case, words: int) -> None:
    """More words than a head is wide, and tokens of images, too."""
    indicators = torch.rand(len(case.call.q), case.call.layout.total, words).round()
    result = joint_maps(case.call, case.call.q.shape[1], case.edits, indicators, case.outside)
    expected = case.expected(indicators[:, None].expand(-1, case.call.k.shape[1], -1, -1))
    close(result, case.call.image.of(expected).mean(1))


@tries(40)
@given(joint_cases())
def test_rows_without_an_edit_and_other_queries_are_the_hosts_own(case: Case) -> None:
    plain = case.call.run(attend)
    result = edit_joint(case.call, case.edits, attend, case.outside)
    edited = {row for edit in case.edits for row in edit.rows.tolist()}
    for row in range(len(plain)):
        if row not in edited:
            assert torch.equal(result[row], plain[row])
    torch.testing.assert_close(case.call.image.others(result), case.call.image.others(plain))


@tries(40)
@given(joint_cases())
def test_what_comes_in_is_not_written(case: Case) -> None:
    before = [(t, t.clone(), t._version) for t in case.call.qkv]
    edit_joint(case.call, case.edits, attend, case.outside)
    for tensor, copy, version in before:
        assert torch.equal(tensor, copy) and tensor._version == version


@pytest.mark.parametrize("outside", ["own columns", "own mass"])
@pytest.mark.parametrize("inject", [False, True])
def test_an_edit_of_equal_rows_changes_nothing(outside, inject: bool) -> None:
    """A row edited from a copy of itself by the identity is the plain row."""
    case = joint_case(FLUX, [("open", inject)], 1, outside)
    (edit,) = case.edits
    call = case.call.with_rows(edit.rows, case.call.rows(edit.sources))
    same = replace(edit, from_source=torch.eye(5)[None], own=None)
    torch.testing.assert_close(edit_joint(call, [same], attend, outside), call.run(attend))


@pytest.mark.parametrize(("form", "injects"), [("inject", True), ("own mass", False)])
def test_a_swap_keeps_the_sum_of_each_row(form: str, injects: bool) -> None:
    case = joint_case(FLUX, [("open", injects)], 2, "own mass")
    (edit,) = case.edits
    swap = torch.eye(5)[[0, 2, 1, 3, 4]].expand(2, -1, -1)
    ones = replace(case.call, v=torch.ones_like(case.call.v))
    result = edit_joint(ones, [replace(edit, from_source=swap, own=None)], attend, "own mass")
    torch.testing.assert_close(result, torch.ones_like(result))


def test_a_swap_inside_the_self_window_costs_the_other_queries_only() -> None:
    sizes: list[tuple[int, int]] = []

    def counted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        sizes.append((q.shape[0], q.shape[-2]))
        return attend(q, k, v, mask)

    case = joint_case(FLUX, [("open", True)], 1, "own mass")
    edit_joint(case.call, case.edits, counted)
    assert sizes == [(2, FLUX.total), (1, FLUX.text.count)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_and_stays_near(dtype: torch.dtype) -> None:
    case = joint_case(FLUX, [("soft", True), ("soft", False)], 1, "own mass")
    q, k, v = (t.to(dtype) for t in case.call.qkv)
    case.call = replace(case.call, q=q, k=k, v=v)
    result = edit_joint(case.call, case.edits, attend)
    assert result.dtype == dtype
    torch.testing.assert_close(result.double(), case.expected(), atol=6e-2, rtol=4e-2)
