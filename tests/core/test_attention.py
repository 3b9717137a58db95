"""The algebra in value space, compared with the paper's own form, which materialises and edits maps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from attending import Shapes, attention
from hypothesis import given
from paper_form import KINDS, Case, batch, cases, maps, random_mixing, weighted
from planned import mixing, plan_of
from prompts_of import made_of, tries
from torch import Tensor

from p2p_core.architecture.layers import Layer
from p2p_core.attention.editing import (
    Attend,
    Mixing,
    RowEdit,
    edit_cross,
    edit_self,
    prepare_cross,
    prepare_self,
)
from p2p_core.edits.steps import TokenEdit
from p2p_core.errors import P2PError
from p2p_core.words.prompts import PromptSet
from p2p_core.words.windows import Window, WordWindow


def close(result: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """The distance of float32 sums over a thousand repeated keys from float64."""
    torch.testing.assert_close(result.double(), expected, atol=tolerance, rtol=tolerance)


def edited(case: Case, attend: Attend, again: Attend | None = None) -> Tensor:
    """Cross-attention of the case with its edits."""
    edit = prepare_cross(case.edits, case.k.shape[1], case.v, len(case.v))
    return edit_cross(case.q, case.k, case.v, edit, attend, again)


def injected(case: Case, attend: Attend) -> Tensor:
    """Self-attention of q, k, v made of the case's q, with the source's map in its edited rows."""
    return edit_self(*self_attention_of(case), prepare_self(case.edits, case.q, len(case.q)), attend)


def self_attention_of(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    return case.q, case.q.flip(1), case.q.flip(2)


# Cross-attention


@tries(80)
@given(cases())
def test_edits_of_values_are_the_papers_edits_of_maps(case: Case) -> None:
    close(edited(case, attention(case.heads)), case.paper())


PAIRS = [
    ("a cat*2 on grass", "a rhino*3 on grass"),
    ("a cat on grass", "a cat on a brick*2 wall grass"),
    ("a " * 90 + "cat", "a dog*2"),
    ("a cat", "a " * 70 + "dog*9 on grass"),
]


@pytest.mark.parametrize("progress", [0.0, 0.3, 0.7])
@pytest.mark.parametrize(("source", "edit"), PAIRS)
def test_plans_are_the_papers_edits_of_maps(source: str, edit: str, progress: float) -> None:
    prompts = PromptSet(made_of(source), (made_of(edit),))
    words = (WordWindow("grass", Window(0.2, 0.6)),) if "grass" in edit else ()
    plan = plan_of(prompts, TokenEdit(cross=Window(0, 0.5), words=words))
    case = batch(2, 4, 5, [prompt.columns for prompt in prompts.prompts], 1, seed=0)
    case.edits.append(RowEdit(1, 0, mixing(plan, 1, Layer("middle", 0), progress)))
    result = edited(case, attention(2))
    close(result, case.paper())
    assert torch.equal(result, attention(2)(case.q, case.k, case.v)) == (progress == 0.7)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 4e-2)])
def test_half_precision_stays_and_stays_near(dtype: torch.dtype, tolerance: float) -> None:
    case = batch(2, 8, 9, [5, 7, 5], 1, seed=0)
    case.q, case.k, case.v = (t.to(dtype) for t in (case.q, case.k, case.v))
    case.edits = [
        RowEdit(1, 0, random_mixing(5, 7, "soft", 1)),
        RowEdit(2, 0, random_mixing(5, 5, "closed", 2)),
    ]
    result = edited(case, attention(2))
    assert result.dtype == dtype
    close(result, case.paper(), tolerance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_shares_that_half_precision_cannot_represent_are_summed_in_float32(dtype: torch.dtype) -> None:
    """A word of one token swapped for one of three: each column gets a third."""
    shares = torch.zeros(4, 6)
    shares[0, 0] = shares[3, 5] = 1
    shares[1, 1:4], shares[2, 4] = 1 / 3, 1
    case = batch(2, 32, 9, [12, 12], 1, seed=0)
    case.k, case.v = case.k.to(dtype), case.v.to(dtype)
    edit = prepare_cross([RowEdit(1, 0, Mixing(shares, torch.zeros(6)))], 12, case.v, 2)
    result = edit_cross(case.q, case.k, case.v, edit, lambda q, k, v: v)
    expected = torch.zeros(12, 12)
    expected[:4, :6] = expected[4:8, :6] = expected[8:, :6] = shares
    assert torch.equal(result[0], case.v[0]) and result.dtype == dtype
    assert torch.equal(result[1], (expected @ case.v[1].float()).to(dtype))


@tries(40)
@given(cases())
def test_rows_without_an_edit_are_the_hosts_own_to_the_bit(case: Case) -> None:
    attend = attention(case.heads)
    plain, result = attend(case.q, case.k, case.v), edited(case, attend)
    mixed = {edit.row for edit in case.edits if edit.mixing is not None}
    for row in range(len(plain)):
        assert row in mixed or torch.equal(result[row], plain[row])
    case.edits = [RowEdit(edit.row, edit.source) for edit in case.edits]
    assert torch.equal(edited(case, attend), plain)


@tries(40)
@given(cases())
def test_what_comes_in_is_not_written(case: Case) -> None:
    given_tensors = [case.q, case.k, case.v]
    given_tensors += [
        t for e in case.edits if e.mixing is not None for t in (e.mixing.from_source, e.mixing.own)
    ]
    before = [(t.clone(), t._version) for t in given_tensors]
    edited(case, attention(case.heads))
    injected(case, attention(case.heads))
    for tensor, (copy, version) in zip(given_tensors, before, strict=True):
        assert torch.equal(tensor, copy) and tensor._version == version


def test_the_second_call_is_for_rows_that_keep_some_of_their_own_and_may_have_its_own_attention() -> None:
    calls: list[tuple[str, int]] = []

    def named(name: str) -> Attend:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            calls.append((name, q.shape[0]))
            return attention(1)(q, k, v)

        return attend

    case = batch(1, 4, 3, [5, 5, 5, 5], 1, seed=0)
    case.edits = [
        RowEdit(row, 0, random_mixing(5, 5, kind, 0))
        for row, kind in [(1, "soft"), (2, "open"), (3, "closed")]
    ]
    edited(case, named("first"), named("own"))
    edited(replace(case, edits=case.edits[:1]), named("first"))
    edited(replace(case, edits=case.edits[1:]), named("first"), named("own"))
    assert calls == [("first", 4), ("own", 1), ("first", 4), ("first", 1), ("first", 4)]


@pytest.mark.parametrize("keys", [4, 8, 10])
def test_keys_that_are_not_the_prompts_columns_are_refused(keys: int) -> None:
    edit = RowEdit(1, 0, Mixing(torch.ones(6, 4), torch.zeros(4)))
    with pytest.raises(P2PError, match=f"got {keys} key tokens") as error:
        prepare_cross([edit], keys, torch.zeros(2, keys, 4), 2)
    assert "4 tokens" in error.value.expected


def test_an_edit_prepared_in_inference_mode_serves_where_gradients_are_recorded() -> None:
    """As in null-text inversion, after a sampling."""
    prompts = PromptSet(made_of("a cat"), (made_of("an owl"),))
    case = batch(1, 4, 3, [77, 77], 1, seed=0)
    with torch.inference_mode():
        owl = mixing(plan_of(prompts, TokenEdit()), 1, Layer("middle", 0), 0.0)
        edit = prepare_cross([RowEdit(1, 0, owl)], 77, case.v, 2)
    v = case.v.clone().requires_grad_()
    edit_cross(case.q, case.k, v, edit, attention(1)).sum().backward()
    assert v.grad is not None and v.grad.any()


# Self-attention


@tries(40)
@given(cases())
def test_injected_self_attention_is_the_sources_map_on_the_edits_values(case: Case) -> None:
    (q, k, v), sources = self_attention_of(case), {e.row: e.source for e in case.edits}
    result = injected(case, attention(case.heads))
    expected = [
        weighted(maps(q[s], k[s], case.heads), v[r]) for r in range(len(q)) for s in [sources.get(r, r)]
    ]
    close(result, torch.stack(expected))
    plain = attention(case.heads)(q, k, v)
    assert all(torch.equal(result[row], plain[row]) for row in range(len(q)) if row not in sources)
    assert torch.equal(edit_self(q, k, v, None, attention(case.heads)), plain)


# No map is materialised


def mapping_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT, dim=-1) @ v


@pytest.mark.parametrize("attend", [attention(2), mapping_attention], ids=["fused", "map built"])
def test_no_map_is_built_and_one_would_be_seen(attend: Attend) -> None:
    pixels, columns = 48, 35
    case = batch(2, 8, pixels, [columns] * 4, 1, seed=0)
    kinds = list(enumerate(KINDS[:4]))[1:]
    case.edits = [RowEdit(row, 0, random_mixing(columns, columns, kind, 0)) for row, kind in kinds]
    with Shapes() as shapes:
        edited(case, attend)
        injected(case, attend)
    assert (pixels, 16) in shapes.seen
    assert bool(shapes.seen & {(pixels, columns), (columns, pixels), (pixels, pixels)}) == (
        attend is mapping_attention
    )
