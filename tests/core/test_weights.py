"""Weights of words: their syntax, and their effect in a plan."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planned import mixing, plan_of
from prompts_of import made_of, matrix, tries
from torch import Tensor

from p2p_core.architecture.layers import Layer, LayerFilter
from p2p_core.attention.editing import Mixing
from p2p_core.edits.steps import Reweight, TokenEdit
from p2p_core.errors import P2PError
from p2p_core.plan import EditPlan, require_same
from p2p_core.words.align import align_refine, align_swap
from p2p_core.words.prompts import PromptSet
from p2p_core.words.weights import WordWeight, parse_weights
from p2p_core.words.windows import Window

MIDDLE, OUTPUT = Layer("middle", 0), Layer("output", 3)
SOURCE = made_of("a cat*2 on grass")
ALONE = PromptSet(SOURCE, ())
PAIR = PromptSet(SOURCE, (made_of("a red dog on grass"), made_of("a cat*2 on a hill")))
ALWAYS, NEVER = Window(), Window(0, 0)


def pairs(text: str) -> list[list[tuple[str, float]]]:
    return [[(entry.word, entry.weight) for entry in block] for block in parse_weights(text).blocks]


# As users write them


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("fluffy: 4", [[("fluffy", 4)]]),
        ("fluffy:4, pink : -1;\n red car: 0", [[("fluffy", 4), ("pink", -1), ("red car", 0)]]),
        ("cat[2]: .5\n\n(red car:1.2): 1e1", [[("cat[2]", 0.5), ("(red car:1.2)", 10)]]),
        ("embedding:foo: +2", [[("embedding:foo", 2)]]),
        ("cat: 2\n---\ndog: 3\n ---\t\nowl: 1", [[("cat", 2)], [("dog", 3)], [("owl", 1)]]),
        ("cat: 2\n---\n", [[("cat", 2)], []]),
        ("---\r\ncat: 2", [[], [("cat", 2)]]),
        ("cat: 2, cat: 3", [[("cat", 2), ("cat", 3)]]),
    ],
)
def test_spellings_of_weights(text: str, blocks: list[list[tuple[str, float]]]) -> None:
    assert pairs(text) == blocks


@tries(60)
@given(st.floats(-10_000, 10_000))
def test_every_moderate_number_is_a_weight(weight: float) -> None:
    assert pairs(f"cat: {weight!r}") == [[("cat", weight)]]


@pytest.mark.parametrize(
    "entry",
    ["fluffy", "fluffy 4", "fluffy:", ": 4", "fluffy: x", "fluffy: 4x", "fluffy: 4 5", "fluffy: 40%",
     "fluffy: nan", "fluffy: inf", "fluffy: -inf", "fluffy: 1e999", "fluffy: 1e20", "fluffy: -10001",
     "fluffy: 0." + "0" * 40],
)  # fmt: skip
def test_what_is_no_weight_is_shown_with_the_fix(entry: str) -> None:
    with pytest.raises(P2PError, match="a word, a colon and a number") as error:
        parse_weights(f"cat: 2, {entry}\n")
    assert error.value.got == repr(entry)
    assert error.value.hint.startswith("1 = unchanged")


@pytest.mark.parametrize("text", ["", " \n", ",;", "---", "\n---\n---\n"])
def test_no_weights_at_all_are_refused(text: str) -> None:
    with pytest.raises(P2PError, match="Write at least one") as error:
        parse_weights(text)
    assert error.value.got == repr(text)


def test_a_block_is_for_its_edit_and_one_block_for_all() -> None:
    one, two = parse_weights("grass: 2"), parse_weights("dog: 2\n---\nhill: 3")
    assert [one.of_row(row) for row in (1, 2, 3)] == [(WordWeight("grass", 2),)] * 3
    assert [two.of_row(row) for row in (1, 2)] == [(WordWeight("dog", 2),), (WordWeight("hill", 3),)]


def test_a_word_has_to_be_in_an_edit_prompt_of_its_block() -> None:
    for text in ("dog: 2, hill: 3", "dog: 2\n---\nhill: 3, cat: 1", "\n---\non a: 2"):
        parse_weights(text).require_words(PAIR)
    for text, word in [
        ("cow: 2", "cow"),
        ("hill: 3\n---\ndog: 2", "hill"),
        ("grass: 1\n---\ngrass: 1", "grass"),
    ]:
        with pytest.raises(P2PError, match="a word or phrase of the prompt") as error:
            parse_weights(text).require_words(PAIR)
        assert error.value.got == repr(word)


def test_too_many_blocks_are_refused() -> None:
    with pytest.raises(P2PError, match="one for each of 2 edit prompts, got 3 blocks"):
        parse_weights("a: 1\n---\na: 2\n---\na: 3").require_words(PAIR)


# In a plan


def reweight(text: str, cross: Window = ALWAYS, layers: str = "all") -> Reweight:
    return Reweight(parse_weights(text), cross, Window(0, 0.4), LayerFilter(layers))


def equalizer(prompts: PromptSet, row: int, **weights: float) -> Tensor:
    """[T], the weight of each column."""
    values = torch.ones(prompts.prompts[row].columns)
    for word, weight in weights.items():
        values[list(prompts.prompts[row].find(word))] *= weight
    return values


def check(found: Mixing | None, from_source: Tensor, own: Tensor) -> None:
    assert found is not None
    torch.testing.assert_close(found.from_source, from_source)
    torch.testing.assert_close(found.own, own)


def test_weights_alone_make_a_row_of_the_source_for_each_block() -> None:
    plan = plan_of(ALONE, reweight("cat: 4\n---\ncat: -1, grass: 0"))
    assert plan.prompts == PromptSet(SOURCE, (SOURCE, SOURCE))
    for row, eq in [(1, equalizer(plan.prompts, 1, cat=4)), (2, equalizer(plan.prompts, 2, cat=-1, grass=0))]:
        check(mixing(plan, row, MIDDLE, 0.5), torch.diag(eq), torch.zeros(77))
    assert plan.describe() == "weights: cat × 4\nweights: cat × -1, grass × 0"
    assert [plan.injects(MIDDLE, p) for p in (0, 0.39, 0.4)] == [True, True, False]


def test_weights_alone_on_a_pair_refine_it() -> None:
    plan = plan_of(PAIR, reweight("red: 3"))
    assert plan.prompts == PAIR
    alignment = align_refine(SOURCE, PAIR.edits[0])
    alpha, eq = torch.tensor(alignment.alpha), equalizer(PAIR, 1, red=3)
    assert not alpha.all()
    check(mixing(plan, 1, MIDDLE, 0), torch.tensor(matrix(alignment)) * alpha * eq, (1 - alpha) * eq)
    assert plan.describe() == "weights: red × 3\nthe edit prompt alone"


@pytest.mark.parametrize("method", ["swap", "refine"])
def test_on_top_of_an_edit_weights_multiply_what_comes_from_the_source_and_what_is_its_own(
    method: str,
) -> None:
    """W_s·diag(eq) and w_e·eq."""
    edit = TokenEdit(method, Window(0, 0.5))  # type: ignore[arg-type]
    alignment = {"swap": align_swap, "refine": align_refine}[method](SOURCE, PAIR.edits[0])
    plan = plan_of(PAIR, edit, reweight("dog: 4, red: -1, a: 0"))
    eq, alpha = equalizer(PAIR, 1, dog=4, red=-1, a=0), torch.tensor(alignment.alpha)
    check(mixing(plan, 1, MIDDLE, 0.2), torch.tensor(matrix(alignment)) * alpha * eq, (1 - alpha) * eq)
    check(
        mixing(plan, 1, MIDDLE, 0.5), torch.zeros(77, 77), eq
    )  # the edit's window is closed, the weights' is open
    check(mixing(plan, 2, MIDDLE, 0.5), torch.zeros(77, 77), equalizer(PAIR, 2, a=0))
    assert [plan.injects(MIDDLE, p) for p in (0.59, 0.6)] == [True, False]


def test_weights_act_in_their_window_and_layers() -> None:
    plan = plan_of(PAIR, TokenEdit(cross=NEVER), reweight("dog: 4", Window(0.2, 0.6), "middle"))
    acts = [mixing(plan, 1, MIDDLE, p) is not None for p in (0, 0.2, 0.59, 0.6, 1)]
    assert acts == [False, True, True, False, False]
    assert mixing(plan, 1, OUTPUT, 0.3) is None


def test_alone_their_layers_and_windows_are_those_of_the_edit_they_stand_for() -> None:
    plan = plan_of(ALONE, reweight("cat: 4", Window(0.2, 0.6), "middle"))
    assert [mixing(plan, 1, MIDDLE, p) is not None for p in (0, 0.2, 0.6)] == [False, True, False]
    assert mixing(plan, 1, OUTPUT, 0.3) is None and not plan.injects(OUTPUT, 0)


def test_a_weight_of_one_changes_nothing_of_the_edits_own() -> None:
    plan = plan_of(PAIR, TokenEdit(cross=NEVER), reweight("dog: 1"))
    assert mixing(plan, 1, MIDDLE, 0) is None


def test_weights_of_a_word_and_of_several_nodes_multiply() -> None:
    nodes = reweight("cat: 2, a cat: 3"), reweight("cat: 5"), reweight("cat: 5")
    plan = plan_of(ALONE, *nodes)
    check(mixing(plan, 1, MIDDLE, 0), torch.diag(equalizer(plan.prompts, 1, cat=150, a=3)), torch.zeros(77))
    assert plan.describe() == "weights: cat × 2, a cat × 3 · weights: cat × 5 · weights: cat × 5"


def test_weights_of_a_word_that_only_another_edit_has_are_left_out_of_a_row() -> None:
    plan = plan_of(PAIR, reweight("dog: 2, hill: 3"))
    assert plan.describe() == "weights: dog × 2\nweights: hill × 3"


def test_nodes_after_weights_alone_may_give_the_source_prompt_or_its_copies() -> None:
    plan = plan_of(ALONE, reweight("cat: 4\n---\ncat: 2"))
    for given_prompts in (ALONE, plan.prompts):
        assert plan.then(given_prompts, TokenEdit()).prompts == plan.prompts
        require_same(plan.prompts, given_prompts)


@pytest.mark.parametrize(
    "given_prompts", [PAIR, PromptSet(made_of("a cow"), ()), PromptSet(SOURCE, (SOURCE,))]
)
def test_other_prompts_after_weights_alone_are_refused(given_prompts: PromptSet) -> None:
    plan = plan_of(ALONE, reweight("cat: 4\n---\ncat: 2"))
    with pytest.raises(P2PError, match="the prompts of the earlier edits"):
        plan.then(given_prompts, TokenEdit())


def test_other_prompts_with_weights_are_refused() -> None:
    with pytest.raises(P2PError, match="the prompts of the earlier edits"):
        EditPlan(ALONE).then(PromptSet(made_of("a cat*2"), ()), reweight("cat: 4"))
    with pytest.raises(P2PError, match="the prompts of the earlier edits"):
        EditPlan(PAIR).then(ALONE, reweight("grass: 4"))


def test_a_plan_does_not_take_weights_of_words_that_its_prompts_lack() -> None:
    with pytest.raises(P2PError, match="got 'owl'"):
        plan_of(ALONE, reweight("owl: 4"))
    with pytest.raises(P2PError, match="got 3 blocks"):
        plan_of(PAIR, reweight("a: 1\n---\na: 1\n---\na: 1"))
    with pytest.raises(P2PError, match="at least one edit prompt"):
        reweight("cat: 2").check(ALONE, ())
