"""One run of a plan: attention edited and recorded, latents blended, stores filled."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from attending import attention
from paper_form import maps
from prompts_of import made_of
from torch import Tensor

from p2p_core.architecture.layers import Layer, LayerFilter
from p2p_core.attention.editing import RowEdit, edit_cross, edit_self, paired_rows
from p2p_core.edits.columns import mixing_of
from p2p_core.edits.steps import Reweight, TokenEdit
from p2p_core.errors import P2PError
from p2p_core.maps.blending import Blend, final_mask, word_mask
from p2p_core.maps.recording import Record
from p2p_core.maps.store import MapStore, word_channel
from p2p_core.plan import EditPlan
from p2p_core.rows import PairedRow, blended
from p2p_core.run import Run
from p2p_core.step import Step
from p2p_core.words.prompts import PromptSet
from p2p_core.words.weights import parse_weights
from p2p_core.words.windows import Window

PROMPTS = PromptSet(made_of("a cat*2 on grass"), (made_of("a red dog on grass"), made_of("a cow on a hill")))
ALONE = PromptSet(PROMPTS.source, ())
NEAR, FAR = Layer("output", 3, 0, 1), Layer("middle", 0, 0, 2)
LAYERS, SIZES = (NEAR, FAR), {NEAR: (3, 4), FAR: (2, 2)}
LATENT, HEADS, WIDTH = (3, 4), 2, 8
ATTEND = attention(HEADS)
PAIRED = [False, True]


def plan_of(*steps: Step, prompts: PromptSet = PROMPTS) -> EditPlan:
    plan = EditPlan(prompts)
    for step in steps:
        plan = plan.then(prompts, step)
    return plan


def run_of(*steps: Step, prompts: PromptSet = PROMPTS, samples: int = 1) -> Run:
    return Run(plan_of(*steps, prompts=prompts), samples, LATENT, LAYERS)


def rows_of(run: Run) -> list[PairedRow]:
    return paired_rows(2 * run.samples * run.prompts, PAIRED, run.prompts)


def qkv(run: Run, layer: Layer, seed: int, keys: int = 77) -> tuple[Tensor, Tensor, Tensor]:
    """Of an unconditional and a conditional half, [B, N, C] and twice [B, K, C]."""
    random, (h, w) = torch.Generator().manual_seed(seed), SIZES[layer]
    rows = 2 * run.samples * run.prompts
    q, k, v = (torch.randn(rows, n, WIDTH, generator=random) for n in (h * w, keys, keys))
    return q, k, v


def cross(run: Run, layer: Layer, progress: float, seed: int = 0) -> Tensor:
    q, k, v = qkv(run, layer, seed)
    return run.cross(layer, progress, SIZES[layer], q, k, v, HEADS, rows_of(run), ATTEND)


def own(run: Run, layer: Layer, progress: float, seed: int = 0) -> Tensor:
    q, k, v = qkv(run, layer, seed, SIZES[layer][0] * SIZES[layer][1])
    return run.own(layer, progress, SIZES[layer], q, k, v, HEADS, rows_of(run), ATTEND)


def latents(run: Run, seed: int = 0) -> Tensor:
    rows = run.samples * run.prompts
    return torch.randn(rows, 4, *LATENT, generator=torch.Generator().manual_seed(seed))


def record(*words: str, prompts: PromptSet = PROMPTS, **options: Any) -> Record:
    return Record(tuple(word_channel(word, prompts) for word in words), MapStore(), **options)


def blend(*source: str, **options: Any) -> Blend:
    return Blend(source, options.pop("edit", ()), (), MapStore(), **options)


EDIT = TokenEdit("edit", Window(0, 0.5), Window(0, 0.3), layers=LayerFilter("output"))
WEIGHTS = Reweight(parse_weights("red: 3, hill: -1"), Window(0, 0.7))


# Attention


@pytest.mark.parametrize("watching", [False, True])
@pytest.mark.parametrize("progress", [0.0, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("layer", LAYERS)
def test_attention_is_that_of_the_plan_whether_or_not_it_is_watched(
    layer: Layer, progress: float, watching: bool
) -> None:
    steps = [EDIT, WEIGHTS, *[record("red", "a", self_scale=1), blend("cat")] * watching]
    run = run_of(*steps, samples=2)
    rows, (q, k, v) = rows_of(run), qkv(run, layer, 1)
    edits = [RowEdit(r.row, r.source, run.plan.mixing(r.prompt, layer, progress)) for r in rows if r.prompt]
    result = run.cross(layer, progress, SIZES[layer], q, k, v, HEADS, rows, ATTEND)
    assert torch.equal(result, edit_cross(q, k, v, edits, ATTEND))
    assert torch.equal(result, ATTEND(q, k, v)) == (progress == 0.8)

    q, k, v = qkv(run, layer, 2, SIZES[layer][0] * SIZES[layer][1])
    result = run.own(layer, progress, SIZES[layer], q, k, v, HEADS, rows, ATTEND)
    injected = layer == NEAR and progress == 0.0
    assert run.injects(layer, progress, q.shape[1]) == injected
    assert torch.equal(result, edit_self(q, k, v, edits if injected else [], ATTEND))
    assert torch.equal(result, ATTEND(q, k, v)) != injected


def test_the_mixing_is_made_once_a_run_and_gone_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of two prompts of 5,000 letters takes some ten megabytes."""
    made: list[weakref.ref[Any]] = []

    def noting(*args: Any) -> Any:
        mixing = mixing_of(*args)
        made.append(weakref.ref(mixing))
        return mixing

    monkeypatch.setattr("p2p_core.run.mixing_of", noting)
    run = run_of(TokenEdit())
    for layer in LAYERS:
        cross(run, layer, 0.0)
        cross(run, layer, 0.1)
    assert len(made) == len(PROMPTS.edits)
    del run
    gc.collect()
    assert not any(ref() for ref in made)


def test_what_an_earlier_patch_adds_is_added_once() -> None:
    """The second call, for rows that keep some of their own map, is with the attention given for it."""
    run = run_of(WEIGHTS)
    rows, (q, k, v) = rows_of(run), qkv(run, NEAR, 1)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ATTEND(q, k, v) + 1

    result = run.cross(NEAR, 0.0, SIZES[NEAR], q, k, v, HEADS, rows, attend, ATTEND)
    torch.testing.assert_close(result, run.cross(NEAR, 0.0, SIZES[NEAR], q, k, v, HEADS, rows, ATTEND) + 1)


# Stores


def test_a_record_sees_the_edited_maps() -> None:
    """A* = A_s·W_s + A_e·diag(w_e) of the edit rows, the source's own in its row."""
    what = record("red", "grass")
    run, (q, k, _) = run_of(TokenEdit("refine"), WEIGHTS, what), qkv(run_of(), NEAR, 0)
    cross(run, NEAR, 0.2)
    run.finish(latents(run))
    recorded = what.store.read(latents(run)).maps[NEAR][0]
    a = [maps(q[row], k[row], HEADS).mean(0) for row in range(3, 6)]  # the conditional half
    for row, prompt in enumerate(PROMPTS.prompts):
        mixing = run.plan.mixing(row, NEAR, 0.2) if row else None
        edited = (
            a[row] if mixing is None else a[0] @ mixing.from_source.double() + a[row] * mixing.own.double()
        )
        for n, word in enumerate(["red", "grass"]):
            columns = list(prompt.find(word)) if prompt.has(word) else []
            expected = edited[:, columns].sum(1).view(SIZES[NEAR]).float()
            torch.testing.assert_close(recorded[row, n], expected)
    assert recorded[1, 0].any() and not recorded[0, 0].any()


def own_maps(what: Record) -> Tensor:
    kept = what.store.read().self_map
    assert kept is not None
    return kept


def test_self_attention_is_recorded_as_it_was_used() -> None:
    what = record(self_scale=1)
    run = run_of(EDIT, what)
    assert [run.keeps_self(layer) for layer in LAYERS] == [True, False]
    own(run, NEAR, 0.0)
    run.finish(latents(run))
    of_source, of_edit = own_maps(what)[:2]
    assert torch.equal(of_source, of_edit)

    run = run_of(EDIT, what)
    own(run, NEAR, 0.4)  # its window is over
    run.finish(latents(run))
    of_source, of_edit = own_maps(what)[:2]
    assert not torch.equal(of_source, of_edit)


def test_a_run_without_an_edit_is_recorded_and_left_alone() -> None:
    what = record("cat", prompts=ALONE)
    run = run_of(what, prompts=ALONE)
    q, k, v = qkv(run, NEAR, 0)
    assert torch.equal(cross(run, NEAR, 0.2), ATTEND(q, k, v))
    rows = latents(run)
    assert run.blend(rows, 0.5) is rows and run.finish(rows) is rows
    assert what.store.read(rows).maps[NEAR].shape == (1, 1, 1, *SIZES[NEAR])


@pytest.mark.parametrize("first", ["record", "weights"])
def test_a_record_and_weights_alone_go_together_in_any_order(first: str) -> None:
    what, weights = record("cat", prompts=ALONE), Reweight(parse_weights("cat: 4\n---\ncat: 0"))
    run = run_of(*((what, weights) if first == "record" else (weights, what)), prompts=ALONE)
    cross(run, NEAR, 0.2)
    run.finish(latents(run))
    (maps_of_cat,) = what.store.read(latents(run)).maps[NEAR].unbind(0)
    torch.testing.assert_close(maps_of_cat[1], 4 * maps_of_cat[0])
    assert not maps_of_cat[2].any()


def test_stores_are_empty_while_a_run_goes_on() -> None:
    what, around = record("cat"), blend("cat")
    for _ in range(2):
        run = run_of(what, around)
        for store in (what.store, around.store):
            with pytest.raises(P2PError, match="never filled"):
                store.read()
        cross(run, NEAR, 0.5)
        run.blend(latents(run), 0.5)
        run.finish(latents(run))
        assert what.store.read().blend is None and what.store.read().samples == 1
        assert around.store.read().blend is not None


def test_nan_in_one_map_leaves_all_stores_empty() -> None:
    good, bad = record("cat", layers=LayerFilter("1/1")), record("cat", layers=LayerFilter("1/2"))
    run, (q, k, v) = run_of(good, bad), qkv(run_of(), FAR, 0)
    cross(run, NEAR, 0.5)
    run.cross(FAR, 0.5, SIZES[FAR], q * torch.nan, k, v, HEADS, rows_of(run), ATTEND)
    with pytest.raises(P2PError, match="got NaN or infinity in middle 0"):
        run.finish(latents(run))
    with pytest.raises(P2PError, match="never filled"):
        good.store.read()


def test_self_attention_that_the_model_lacks_is_refused_at_the_start() -> None:
    with pytest.raises(P2PError, match=r"got 1/8\. Choose one of 1/1, 1/2"):
        run_of(record(self_scale=8))


# Local blend


def test_latents_are_blended_by_the_mask_of_the_means_so_far() -> None:
    around = blend("cat", edit=("dog", "cow"), threshold=0.6, layers=LayerFilter("all"))
    run, rows = run_of(TokenEdit(), around, samples=2), latents(run_of(samples=2))
    masks: list[Tensor] = []
    for step, progress in enumerate([0.25, 0.5]):
        for layer in LAYERS:
            cross(run, layer, progress, seed=step)
        maps_so_far = run._blends[0][1].mean()
        masks.append(final_mask(around, word_mask(around, maps_so_far, 3, LATENT), 2, 2, LATENT))
        assert torch.equal(run.blend(rows, progress), blended(rows, masks[-1], 3))
    assert 0 < masks[1].mean() < 1 and not torch.equal(*masks)
    final = latents(run, seed=5)
    assert torch.equal(run.finish(final), blended(final, masks[1], 3))
    recorded = around.store.read(final)
    assert recorded.blend is not None and torch.equal(recorded.blend, masks[1])
    assert recorded.rule is around and torch.equal(around.mask_at(recorded, 0.6), masks[1])
    assert around.mask_at(recorded, 0.9).sum() < masks[1].sum()  # without another run


def test_a_blend_starts_after_its_start_and_when_there_are_maps() -> None:
    run, rows = run_of(blend("cat", start=0.4, threshold=0.9)), latents(run_of())
    assert run.blend(rows, 0.5) is rows  # no maps yet
    cross(run, NEAR, 0.5)
    assert run.blend(rows, 0.4) is rows
    assert not torch.equal(run.blend(rows, 0.41), rows)


def test_a_users_mask_needs_no_maps() -> None:
    masks = torch.rand(4, *LATENT, generator=torch.Generator().manual_seed(0))  # of two edits of two samples
    run = run_of(blend(mask=masks), samples=2)
    rows = latents(run)
    assert torch.equal(run.blend(rows, 0.21), blended(rows, masks, 3))


def test_blends_follow_each_other() -> None:
    """A cell stays the edit's where every mask has it."""
    masks = torch.zeros(2, 1, *LATENT)
    masks[0, :, :2], masks[1, :, :, :3] = 1, 1
    run, rows = run_of(*(blend(mask=mask) for mask in masks)), latents(run_of())
    result = run.finish(run.blend(rows, 0.5))
    assert torch.equal(result, blended(rows, (masks[0] * masks[1]).expand(2, -1, -1), 3))


@pytest.mark.parametrize(("start", "reached"), [(0.8, 0.8), (1.0, 1.0)])
def test_a_blend_that_never_started_is_refused_and_no_store_is_filled(start: float, reached: float) -> None:
    what, around = record("cat"), blend("cat", start=start)
    run, rows = run_of(what, around), latents(run_of())
    cross(run, NEAR, reached)
    run.blend(rows, reached)
    with pytest.raises(P2PError, match=rf"starts before the sampling ends, got a start of {start:g}\."):
        run.finish(rows)
    for store in (what.store, around.store):
        with pytest.raises(P2PError, match="never filled"):
            store.read()
