"""Edits of every transformer family in the host's own sampler, against maps built in float64."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    from tiny_pairs import Pack, Pair, close
    from transformer_table import FAMILIES, JOINT, SEPARATE
    from transformers_tiny import here

    NAMES = [name for name in (*SEPARATE, *JOINT) if here(name)]
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    NAMES, FAMILIES, JOINT = [], {}, {}


@pytest.fixture(scope="session")
def p2p(pack: ModuleType) -> Pack:
    return Pack(pack)


@pytest.fixture(params=NAMES)
def pair(p2p: Pack, request: pytest.FixtureRequest) -> Pair:
    return Pair(p2p, request.param)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_source_rows_and_empty_windows_are_plain_runs(pair: Pair, cfg: float) -> None:
    result = pair.sample(pair.edited(pair.step("swap", 0, 0)), pair.paired, cfg=cfg)
    for prompt in range(3):
        assert torch.equal(result[prompt], pair.plain(prompt, 3, cfg=cfg)[prompt])
    edited = pair.sample(pair.edited(pair.step("swap", 1, 1)), pair.paired, cfg=cfg)
    assert torch.equal(edited[0], result[0])
    assert not torch.equal(edited[1], result[1])


WAYS = {"swap": ("swap", 1, 0), "swap in the self window": ("swap", 1, 1), "self window": ("swap", 0, 1),
        "refine": ("refine", 1, 0), "refine in the self window": ("refine", 1, 1)}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_edits_are_edits_of_the_float64_maps(pair: Pair, way: str) -> None:
    step = pair.step(*WAYS[way])
    result = pair.sample(pair.edited(step), pair.paired)
    close(result, pair.expected(step)[0])


LENGTHS = [name for name in NAMES if FAMILIES[name].short < FAMILIES[name].long]


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("longer", ["source", "edit"])
@pytest.mark.parametrize("name", LENGTHS)
def test_prompts_of_other_lengths_are_each_drawn_as_alone(
    p2p: Pack, name: str, longer: str, cfg: float
) -> None:
    short, long = FAMILIES[name].short, FAMILIES[name].long
    columns = (long, short, long) if longer == "source" else (short, long, short)
    pair = Pair(p2p, name, columns)
    result = pair.sample(pair.edited(pair.step("swap", 0, 0)), pair.paired, cfg=cfg)
    for prompt in range(3):
        close(result[prompt], pair.plain(prompt, 3, cfg=cfg)[prompt])


@pytest.mark.parametrize("way", ["swap", "refine in the self window"])
@pytest.mark.parametrize("longer", ["source", "edit"])
@pytest.mark.parametrize("name", LENGTHS)
def test_edits_of_prompts_of_other_lengths_are_edits_of_the_float64_maps(
    p2p: Pack, name: str, longer: str, way: str
) -> None:
    short, long = max(6, FAMILIES[name].short), FAMILIES[name].long
    columns = (long, short, long) if longer == "source" else (short, long, short)
    pair = Pair(p2p, name, columns)
    step = pair.step(*WAYS[way])
    close(pair.sample(pair.edited(step), pair.paired), pair.expected(step)[0])


JOINT_NAMES = [name for name in NAMES if name in JOINT]


@pytest.mark.parametrize("name", JOINT_NAMES)
def test_a_wrong_row_of_the_table_is_refused(
    p2p: Pack, name: str, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Also where a vector of the whole text moves all tokens."""
    pair = Pair(p2p, name)
    step = pair.step("swap", 1, 1)
    pair.sample(pair.edited(step), pair.paired)
    family = p2p.families.family_of(pair.model)
    first = "image" if family.tokens.order[0] == "text" else "text"
    order = (first, *(part for part in family.tokens.order if part != first))
    wrong = replace(family, tokens=replace(family.tokens, order=order))
    monkeypatch.setattr(p2p.families.Family, "of", lambda self, transformer: wrong)
    with pytest.raises(error, match="expected text in the columns"):
        pair.sample(pair.edited(step), pair.paired)


@pytest.mark.parametrize("way", ["swap", "refine in the self window"])
def test_maps_of_words_are_columns_of_the_float64_maps(pair: Pair, way: str) -> None:
    step, store = pair.step(*WAYS[way]), pair.p2p.maps.MapStore()
    channel = pair.p2p.maps.word_channel("grass", pair.prompts)
    model = pair.edited(pair.p2p.recording.Record((channel,), store), pair.edited(step))
    result = pair.sample(model, pair.paired)
    _, words = pair.expected(step, "grass")
    maps, steps = store.read(result).maps, 3
    each = len(words) // (len(maps) * steps)  # calls per block: Wan VACE has a second block next to each
    assert len(words) == each * len(maps) * steps
    for n, recorded in enumerate(maps.values()):
        own = [word for call, word in enumerate(words) if call // each % len(maps) == n]
        expected = torch.stack(own).mean(0)
        torch.testing.assert_close(recorded[0, :, 0].flatten(1).double(), expected, atol=1e-5, rtol=0)


def test_local_blend_keeps_the_source_outside_its_mask(pair: Pair) -> None:
    store = pair.p2p.maps.MapStore()
    rule = pair.p2p.masks.MaskRule(threshold=0.999, pool=False)  # maps of random weights are nearly flat
    blend = pair.p2p.blending.Blend(("cat",), ("dog", "snow"), (), store, rule, start=0.0)
    result = pair.sample(pair.edited(blend, pair.edited(pair.step("swap", 0.5, 0))), pair.paired)
    mask = store.read(result).blend  # [E, F·H, W]
    assert 0 < mask.mean() < 1
    height = result.shape[-2]
    for row in (1, 2):
        outside = (mask[row - 1] == 0).unflatten(0, (-1, height)).reshape(result.shape[2:])
        assert torch.equal(result[row][..., outside], result[0][..., outside])
        assert not torch.equal(result[row], result[0])


SOME = [name for name in ("Wan 2.1", "Anima", "Z-Image", "Flux.1", "SD3.5 medium") if name in NAMES]


KINDS = [*((kind, method) for kind in ("weights", "word window") for method in ("swap", "refine"))]


@pytest.mark.parametrize(("kind", "method"), [*KINDS, ("weights alone", "refine")])
@pytest.mark.parametrize("name", SOME)
def test_weights_and_word_windows_are_edits_of_the_float64_maps(
    p2p: Pack, name: str, kind: str, method: str
) -> None:
    """At an unequal weight, a negative one, and a window that gives one word its own attention."""
    pair, window = Pair(p2p, name), p2p.window
    if kind == "word window":
        own = p2p.windows.WordWindow("grass", window(0, 0))
        steps = [p2p.steps.TokenEdit(method, window(0, 1), window(0, 1), (own,))]
    else:
        weights = p2p.weights.parse_weights("grass: 3\n---\nsnow: -2")
        edit = [] if kind == "weights alone" else [pair.step(method, 1, 0)]
        steps = [*edit, p2p.steps.Reweight(weights, window(0, 1), window(0, 0))]
    model = pair.model
    for step in steps:
        model = pair.edited(step, model)
    close(pair.sample(model, pair.paired), pair.expected(steps)[0])


@pytest.mark.parametrize("name", SOME)
def test_samples_of_a_batch_are_each_edited_from_their_own_source(p2p: Pack, name: str) -> None:
    pair = Pair(p2p, name)
    step = pair.step("refine", 1, 1)
    result = pair.sample(pair.edited(step), pair.paired, 2)
    close(result, pair.expected(step, samples=2)[0])
    assert not torch.equal(result[0], result[3])


@pytest.mark.parametrize("name", SOME)
def test_the_override_of_another_pack_is_called_in_every_attention(p2p: Pack, name: str) -> None:
    pair, calls = Pair(p2p, name), [0]
    edited = pair.edited(pair.step("swap", 1, 1))
    expected = pair.sample(edited, pair.paired)

    def counting(function: Any, *args: Any, **kwargs: Any) -> Tensor:
        calls[0] += 1
        return function(*args, **kwargs)

    edited.model_options["transformer_options"]["optimized_attention_override"] = counting
    assert torch.equal(pair.sample(edited, pair.paired), expected)
    assert calls[0] > 0
    assert edited.model_options["transformer_options"]["optimized_attention_override"] is counting
