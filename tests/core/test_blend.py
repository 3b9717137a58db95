"""Local blend as a step: its words, the layers of its maps, invalid input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from planned import plan_of
from prompts_of import made_of
from stored import scene_of

from p2p_core.architecture.layers import Layer, LayerFilter
from p2p_core.edits.steps import Reweight
from p2p_core.errors import P2PError
from p2p_core.maps.blending import Blend
from p2p_core.maps.masks import MaskRule
from p2p_core.maps.recording import Record
from p2p_core.maps.store import MapStore
from p2p_core.run import Run
from p2p_core.words.prompts import PromptSet
from p2p_core.words.weights import parse_weights

PROMPTS = PromptSet(made_of("a cat*2 on grass"), (made_of("a red dog on grass"), made_of("a cow on a hill")))
ALONE = PromptSet(PROMPTS.source, ())
SD15 = [Layer("input", n, 0, scale) for n, scale in [(1, 1), (2, 1), (4, 2), (5, 2), (7, 4), (8, 4)]]
SD15 += [Layer("middle", 0, 0, 8)]
SD15 += [Layer("output", n, 0, scale) for n, scale in [(3, 4), (4, 4), (5, 4), (6, 2), (9, 1)]]
MASK = torch.ones(1, 4, 4)


def blend(source: Sequence[str] = ("cat",), edit: Sequence[str] = (), **options: Any) -> Blend:
    return Blend(tuple(source), tuple(edit), tuple(options.pop("subtract", ())), MapStore(), **options)


def record_of(some: Blend) -> Record:
    return some.record(scene_of(PROMPTS, 1, (64, 64), SD15))


# Where its maps come from


def test_at_512_pixels_the_layers_are_the_published_five() -> None:
    chosen = record_of(blend()).layers
    names = [(layer.stage, layer.number) for layer in SD15 if layer in chosen]
    assert names == [("input", 7), ("input", 8), ("output", 3), ("output", 4), ("output", 5)]


def test_the_record_has_the_columns_of_the_words_that_each_prompt_has() -> None:
    some = blend(["cat", "grass"], ["red dog", "dog", "cow"], subtract=["grass"])
    added, subtracted = record_of(some).channels
    assert added.columns == ((2, 3, 5), (2, 3), (2,))
    assert subtracted.columns == ((5,), (5,), ())
    assert record_of(some).store is some.store


def test_chosen_layers_are_used_and_have_to_be_there() -> None:
    assert record_of(blend(layers=LayerFilter("middle"))).layers == LayerFilter("middle")
    for step in (blend(layers=LayerFilter("output 11")), blend(edit=["dog"], layers=LayerFilter("1/16"))):
        with pytest.raises(P2PError, match=f"got '{step.layers.text if step.layers else ''}'"):
            Run(plan_of(PROMPTS, step), scene_of(PROMPTS, 1, (64, 64), SD15))


def test_a_mask_that_replaces_the_words_needs_no_maps() -> None:
    assert blend().by_maps and blend(rule=MaskRule(mask=MASK)).by_maps
    for only in (blend(rule=MaskRule(mask=MASK, mask_mode="replace")), blend([], rule=MaskRule(mask=MASK))):
        assert not only.by_maps and record_of(only).channels == ()
        nowhere = Blend(only.source, (), (), MapStore(), only.rule, layers=LayerFilter("output 11"))
        Run(plan_of(PROMPTS, nowhere), scene_of(PROMPTS, 1, (64, 64), SD15))


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1.0}, r"expected a start within 0\.\.1, got -1"),
        ({"start": math.nan}, r"expected a start within 0\.\.1, got nan"),
        ({"source": ()}, "words to blend around, or a mask, got neither"),
        ({"source": (), "subtract": ("cat",)}, "words to blend around, or a mask, got neither"),
    ],
)
def test_what_cannot_be_a_blend_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(P2PError, match=message):
        blend(**options)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"source": ("dog",)}, "dog"),
        ({"source": ("cat", "owl")}, "owl"),
        ({"source": ("on grass",), "edit": ("cow", "cat")}, "cat"),
        ({"subtract": ("hill", "sky")}, "sky"),
    ],
)
def test_words_that_their_prompts_lack_are_refused_by_the_plan(options: dict[str, Any], word: str) -> None:
    with pytest.raises(P2PError, match="a word or phrase of the prompt") as error:
        plan_of(PROMPTS, blend(**options))
    assert error.value.got == repr(word)


def test_a_blend_needs_an_edit_prompt_or_the_copies_of_reweighting() -> None:
    with pytest.raises(P2PError, match="at least one edit prompt"):
        plan_of(ALONE, blend())
    weights, some = Reweight(parse_weights("cat: 4")), blend(edit=["cat"])
    assert plan_of(ALONE, weights, some).steps == (weights, some)
    with pytest.raises(P2PError, match="got 'dog'"):
        plan_of(ALONE, weights, blend(edit=["dog"]))
