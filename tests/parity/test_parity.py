"""The pack beside the published algorithm: whole samplings of the demo model, final latents within 1e-3.

Where the pack differs on purpose (docs/adr/0010, 0013), a test shows the difference and what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch
from paper_controller import (
    TOKENS,
    Controller,
    LocalBlend,
    Reweight,
    equalizer_row,
    refinement_mapper,
    replacement_mapper,
    sample_literal,
    word_alphas,
)
from torch import Tensor

from demo.pipeline import DemoPipeline, load, start_noise
from p2p_core import plan as ours
from p2p_core.align import Alignment, align_edit, align_refine, align_swap
from p2p_core.blend import Blend
from p2p_core.errors import P2PError
from p2p_core.layers import Layer
from p2p_core.plan import EditPlan, Step, TokenEdit
from p2p_core.prompts import Prompt
from p2p_core.schedule import Window, WordWindow
from p2p_core.store import MapStore
from p2p_core.weights import parse_weights

pytestmark = pytest.mark.parity

WITHIN = 1e-3
# With 10 steps and bounds in tenths both schedules agree: theirs counts to int(11·b) in cross-attention and
# to int(10·b) in self-attention, our call i is at progress i·100/999.
STEPS, CFG, SIDE = 10, 5.0, 128
# In place of the start 0.2: theirs waits for two calls and blends after the third, ours would blend before
# the third, whose progress of 0.2002 is past 0.2.
LATER = 0.21
HOUSE = ("a red house at night", "a blue house at night")
STAR = ("a red house at night", "a red star at night")


@lru_cache(maxsize=1)
def pipe() -> DemoPipeline:
    return load()


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Both, side by side


def ours_of(texts: Sequence[str], steps: Sequence[Step], noise: Tensor, calls: int = STEPS) -> Tensor:
    """Final latents of the pack."""
    prompts = pipe().prompts(*texts)
    plan = EditPlan(prompts)
    for step in steps:
        plan = plan.then(prompts, step)
    return pipe().sample(texts, noise, calls, CFG, plan)


def theirs_of(texts: Sequence[str], noise: Tensor, calls: int = STEPS, **how: Any) -> Tensor:
    """Final latents of the published algorithm."""
    controller = Controller(pipe().tokenizer, texts, calls, **how)
    return sample_literal(pipe(), texts, noise, calls, CFG, controller)


@lru_cache
def uncontrolled(texts: tuple[str, ...], shape: tuple[int, int, int], calls: int) -> Tensor:
    return pipe().sample(texts, noise_of(*shape), calls, CFG)


def noise_of(width: int = SIDE, height: int = SIDE, samples: int = 1) -> Tensor:
    """Of a seed whose samplings are steady: from other noise rounding alone can grow to 2e-3."""
    return start_noise(1, width, height, samples)


def apart(a: Tensor, b: Tensor) -> float:
    """The largest difference of two latents, which are about −4..4."""
    return float((a - b).abs().max())


@dataclass(frozen=True)
class Case:
    """One edit, as the pack and as the published code take it."""

    texts: tuple[str, ...]
    ours: tuple[Step, ...]
    theirs: dict[str, Any]
    shape: tuple[int, int, int] = (SIDE, SIDE, 1)
    calls: int = STEPS


def as_published(method: ours.Method, **how: Any) -> TokenEdit:
    """The windows of the paper's code, where no others are given."""
    windows = {"cross": Window(0, 0.8), "self_attention": Window(0, 0.4)}
    return TokenEdit(method, **{**windows, **how})


def swap(**how: Any) -> TokenEdit:
    return as_published("swap", **how)


def refine(**how: Any) -> TokenEdit:
    return as_published("refine", **how)


def weigh(text: str, **how: Any) -> ours.Reweight:
    return ours.Reweight(parse_weights(text), **how)


def blend(source: str, edit: str, subtract: str = "", **how: Any) -> Blend:
    words = [tuple(text.split()) for text in (source, edit, subtract)]
    return Blend(*words, store=MapStore(), **{"start": LATER, **how})


def same_twice(text: str) -> tuple[str, str]:
    return text, text


SWAPS = {
    "an object": Case(STAR, (swap(),), {"edit": "replace"}),
    "an object at full size": Case(STAR, (swap(),), {"edit": "replace"}, shape=(256, 256, 1)),
    "an object in a wide picture": Case(STAR, (swap(),), {"edit": "replace"}, shape=(192, 128, 1)),
    "words of two tokens": Case(
        ("a red triangle at night", "a red diamond at night"), (swap(),), {"edit": "replace"}
    ),
    "two tokens to one, then one to two": Case(
        ("a purple star and a blue house on sand", "a red star and a blue mushroom on sand"),
        (swap(),),
        {"edit": "replace"},
    ),
    "the same through the edit method": Case(HOUSE, (as_published("edit"),), {"edit": "replace"}),
    "cross-attention alone": Case(
        STAR, (swap(self_attention=Window(0, 0)),), {"edit": "replace", "self_replace": 0.0}
    ),
    "self-attention alone": Case(
        STAR, (swap(cross=Window(0, 0)),), {"edit": "replace", "cross_replace": 0.0}
    ),
    "windows with a start": Case(
        STAR,
        (swap(cross=Window(0.2, 0.9), self_attention=Window(0.1, 0.6)),),
        {"edit": "replace", "cross_replace": (0.2, 0.9), "self_replace": (0.1, 0.6)},
    ),
    "a window for a word": Case(
        STAR,
        (swap(cross=Window(0, 1), words=(WordWindow("star", Window(0, 0.4)),)),),
        {"edit": "replace", "cross_replace": {"default_": 1.0, "star": 0.4}},
    ),
    "a window for a word and none for the rest, which theirs takes as 0 to 1": Case(
        STAR,
        (swap(cross=Window(0, 1), words=(WordWindow("star", Window(0.3, 0.6)),)),),
        {"edit": "replace", "cross_replace": {"star": (0.3, 0.6)}},
    ),
    "self-attention of small layers": Case(
        STAR,
        (swap(self_attention=Window(0, 1), self_tokens=4**2),),
        {"edit": "replace", "self_replace": 1.0, "self_cap": 4**2},
    ),
}
REFINEMENTS = {
    "another adjective": Case(HOUSE, (refine(),), {"edit": "refine"}),
    "another noun of two tokens": Case(
        ("a red triangle at night", "a red diamond at night"), (refine(),), {"edit": "refine"}
    ),
    "two words": Case(
        ("a red house and a blue star", "a pink house and a blue tree"), (refine(),), {"edit": "refine"}
    ),
    "a window for the new word": Case(
        HOUSE,
        (refine(words=(WordWindow("house", Window(0.2, 0.5)),)),),
        {"edit": "refine", "cross_replace": {"default_": 0.8, "house": (0.2, 0.5)}},
    ),
}
WEIGHTS = {
    f"a word by {weight:g}": Case(
        same_twice(HOUSE[0]),
        (weigh(f"red: {weight}"),),
        {"edit": "reweight", "equalizer": {"red": weight}},
    )
    for weight in (4, 0.5, 0, -1)
} | {
    "words, one of two tokens": Case(
        same_twice("a purple house at night"),
        (weigh("purple: 3, night: -1", cross=Window(0, 1), self_attention=Window(0, 0.2)),),
        {
            "edit": "reweight",
            "equalizer": {"purple": 3, "night": -1},
            "cross_replace": 1.0,
            "self_replace": 0.2,
        },
    ),
    "a swapped word": Case(
        STAR, (swap(), weigh("star: 4, night: 0")), {"edit": "replace", "equalizer": {"star": 4, "night": 0}}
    ),
    "a refined word": Case(
        HOUSE,
        (refine(), weigh("blue: 4, house: 2")),
        {"edit": "refine", "equalizer": {"blue": 4, "house": 2}},
    ),
}
PICTURES = (("house",), ("star",))
BLENDS = {
    "a swap": Case(
        STAR, (swap(), blend("house", "star")), {"edit": "replace", "blend": LocalBlend(PICTURES)}
    ),
    "a swap at full size": Case(
        STAR,
        (swap(), blend("house", "star")),
        {"edit": "replace", "blend": LocalBlend(PICTURES)},
        shape=(256, 256, 1),
    ),
    "words of the source alone": Case(
        STAR, (swap(), blend("house", "")), {"edit": "replace", "blend": LocalBlend((("house",), ()))}
    ),
    "less subtracted words": Case(
        STAR,
        (swap(), blend("house", "star", "night", subtract_threshold=0.6)),
        {
            "edit": "replace",
            "blend": LocalBlend(PICTURES, (("night",), ("night",)), thresholds=(0.3, 0.6)),
        },
    ),
    "from the first step": Case(
        STAR,
        (swap(), blend("house", "star", threshold=0.5, start=0)),
        {"edit": "replace", "blend": LocalBlend(PICTURES, start=0.0, thresholds=(0.5, 0.3))},
    ),
    "without pooling, as in the latent-diffusion notebook": Case(
        STAR,
        (swap(), blend("house", "star", pool=False)),
        {"edit": "replace", "blend": LocalBlend(PICTURES, pool=False)},
    ),
    "a refinement": Case(
        HOUSE,
        (refine(), blend("house", "blue house")),
        {"edit": "refine", "blend": LocalBlend((("house",), ("blue", "house")))},
    ),
    "a re-weighting": Case(
        same_twice(HOUSE[0]),
        (weigh("red: -1"), blend("house", "house")),
        {"edit": "reweight", "equalizer": {"red": -1}, "blend": LocalBlend((("house",), ("house",)))},
    ),
    # With 12 steps both start with the third call for 0.2, and end self-attention after three for 0.25.
    "the published start": Case(
        STAR,
        (swap(self_attention=Window(0, 0.25)), blend("house", "star", start=0.2)),
        {"edit": "replace", "self_replace": 0.25, "blend": LocalBlend(PICTURES, start=0.2)},
        calls=12,
    ),
}
SEVERAL_TEXTS = ("a red house at night", "a red star at night", "a pink house on snow")
SEVERAL = {
    "swaps": Case(SEVERAL_TEXTS, (swap(),), {"edit": "replace"}),
    "refinements": Case(SEVERAL_TEXTS, (refine(),), {"edit": "refine"}),
    "windows of a word that one edit has": Case(
        SEVERAL_TEXTS,
        (swap(words=(WordWindow("star", Window(0, 0.4)),)),),
        {"edit": "replace", "cross_replace": {"default_": 0.8, "star": 0.4}},
    ),
    "weights for each": Case(
        (HOUSE[0],) * 4,
        (weigh("red: 4\n---\nred: 0\n---\nred: -1"),),
        {"edit": "reweight", "equalizer": ({"red": 4}, {"red": 0}, {"red": -1})},
    ),
    "two samples": Case(STAR, (swap(),), {"edit": "replace"}, shape=(SIDE, SIDE, 2)),
    "everything, two samples": Case(
        SEVERAL_TEXTS,
        (
            swap(words=(WordWindow("star", Window(0, 0.4)),)),
            weigh("night: 2\n---\nsnow: 3"),
            blend("house", "star house snow"),
        ),
        {
            "edit": "replace",
            "cross_replace": {"default_": 0.8, "star": 0.4},
            "equalizer": ({"night": 2}, {"snow": 3}),
            "blend": LocalBlend((("house",), ("star",), ("house", "snow"))),
        },
        shape=(SIDE, SIDE, 2),
    ),
}


def both(case: Case) -> tuple[Tensor, Tensor]:
    noise = noise_of(*case.shape)
    return (
        ours_of(case.texts, case.ours, noise, case.calls),
        theirs_of(case.texts, noise, case.calls, **case.theirs),
    )


def assert_agree(case: Case) -> None:
    """The same pictures, and not those of a sampling without control."""
    a, b = both(case)
    assert apart(a, b) < WITHIN
    assert apart(a, uncontrolled(case.texts, case.shape, case.calls)) > 100 * WITHIN


@pytest.mark.parametrize("case", SWAPS.values(), ids=SWAPS)
def test_word_swap_agrees(case: Case) -> None:
    assert_agree(case)


@pytest.mark.parametrize("case", REFINEMENTS.values(), ids=REFINEMENTS)
def test_refinement_agrees_between_equal_token_counts(case: Case) -> None:
    assert_agree(case)


@pytest.mark.parametrize("case", WEIGHTS.values(), ids=WEIGHTS)
def test_reweighting_agrees(case: Case) -> None:
    assert_agree(case)


@pytest.mark.parametrize("case", BLENDS.values(), ids=BLENDS)
def test_local_blend_agrees(case: Case) -> None:
    """The mask is no trivial one: some of the edit is the source's, some is not."""
    a, b = both(case)
    assert apart(a, b) < WITHIN
    changed = (a[0] - a[1]).abs().amax(0) > 0
    assert 0.02 < float(changed.float().mean()) < 0.98


@pytest.mark.parametrize("case", SEVERAL.values(), ids=SEVERAL)
def test_several_edits_and_samples_agree(case: Case) -> None:
    assert_agree(case)


def test_one_call_more_or_less_would_show() -> None:
    noise = noise_of()
    theirs = theirs_of(STAR, noise, edit="replace")
    for how in ({"cross": Window(0, 0.7)}, {"self_attention": Window(0, 0.5)}):
        assert apart(ours_of(STAR, (swap(**how),), noise), theirs) > 10 * WITHIN


@pytest.fixture
def in_double() -> Any:
    for part in (pipe().unet, pipe().text):
        part.double()
    yield
    for part in (pipe().unet, pipe().text):
        part.float()


@pytest.mark.usefixtures("in_double")
def test_only_rounding_is_between_them() -> None:
    """This noise makes 1e-6 of noise 5e-3 of picture; what is left is the float32 of our mixed values."""
    texts = ("a red house and a blue star", "a pink house and a blue tree")
    noise = start_noise(5, SIDE, SIDE).double()
    assert apart(ours_of(texts, (refine(),), noise), theirs_of(texts, noise, edit="refine")) < WITHIN / 10


# What differs on purpose: alignment


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
    texts: Sequence[str], method: ours.Method, align: Any, published: str
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
    """Theirs takes padding by column, so the first of the source's padding is lost."""
    texts = ("a red house", "a red house at night")
    theirs, mine = refined(texts), aligned(texts, align_refine)
    after_the_end = [5, 6]
    assert theirs[after_the_end].sum(1).tolist() == [0, 0]
    assert torch.allclose(mine.sum(1), torch.ones(TOKENS))
    assert_only_the_alignment_differs(texts, "refine", align_refine, "refine")


def test_after_removed_words_the_end_is_given_once() -> None:
    """Both drop the attention on removed words; theirs gives that of the end once more to padding."""
    texts = ("a red house on sand", "a house on sand")
    theirs, mine = refined(texts), aligned(texts, align_refine)
    red, end = 2, 6
    assert (float(theirs[red].sum()), float(mine[red].sum())) == (0, 0)
    assert (float(theirs[end].sum()), float(mine[end].sum())) == (2, 1)
    assert_only_the_alignment_differs(texts, "refine", align_refine, "refine")


def test_the_edit_method_swaps_and_refines_at_once() -> None:
    """Theirs has either; by our alignment it does the same."""
    texts = ("a red house on sand", "a pink house on sand at night")
    noise = noise_of()
    mine = ours_of(texts, (as_published("edit"),), noise)
    assert apart(mine, theirs_of(texts, noise, edit=given(align_edit, texts))) < WITHIN
    assert apart(mine, theirs_of(texts, noise, edit="refine")) > 10 * WITHIN


def test_punctuation_is_a_word_of_its_own() -> None:
    """Theirs parts words at spaces: a comma is swapped with the word before it, which is not found."""
    texts = ("a red star, a house", "a red mushroom, a house")
    assert word_alphas(texts, STEPS, {"default_": 0.0, "mushroom": 1.0}, pipe().tokenizer).sum() == 0
    assert pipe().prompt(texts[1]).find("mushroom") == (3, 4)
    theirs, mine = replacement_mapper(*texts, pipe().tokenizer), aligned(texts, align_swap)
    comma = 4
    assert theirs[comma, 3:6].tolist() == pytest.approx([1 / 3] * 3)
    assert mine[comma, 3:6].tolist() == [0, 0, 1]


# What differs on purpose: weights


def test_weights_hold_outside_the_window_of_a_word_too() -> None:
    """Theirs weights only what comes from the source; ours the word's own map too, while weights act."""
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
    """Theirs gives the source's columns straight on, as its swap of words of equal token counts does."""
    noise = noise_of()
    weights = {"star": 3}
    alone = theirs_of(STAR, noise, edit="reweight", equalizer=weights)
    refined = theirs_of(STAR, noise, edit="refine", equalizer=weights)
    assert apart(ours_of(STAR, (weigh("star: 3"),), noise), refined) < WITHIN
    assert apart(ours_of(STAR, (swap(), weigh("star: 3")), noise), alone) < WITHIN
    assert apart(alone, refined) > 10 * WITHIN


def test_every_edit_has_its_own_columns_of_a_weighted_word() -> None:
    """Theirs looks the word up in the first edit, and weights its columns in all of them."""
    texts = ("a red house", "a red star", "a purple star")
    theirs = Controller(pipe().tokenizer, texts, STEPS, "replace", equalizer={"star": 3}).edit
    assert isinstance(theirs, Reweight)
    assert theirs.equalizer.ne(1).nonzero().tolist() == [[0, 3]]
    plan = EditPlan(pipe().prompts(*texts), (swap(cross=Window(0, 0)),), (weigh("star: 3"),))
    for row, column in ((1, 3), (2, 4)):
        mixing = plan.mixing(row, Layer("input", 1), 0.0)
        assert mixing is not None
        assert mixing.own.ne(1).nonzero().tolist() == [[column]]


def test_a_word_that_is_not_there_is_an_error() -> None:
    """Theirs passes over it."""
    assert equalizer_row(STAR[1], {"circle": 4}, pipe().tokenizer).unique().tolist() == [1]
    with pytest.raises(P2PError, match="circle"):
        EditPlan(pipe().prompts(*STAR)).then(pipe().prompts(*STAR), weigh("circle: 4"))


# What differs on purpose: the schedule, and where self-attention is replaced


def progress_of(call: int, calls: int) -> float:
    """As DemoPipeline.sample has it."""
    return call * 1000 // calls / 999


def idle(controller: Controller) -> None:
    """One call of the U-Net, of a single cross-attention layer."""
    controller(torch.full((4, 1, TOKENS), 1 / TOKENS), is_cross=True)


def test_progress_is_time_where_theirs_counts_calls() -> None:
    """A sampler of two calls a step is not half-way when their window is over; then the count ends."""
    controller = Controller(pipe().tokenizer, STAR, STEPS, "replace")
    plan = EditPlan(pipe().prompts(*STAR), (swap(),))
    layer = Layer("input", 1)
    for _ in range(2 * 4):
        idle(controller)
    assert controller.alphas[controller.step].sum() == 0
    assert plan.mixing(1, layer, progress_of(4, STEPS)) is not None
    for _ in range(3):
        idle(controller)
    with pytest.raises(IndexError):
        idle(controller)


@pytest.mark.parametrize(("calls", "theirs", "mine"), [(10, 4, 4), (50, 20, 20), (12, 4, 5), (24, 9, 10)])
def test_a_window_ends_at_its_time_where_theirs_rounds_down(calls: int, theirs: int, mine: int) -> None:
    """Self-attention until 0.4."""
    assert Controller(pipe().tokenizer, STAR, calls, "replace").self_calls == (0, theirs)
    plan = EditPlan(pipe().prompts(*STAR), (swap(),))
    active = [plan.self_attention(Layer("input", 1), progress_of(i, calls)) for i in range(calls)]
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
    """Theirs replaces it up to 32², its first notebooks up to 16²; ours where it is told so."""
    maps = torch.rand(4, side**2, 1).expand(-1, -1, side**2)
    for cap in (16**2, 32**2):
        controller = Controller(pipe().tokenizer, STAR, STEPS, "replace", self_cap=cap)
        replaced = torch.equal(*controller(maps, is_cross=False)[2:])
        capped, free = swap(self_tokens=cap), swap()
        assert replaced == capped.uses_self_attention(Layer("input", 1), 0.0, side**2) == (side**2 <= cap)
        assert free.uses_self_attention(Layer("input", 1), 0.0, side**2)
