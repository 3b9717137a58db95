"""The plan: the mixing of each prompt, by layer and progress."""

from __future__ import annotations

import copy
import pickle

import planned
import pytest
import torch
from planned import mixing
from prompts_of import made_of, matrix
from torch import Tensor

from p2p_core.architecture.layers import Layer, LayerFilter
from p2p_core.attention.editing import Mixing
from p2p_core.edits.steps import EditMethod, Reweight, TokenEdit
from p2p_core.errors import P2PError
from p2p_core.maps.blending import Blend
from p2p_core.maps.recording import Record
from p2p_core.maps.store import MapStore, word_channel
from p2p_core.plan import EditPlan, require_same
from p2p_core.step import Step
from p2p_core.words.align import align_refine, align_swap
from p2p_core.words.pieces import Piece, build_prompt
from p2p_core.words.prompts import Prompt, PromptSet
from p2p_core.words.weights import parse_weights
from p2p_core.words.windows import Window, WordWindow

MIDDLE, OUTPUT = Layer("middle", 0), Layer("output", 3)
PROMPTS = PromptSet(made_of("a cat on grass"), (made_of("a dog on grass"), made_of("a red*2 dog on a hill")))
NEVER = Window(0, 0)


def plan_of(*steps: Step, prompts: PromptSet = PROMPTS) -> EditPlan:
    return planned.plan_of(prompts, *steps)


def swap(row: int, prompts: PromptSet = PROMPTS) -> Tensor:
    return torch.tensor(matrix(align_swap(prompts.source, prompts.prompts[row])))


def check(found: Mixing | None, mapper: Tensor, alpha: Tensor) -> None:
    assert found is not None
    torch.testing.assert_close(found.from_source, mapper * alpha)
    torch.testing.assert_close(found.own, 1 - alpha)


def columns(prompt: Prompt, *words: str) -> Tensor:
    """[T], 1 in the columns of the words."""
    alpha = torch.zeros(prompt.columns)
    for word in words:
        alpha[list(prompt.find(word))] = 1
    return alpha


@pytest.mark.parametrize("row", [1, 2])
def test_inside_the_cross_window_all_columns_come_from_the_source(row: int) -> None:
    plan = plan_of(TokenEdit(cross=Window(0.2, 0.8)))
    for progress in (0.2, 0.5, 0.79):
        check(mixing(plan, row, MIDDLE, progress), swap(row), torch.ones(77))
    for progress in (0, 0.19, 0.8, 1):
        assert mixing(plan, row, MIDDLE, progress) is None


def test_by_default_cross_attention_is_free_after_40_percent_and_self_attention_after_60() -> None:
    plan = plan_of(TokenEdit())
    progress = [0, 0.39, 0.4, 0.59, 0.6, 1]
    assert [mixing(plan, 1, MIDDLE, p) is not None for p in progress] == [True] * 2 + [False] * 4
    assert [plan.injects(MIDDLE, p) for p in progress] == [True] * 4 + [False] * 2


def test_a_plan_without_edits_does_nothing() -> None:
    assert mixing(plan_of(), 1, MIDDLE, 0) is None
    assert not plan_of().injects(MIDDLE, 0)


@pytest.mark.parametrize("row", [1, 2])
def test_the_window_of_a_word_takes_the_place_of_the_cross_window(row: int) -> None:
    dog = WordWindow("dog", Window(0.5, 1))
    plan, prompt = plan_of(TokenEdit(cross=Window(0, 0.8), words=(dog,))), PROMPTS.prompts[row]
    check(mixing(plan, row, MIDDLE, 0.2), swap(row), 1 - columns(prompt, "dog"))
    check(mixing(plan, row, MIDDLE, 0.6), swap(row), torch.ones(77))
    check(mixing(plan, row, MIDDLE, 1), swap(row), columns(prompt, "dog"))


def test_words_of_one_prompt_leave_the_other_prompts_alone() -> None:
    plan = plan_of(
        TokenEdit(cross=NEVER, words=(WordWindow("red dog", Window()), WordWindow("a[2]", Window())))
    )
    assert mixing(plan, 1, MIDDLE, 0.5) is None
    check(mixing(plan, 2, MIDDLE, 0.5), swap(2), columns(PROMPTS.edits[1], "red dog", "a[2]"))


def test_of_two_windows_of_a_word_the_later_counts() -> None:
    entries = (WordWindow("red dog", NEVER), WordWindow("dog", Window()))
    plan = plan_of(TokenEdit(words=entries))
    check(mixing(plan, 2, MIDDLE, 0), swap(2), 1 - columns(PROMPTS.edits[1], "red"))


def test_layers_outside_the_filter_are_left_alone() -> None:
    plan = plan_of(TokenEdit(layers=LayerFilter("middle")))
    assert mixing(plan, 1, MIDDLE, 0) is not None and plan.injects(MIDDLE, 0)
    assert mixing(plan, 1, OUTPUT, 0) is None and not plan.injects(OUTPUT, 0)


@pytest.mark.parametrize(
    ("cap", "injected"), [(0, [True] * 3), (256, [True, False, False]), (1024, [True, True, False])]
)
def test_a_cap_keeps_self_attention_of_larger_layers_the_edits_own(cap: int, injected: list[bool]) -> None:
    plan = plan_of(TokenEdit(self_tokens=cap))
    assert [plan.injects(MIDDLE, 0, tokens) for tokens in (16**2, 32**2, 64**2)] == injected
    assert not plan.injects(MIDDLE, 0.6, 1)
    assert mixing(plan, 1, MIDDLE, 0) is not None
    other = TokenEdit(self_attention=Window(0, 0.1))
    assert plan_of(TokenEdit(self_tokens=cap), other).injects(MIDDLE, 0, 64**2)


def test_edits_of_a_chain_act_together() -> None:
    early = TokenEdit(cross=Window(0, 0.3), self_attention=Window(0, 0.1), layers=LayerFilter("middle"))
    late = TokenEdit(cross=Window(0.6, 1), self_attention=Window(0.9, 1))
    plan = plan_of(early).then(PROMPTS, late)
    assert plan.steps == (early, late)
    progress = (0, 0.2, 0.5, 0.8, 1)
    for layer, cross, own in [(MIDDLE, "11011", "10001"), (OUTPUT, "00011", "00001")]:
        assert [mixing(plan, 1, layer, p) is not None for p in progress] == [c == "1" for c in cross]
        assert [plan.injects(layer, p) for p in progress] == [c == "1" for c in own]


@pytest.mark.parametrize("order", [("refine", "swap"), ("swap", "refine")])
def test_where_two_edits_act_the_later_goes_over_the_earlier(order: tuple[EditMethod, EditMethod]) -> None:
    """Refinement does not touch added words: after a swap they stay swapped, before one they get swapped."""
    prompts = PromptSet(made_of("a cat on grass"), (made_of("a red dog on grass"),))
    refined = align_refine(prompts.source, prompts.edits[0])
    swapped, taken = swap(1, prompts), torch.tensor(refined.alpha)
    assert 0 < taken.mean() < 1
    over = swapped * (1 - taken) + torch.tensor(matrix(refined)) * taken
    plan = plan_of(*(TokenEdit(method) for method in order), prompts=prompts)
    check(mixing(plan, 1, MIDDLE, 0), over if order[1] == "refine" else swapped, torch.ones(77))


def test_prompts_of_several_chunks() -> None:
    prompts = PromptSet(made_of("w " * 80 + "cat"), (made_of("a dog"),))
    check(mixing(plan_of(TokenEdit(), prompts=prompts), 1, MIDDLE, 0), swap(1, prompts), torch.ones(77))
    assert swap(1, prompts).shape == (154, 77)


def test_plans_are_values() -> None:
    plan = plan_of(TokenEdit(words=(WordWindow("dog", NEVER),)))
    for again in (copy.deepcopy(plan), pickle.loads(pickle.dumps(plan))):
        assert again == plan and hash(again) == hash(plan)
    longer = plan.then(PROMPTS, TokenEdit())
    assert longer != plan and len(plan.steps) == 1


def test_steps_are_kept_in_their_order_and_found_by_kind() -> None:
    edit, weights, record = TokenEdit(), Reweight(parse_weights("dog: 2")), Record((), MapStore())
    plan = plan_of(edit, record, weights)
    assert plan.steps == (edit, record, weights)
    assert list(plan.of(Reweight)) == [weights] and list(plan.of(TokenEdit)) == [edit]
    assert list(plan.of(Blend)) == []


@pytest.mark.parametrize(
    ("step", "timed"),
    [
        (TokenEdit(), True),
        (TokenEdit(cross=Window(), self_attention=NEVER), False),
        (TokenEdit(cross=Window(), self_attention=NEVER, words=(WordWindow("dog", Window(0, 0.5)),)), True),
        (Reweight(parse_weights("dog: 2"), Window(), Window()), False),
        (Reweight(parse_weights("dog: 2")), True),
        (Record((word_channel("dog", PROMPTS),), MapStore()), False),
        (Record((word_channel("dog", PROMPTS),), MapStore(), window=Window(0.5, 1)), True),
        (Record((word_channel("dog", PROMPTS),), MapStore(), parts=2), True),
        (Blend(("cat",), (), (), MapStore(), start=0.0), False),
        (Blend(("cat",), (), (), MapStore(), start=0.2), True),
    ],
)
def test_a_plan_is_timed_where_anything_depends_on_progress(step: Step, timed: bool) -> None:
    """Otherwise a host need not read the noise level of a call."""
    assert plan_of().timed is False
    assert plan_of(step).timed == timed


# Bad input


def test_a_window_for_a_word_that_no_edit_prompt_has_is_refused() -> None:
    for word in ("cat", "dog[2]", "on grass hill"):
        with pytest.raises(P2PError, match=r"Use one of its words: a, dog, on, grass\.") as error:
            plan_of(TokenEdit(words=(WordWindow("grass", NEVER), WordWindow(word, NEVER))))
        assert repr(word) in error.value.got


def test_prompts_of_another_pair_are_refused() -> None:
    others = PromptSet(PROMPTS.source, PROMPTS.edits[:1])
    with pytest.raises(P2PError, match="the prompts of the earlier edits") as error:
        plan_of().then(others, TokenEdit())
    assert error.value.expected.endswith("'a cat on grass' → 'a dog on grass' → 'a red*2 dog on a hill'")
    assert error.value.got == "'a cat on grass' → 'a dog on grass'"
    require_same(PROMPTS, copy.deepcopy(PROMPTS))


def test_the_same_text_from_another_tokenizer_is_refused_and_said() -> None:
    source, (first, second) = PROMPTS.source, PROMPTS.edits
    other = build_prompt(first.text, [Piece("", "special"), *[Piece("x")] * 3, *[Piece("", "special")] * 73])
    with pytest.raises(P2PError, match="got the same text with another encoding"):
        require_same(PROMPTS, PromptSet(source, (other, second)))


# In words


@pytest.mark.parametrize(
    ("source", "edit", "line"),
    [
        ("a cat on grass", "a dog on grass", "swap: cat → dog · kept: 3 words"),
        ("a cat on grass", "a red dog on a hill", "swap: cat → red dog, grass → a hill · kept: 2 words"),
        ("a cat", "a red cat", "swap: cat → red cat · kept: 1 word"),
        ("a cat", "a cat", "swap: nothing · kept: 2 words"),
    ],
)
def test_describe(source: str, edit: str, line: str) -> None:
    prompts = PromptSet(made_of(source), (made_of(edit), made_of(edit)))
    assert plan_of(TokenEdit(), prompts=prompts).describe() == f"{line}\n{line}"


FLUFFY = "a photo of a cat on the grass", "a photo of a fluffy dog on the grass at night"


@pytest.mark.parametrize(
    ("method", "source", "edit", "line"),
    [
        ("edit", *FLUFFY, "swap: cat → fluffy dog · added: at night · kept: 7 words"),
        ("edit", *FLUFFY[::-1], "swap: fluffy dog → cat · removed: at night · kept: 7 words"),
        ("edit", "a cat", "a red*2 cat , asleep", "added: red, , asleep · kept: 2 words"),
        ("edit", "old cat here", "cat there", "swap: here → there · removed: old · kept: 1 word"),
        ("edit", "a cat", "a cat", "nothing to change · kept: 2 words"),
        ("edit", "cat", "dog", "swap: cat → dog · kept: 0 words"),
        ("refine", *FLUFFY, "added: fluffy dog, at night · removed: cat · kept: 7 words"),
        ("refine", "a big cat here", "a cat there", "added: there · removed: big, here · kept: 2 words"),
        ("refine", "a cat", "a cat", "nothing to change · kept: 2 words"),
    ],
)
def test_describe_other_methods(method: EditMethod, source: str, edit: str, line: str) -> None:
    prompts = PromptSet(made_of(source), (made_of(edit),))
    assert plan_of(TokenEdit(method), prompts=prompts).describe() == line


def test_describe_without_edits_and_with_weights() -> None:
    assert plan_of().describe() == "the edit prompt alone\nthe edit prompt alone"
    prompts = PromptSet(made_of("a cat"), (made_of("a dog"),))
    plan = plan_of(TokenEdit(), Reweight(parse_weights("dog: 0.5, a: -2")), prompts=prompts)
    assert plan.describe() == "swap: cat → dog · kept: 1 word · weights: dog × 0.5, a × -2"
    assert EditPlan(PromptSet(prompts.source, ())).describe() == ""


def test_describe_tells_every_edit_of_a_chain() -> None:
    prompts = PromptSet(made_of("a cat"), (made_of("a red dog"),))
    swapped, refined = "swap: cat → red dog · kept: 1 word", "added: red dog · removed: cat · kept: 1 word"
    chain = TokenEdit("swap"), TokenEdit("refine"), Reweight(parse_weights("red: 2"))
    assert plan_of(*chain, prompts=prompts).describe() == f"{swapped} · {refined} · weights: red × 2"
    assert plan_of(*chain[:2][::-1], prompts=prompts).describe() == f"{refined} · {swapped}"
    assert plan_of(*chain[:1], *chain[:1], prompts=prompts).describe() == f"{swapped} · {swapped}"
