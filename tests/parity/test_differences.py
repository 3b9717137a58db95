"""Deliberate differences from the published algorithm (docs/adr/0010, 0013)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from beside import (
    PICTURES,
    STAR,
    STEPS,
    WITHIN,
    apart,
    as_published,
    blend,
    noise_of,
    ours_of,
    pipe,
    swap,
    theirs_of,
    weigh,
)
from torch import Tensor

from benchmarks.reference.paper_controller import (
    TOKENS,
    Controller,
    LocalBlend,
    Reweight,
    equalizer_row,
    refinement_mapper,
    replacement_mapper,
    word_alphas,
)
from p2p_core.architecture.layers import Layer
from p2p_core.edits.columns import mixing_of
from p2p_core.edits.steps import EditMethod
from p2p_core.errors import P2PError
from p2p_core.plan import EditPlan
from p2p_core.words.align import Alignment, align_edit, align_refine, align_swap
from p2p_core.words.prompts import Prompt
from p2p_core.words.windows import Window, WordWindow

pytestmark = pytest.mark.parity


# Deliberate differences: alignment


@dataclass(frozen=True, eq=False)
class Given:
    """Our alignment as an edit of the literal controller. mapper: [E, 77, 77]; alphas: [E, 77]."""

    mapper: Tensor
    alphas: Tensor

    def __call__(self, source: Tensor, edits: Tensor) -> Tensor:
        alphas = self.alphas[:, None, None]
        return torch.einsum("hps,est->ehpt", source, self.mapper) * alphas + edits * (1 - alphas)


def given(align: Callable[[Prompt, Prompt], Alignment], texts: Sequence[str]) -> Given:
    source, *edits = pipe().prompts(*texts).prompts
    aligned = [align(source, edit) for edit in edits]
    return Given(
        torch.stack([matrix(a) for a in aligned]), torch.stack([torch.tensor(a.alpha) for a in aligned])
    )


def matrix(alignment: Alignment) -> Tensor:
    """[77, 77]."""
    dense = torch.zeros(TOKENS, TOKENS)
    for s, e, share in alignment.mapper:
        dense[s, e] = share
    return dense


def assert_only_the_alignment_differs(
    texts: Sequence[str], method: EditMethod, align: Any, published: str
) -> None:
    noise = noise_of()
    mine = ours_of(texts, (as_published(method),), noise)
    assert apart(mine, theirs_of(texts, noise, edit=published)) > 10 * WITHIN
    assert apart(mine, theirs_of(texts, noise, edit=given(align, texts))) < WITHIN


def aligned(texts: Sequence[str], align: Callable[[Prompt, Prompt], Alignment]) -> Tensor:
    """Our mapper, [77, 77]."""
    return matrix(align(*pipe().prompts(*texts).prompts))


def refined(texts: tuple[str, str]) -> Tensor:
    """The published mapper as a matrix, [77, 77]."""
    mapper, alphas = refinement_mapper(*texts, pipe().tokenizer)
    dense = torch.zeros(TOKENS, TOKENS)
    dense[mapper, torch.arange(TOKENS)] = alphas
    return dense


def test_after_a_swap_of_unequal_token_counts_words_keep_their_partners() -> None:
    texts = ("a red house in the sky", "a red mushroom in the sky")
    theirs, mine = replacement_mapper(*texts, pipe().tokenizer), aligned(texts, align_swap)
    assert torch.equal(theirs[:, :5], mine[:, :5])  # up to the swapped word
    in_the_sky = pipe().prompt(texts[1]).find("in the sky")
    assert [int(mine[:, c].argmax()) for c in in_the_sky] == [4, 5, 6]
    assert [int(theirs[:, c].argmax()) for c in in_the_sky] == [5, 6, 7]  # "the", "sky", the end
    assert float(theirs[4].sum()) == 0  # the attention on "in" is lost
    assert_only_the_alignment_differs(texts, "swap", align_swap, "replace")


def test_a_shorter_word_leaves_its_second_token_to_the_next_word_in_theirs() -> None:
    texts = ("a red mushroom in the sky", "a red house in the sky")
    theirs, mine = replacement_mapper(*texts, pipe().tokenizer), aligned(texts, align_swap)
    assert (float(theirs[4, 4]), float(mine[4, 4])) == (1, 0)
    assert (float(theirs[4].sum()), float(mine[4].sum())) == (2, 1)
    assert_only_the_alignment_differs(texts, "swap", align_swap, "replace")


def test_unequal_word_counts_are_swapped_where_theirs_refuses() -> None:
    texts = ("a green tree in the sky", "a green tree on a brick wall")
    with pytest.raises(ValueError, match="equally many words"):
        Controller(pipe().tokenizer, texts, STEPS, "replace")
    noise = noise_of()
    mine = ours_of(texts, (swap(),), noise)
    assert apart(mine, theirs_of(texts, noise, edit=given(align_swap, texts))) < WITHIN


def test_padding_keeps_its_attention_when_words_are_added() -> None:
    """The published code pairs padding by column, so the first column of the source's padding is lost."""
    texts = ("a red house", "a red house at night")
    theirs, mine = refined(texts), aligned(texts, align_refine)
    after_the_end = [5, 6]
    assert theirs[after_the_end].sum(1).tolist() == [0, 0]
    assert torch.allclose(mine.sum(1), torch.ones(TOKENS))
    assert_only_the_alignment_differs(texts, "refine", align_refine, "refine")


def test_after_removed_words_the_end_is_given_once() -> None:
    """Both drop the attention on removed words; the published code passes the end's to padding again."""
    texts = ("a red house on sand", "a house on sand")
    theirs, mine = refined(texts), aligned(texts, align_refine)
    red, end = 2, 6
    assert (float(theirs[red].sum()), float(mine[red].sum())) == (0, 0)
    assert (float(theirs[end].sum()), float(mine[end].sum())) == (2, 1)
    assert_only_the_alignment_differs(texts, "refine", align_refine, "refine")


def test_the_edit_method_swaps_and_refines_at_once() -> None:
    """The published code does one or the other; with our alignment, it does the same as ours."""
    texts = ("a red house on sand", "a pink house on sand at night")
    noise = noise_of()
    mine = ours_of(texts, (as_published("edit"),), noise)
    assert apart(mine, theirs_of(texts, noise, edit=given(align_edit, texts))) < WITHIN
    assert apart(mine, theirs_of(texts, noise, edit="refine")) > 10 * WITHIN


def test_punctuation_is_a_word_of_its_own() -> None:
    """The published code splits at spaces: a comma is swapped with the word before it, and not found."""
    texts = ("a red star, a house", "a red mushroom, a house")
    assert word_alphas(texts, STEPS, {"default_": 0.0, "mushroom": 1.0}, pipe().tokenizer).sum() == 0
    assert pipe().prompt(texts[1]).find("mushroom") == (3, 4)
    theirs, mine = replacement_mapper(*texts, pipe().tokenizer), aligned(texts, align_swap)
    comma = 4
    assert theirs[comma, 3:6].tolist() == pytest.approx([1 / 3] * 3)
    assert mine[comma, 3:6].tolist() == [0, 0, 1]


# Deliberate differences: weights


def test_weights_hold_outside_the_window_of_a_word_too() -> None:
    """The published code weights only the source's part; ours also weights the word's own map."""
    noise = noise_of()
    edit = swap(words=(WordWindow("star", Window(0, 0.4)),))
    theirs = theirs_of(
        STAR,
        noise,
        edit="replace",
        cross_replace={"default_": 0.8, "star": 0.4},
        equalizer={"star": 3},
    )
    assert apart(ours_of(STAR, (edit, weigh("star: 3")), noise), theirs) > 10 * WITHIN
    assert apart(ours_of(STAR, (edit, weigh("star: 3", cross=Window(0, 0.4))), noise), theirs) < WITHIN


def test_weights_alone_leave_changed_words_their_own_attention() -> None:
    """The published code passes the source's columns on in order, as in its swap of equal token counts."""
    noise = noise_of()
    weights = {"star": 3}
    alone = theirs_of(STAR, noise, edit="reweight", equalizer=weights)
    refined = theirs_of(STAR, noise, edit="refine", equalizer=weights)
    assert apart(ours_of(STAR, (weigh("star: 3"),), noise), refined) < WITHIN
    assert apart(ours_of(STAR, (swap(), weigh("star: 3")), noise), alone) < WITHIN
    assert apart(alone, refined) > 10 * WITHIN


def test_every_edit_has_its_own_columns_of_a_weighted_word() -> None:
    """The published code finds the word in the first edit, and weights its columns in all edits."""
    texts = ("a red house", "a red star", "a purple star")
    theirs = Controller(pipe().tokenizer, texts, STEPS, "replace", equalizer={"star": 3}).edit
    assert isinstance(theirs, Reweight)
    assert theirs.equalizer.ne(1).nonzero().tolist() == [[0, 3]]
    plan = EditPlan(pipe().prompts(*texts), (swap(cross=Window(0, 0)), weigh("star: 3")))
    for key, column in zip(plan.mixing_keys(Layer("input", 1), 0.0), (3, 4), strict=True):
        mixing = None if key is None else mixing_of(plan.prompts, key)
        assert mixing is not None
        assert mixing.own.ne(1).nonzero().tolist() == [[column]]


def test_a_word_that_is_not_there_is_an_error() -> None:
    """The published code skips it."""
    assert equalizer_row(STAR[1], {"circle": 4}, pipe().tokenizer).unique().tolist() == [1]
    with pytest.raises(P2PError, match="circle"):
        EditPlan(pipe().prompts(*STAR)).then(pipe().prompts(*STAR), weigh("circle: 4"))


# Deliberate differences: the schedule, and the layers of self-attention


def progress_of(call: int, calls: int) -> float:
    """As in DemoPipeline.sample."""
    return call * 1000 // calls / 999


def idle(controller: Controller) -> None:
    """One call of the U-Net, with a single cross-attention layer."""
    controller(torch.full((4, 1, TOKENS), 1 / TOKENS), is_cross=True)


def test_progress_is_time_where_theirs_counts_calls() -> None:
    """With two calls per step, the published window ends before half of the sampling; then the count ends."""
    controller = Controller(pipe().tokenizer, STAR, STEPS, "replace")
    plan = EditPlan(pipe().prompts(*STAR), (swap(),))
    layer = Layer("input", 1)
    for _ in range(2 * 4):
        idle(controller)
    assert controller.alphas[controller.step].sum() == 0
    assert plan.mixing_keys(layer, progress_of(4, STEPS)) != (None,)
    for _ in range(3):
        idle(controller)
    with pytest.raises(IndexError):
        idle(controller)


@pytest.mark.parametrize(("calls", "theirs", "mine"), [(10, 4, 4), (50, 20, 20), (12, 4, 5), (24, 9, 10)])
def test_a_window_ends_at_its_time_where_theirs_rounds_down(calls: int, theirs: int, mine: int) -> None:
    """Self-attention until 0.4."""
    assert Controller(pipe().tokenizer, STAR, calls, "replace").self_calls == (0, theirs)
    plan = EditPlan(pipe().prompts(*STAR), (swap(),))
    active = [plan.injects(Layer("input", 1), progress_of(i, calls)) for i in range(calls)]
    assert active == [True] * mine + [False] * (calls - mine)


def test_local_blend_starts_at_its_time_where_theirs_waits_for_one_call_more() -> None:
    """A start of 0.2 with 10 steps: call 2 is at 0.2002."""
    noise = noise_of()
    theirs = theirs_of(STAR, noise, edit="replace", blend=LocalBlend(PICTURES))
    one_less = theirs_of(STAR, noise, edit="replace", blend=LocalBlend(PICTURES, start=0.1))
    at_once = ours_of(STAR, (swap(), blend("house", "star", start=0.2)), noise)
    assert apart(at_once, one_less) < WITHIN
    assert apart(at_once, theirs) > 10 * WITHIN


@pytest.mark.parametrize("side", [16, 32, 33])
def test_self_attention_is_replaced_in_layers_of_any_size(side: int) -> None:
    """The published code replaces it up to 32² (first notebooks: 16²); ours only with a cap."""
    maps = torch.rand(4, side**2, 1).expand(-1, -1, side**2)
    for cap in (16**2, 32**2):
        controller = Controller(pipe().tokenizer, STAR, STEPS, "replace", self_cap=cap)
        replaced = torch.equal(*controller(maps, is_cross=False)[2:])
        capped, free = swap(self_tokens=cap), swap()
        assert replaced == capped.injects(Layer("input", 1), 0.0, side**2) == (side**2 <= cap)
        assert free.injects(Layer("input", 1), 0.0, side**2)
