"""One run of a plan: attention edited and recorded, latents blended, stores filled."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from itertools import product
from threading import Thread
from time import sleep

import pytest
import torch
from planned import mixing
from prompts_of import made_of
from running import (
    ALONE,
    ATTEND,
    FAR,
    HEADS,
    LATENT,
    LAYERS,
    NEAR,
    PROMPTS,
    SIZES,
    as_case,
    blend,
    call,
    cross,
    injected,
    latents,
    own,
    own_qkv,
    plain_map,
    qkv,
    record,
    run_of,
)
from torch import Tensor

from p2p_core.architecture.layers import Layer, LayerFilter
from p2p_core.attention.calls import JointCall
from p2p_core.attention.editing import EditedBatch
from p2p_core.attention.joint import JointEdit
from p2p_core.edits.steps import Reweight, TokenEdit
from p2p_core.errors import P2PError
from p2p_core.maps.masks import MaskRule
from p2p_core.maps.recording import Record
from p2p_core.rows import Rows, blended
from p2p_core.run import Run
from p2p_core.step import Call, Hooks, Scene, Step
from p2p_core.words.prompts import PromptSet
from p2p_core.words.weights import parse_weights
from p2p_core.words.windows import Window

EDIT = TokenEdit("edit", Window(0, 0.5), Window(0, 0.3), layers=LayerFilter("output"))
WEIGHTS = Reweight(parse_weights("red: 3, hill: -1"), Window(0, 0.7))
SIGMAS = torch.tensor([3.0, 2.0, 1.0, 0.0])


def close(result: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=1e-5)


# Attention


@pytest.mark.parametrize("watching", [False, True])
def test_attention_is_the_papers_edit_of_maps_whether_or_not_it_is_watched(watching: bool) -> None:
    """All in one run, in which later calls use what earlier ones prepared."""
    steps = [EDIT, WEIGHTS, *[record("red", "a", self_scale=1), blend("cat")] * watching]
    run = run_of(*steps, samples=2)
    for seed, (progress, layer) in enumerate(product([0.0, 0.3, 0.6, 0.8, 0.3, 0.0], LAYERS)):
        result, case = cross(run, layer, progress, seed), as_case(run, layer, progress, seed)
        close(result, case.paper())
        assert torch.equal(result, ATTEND(case.q, case.k, case.v)) == (progress == 0.8)


@pytest.mark.parametrize("watching", [False, True])
def test_self_attention_is_the_sources_inside_its_window(watching: bool) -> None:
    run = run_of(EDIT, *[record("red", self_scale=1)] * watching, samples=2)
    for seed, (progress, layer) in enumerate(product([0.0, 0.3, 0.0], LAYERS)):
        acts, recorded = layer == NEAR and progress == 0.0, watching and layer == NEAR
        q, k, v = own_qkv(run, layer, seed)
        result, plain = own(run, layer, progress, seed), ATTEND(q, k, v)
        assert torch.equal(result, plain) != acts
        if acts:
            close(result, injected(run, layer, seed))
        assert run.acts_on_self(layer, progress, q.shape[1]) == (acts or recorded)


def test_rows_of_other_prompts_in_the_batch_are_left_alone() -> None:
    run, (q, k, v) = run_of(EDIT, WEIGHTS), qkv(run_of(), NEAR, 0)
    nothing_paired = Call(NEAR, 0.0, SIZES[NEAR], HEADS, (False, False))
    assert torch.equal(run.cross(nothing_paired, q, k, v, ATTEND), ATTEND(q, k, v))
    first_half = Call(NEAR, 0.0, SIZES[NEAR], HEADS, (True, False))
    result, plain = run.cross(first_half, q, k, v, ATTEND), ATTEND(q, k, v)
    same = [torch.equal(a, b) for a, b in zip(result, plain, strict=True)]
    assert same == [True, False, False, True, True, True]


def test_batches_of_several_sizes_have_edits_of_their_own() -> None:
    """A host may pass both halves to the model in one call, or one by one if memory is short."""
    run, case = run_of(EDIT), as_case(run_of(EDIT), NEAR, 0.0, 0)
    both = cross(run, NEAR, 0.0)
    alone = Call(NEAR, 0.0, SIZES[NEAR], HEADS, (True,))
    half = run.cross(alone, case.q[3:], case.k[3:], case.v[3:], ATTEND)
    assert torch.equal(half, both[3:]) and torch.equal(cross(run, NEAR, 0.0), both)
    q, k, v = (tensor[3:].repeat(2, 1, 1) for tensor in (case.q, case.k, case.v))
    two = run.cross(alone, q, k, v, ATTEND)
    assert torch.equal(two, both[3:].repeat(2, 1, 1))


def test_a_batch_that_is_no_whole_pair_is_refused() -> None:
    run, (q, k, v) = run_of(EDIT), qkv(run_of(), NEAR, 0)
    with pytest.raises(P2PError, match="2 equal parts with 3 rows per sample, got a batch of 5"):
        run.cross(call(NEAR, 0.0), q[:5], k[:5], v[:5], ATTEND)


def matrices(side: int) -> int:
    """The number of square matrices by size."""
    gc.collect()
    return sum(type(each) is Tensor and each.shape[-2:] == (side, side) for each in gc.get_objects())


def test_what_calls_need_is_made_once_in_a_run_and_gone_with_it() -> None:
    """The matrix of two prompts with 5,000 letters takes about ten megabytes."""
    prompts = PromptSet(made_of("w " * 80 + "cat"), (made_of("w " * 80 + "dog"),))
    before, run, made = matrices(154), run_of(TokenEdit(), prompts=prompts), list[int]()
    for progress in (0.0, 0.1, 0.2, 0.3):
        for layer in LAYERS:
            run.cross(call(layer, progress), *qkv(run, layer, 0, keys=154), ATTEND)
        made.append(matrices(154) - before)
    assert made[0] > 0 and made == [made[0]] * 4
    del run
    assert matrices(154) == before


def test_what_an_earlier_patch_adds_is_added_once() -> None:
    """The second call, for rows that keep some of their own map, uses the separate attention function."""
    run, (q, k, v) = run_of(WEIGHTS), qkv(run_of(), NEAR, 1)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ATTEND(q, k, v) + 1

    result = run.cross(call(NEAR, 0.0), q, k, v, attend, ATTEND)
    torch.testing.assert_close(result, run.cross(call(NEAR, 0.0), q, k, v, ATTEND) + 1)


# Stores


def test_a_record_sees_the_edited_maps() -> None:
    """A* = A_s·W_s + A_e·diag(w_e) of the edit rows, the source's own in its row."""
    what = record("red", "grass")
    run = run_of(TokenEdit("refine"), WEIGHTS, what)
    cross(run, NEAR, 0.2)
    run.finish(latents(run))
    found, case = what.store.read(latents(run)).maps[NEAR][0], as_case(run, NEAR, 0.2, 0)
    a = [case.map(row).mean(0) for row in range(3, 6)]  # the conditional half
    for row, prompt in enumerate(PROMPTS.prompts):
        mixed = mixing(run.plan, row, NEAR, 0.2) if row else None
        edited = a[row] if mixed is None else a[0] @ mixed.from_source.double() + a[row] * mixed.own.double()
        for n, word in enumerate(["red", "grass"]):
            columns = list(prompt.find(word)) if prompt.has(word) else []
            expected = edited[:, columns].sum(1).view(SIZES[NEAR]).float()
            torch.testing.assert_close(found[row, n], expected)
    assert found[1, 0].any() and not found[0, 0].any()


def own_maps(what: Record) -> Tensor:
    kept = what.store.read().self_map
    assert kept is not None
    return kept


def test_self_attention_is_recorded_as_it_was_used() -> None:
    for progress, injects in [(0.0, True), (0.4, False)]:  # inside its window and after it
        what = record(self_scale=1)
        run = run_of(EDIT, what)
        own(run, NEAR, progress)
        run.finish(latents(run))
        of_source, of_edit = own_maps(what)[:2]
        assert torch.equal(of_source, of_edit) == injects


def test_a_run_without_an_edit_is_recorded_and_left_alone() -> None:
    what = record("cat", prompts=ALONE)
    run = run_of(what, prompts=ALONE)
    assert run.start(SIGMAS, [0.0, 0.5, 0.9]) is None
    q, k, v = qkv(run, NEAR, 0)
    assert torch.equal(cross(run, NEAR, 0.2), ATTEND(q, k, v))
    rows = latents(run)
    assert run.before_model(rows, 2.0, 0.5) is rows and run.after_model(rows, 0.5) is rows
    assert run.guided(rows, [rows], 0.5) == (rows, [rows]) and run.finish(rows) is rows
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


def test_a_store_keeps_the_last_run_while_another_goes_on() -> None:
    what, around = record("cat"), blend("cat")
    for seed in range(3):
        run = run_of(what, around)
        cross(run, NEAR, 0.5, seed)
        run.after_model(latents(run), 0.5)
        for store in (what.store, around.store):
            if seed:
                assert store.read(latents(run, seed - 1)) is store.read()
            else:
                with pytest.raises(P2PError, match="never filled"):
                    store.read()
        rows = run.finish(latents(run, seed))
        found, mask = what.store.read(rows), around.store.read(rows)
        assert found.blend is None and found.rows == Rows(3, 1)
        assert mask.blend is not None and mask.blend.shape == (2, *LATENT)


def test_what_a_run_returns_leads_to_its_maps() -> None:
    """Its rows, and its last prediction if the host returns that too."""
    what = record("cat")
    for seed in (1, 2):
        run = run_of(what)
        cross(run, NEAR, 0.5, seed)
        run.finish(latents(run, seed), latents(run, 10 + seed))
    for seed in (1, 2):
        expected = plain_map(run, NEAR, seed, 0, ("cat",))
        for returned in (latents(run, seed), latents(run, 10 + seed)):
            torch.testing.assert_close(what.store.read(returned).maps[NEAR][0, 0, 0], expected)


def test_nan_in_one_map_leaves_all_stores_as_they_were() -> None:
    good, bad = record("cat", layers=LayerFilter("1/1")), record("cat", layers=LayerFilter("1/2"))
    run = run_of(good, bad)
    cross(run, NEAR, 0.5)
    run.finish(latents(run))
    kept = good.store.read()

    run, (q, k, v) = run_of(good, bad), qkv(run, FAR, 0)
    cross(run, NEAR, 0.5)
    run.cross(call(FAR, 0.5), q * torch.nan, k, v, ATTEND)
    with pytest.raises(P2PError, match="got NaN or infinity in middle 0"):
        run.finish(latents(run, 1))
    assert good.store.read() is kept


def test_self_attention_that_the_model_lacks_is_refused_at_the_start() -> None:
    with pytest.raises(P2PError, match=r"got 1/8\. Choose one of 1/1, 1/2"):
        run_of(record(self_scale=8))


class Slow:
    """An observer that takes its time and notes how many calls are in it at once."""

    def __init__(self) -> None:
        self.inside, self.most, self.calls = 0, 0, 0

    def observes(self, layer: Layer, progress: float) -> bool:
        return True

    observes_self = observes

    def observe(self, call: Call, q: Tensor, k: Tensor, batch: EditedBatch) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        sleep(0.002)
        self.inside, self.calls = self.inside - 1, self.calls + 1

    observe_self = observe

    def observe_joint(
        self, call: Call, joint: JointCall, edits: Sequence[JointEdit], batch: EditedBatch
    ) -> None:
        raise AssertionError("a U-Net has no joint attention")


class Watch(Step):
    """A step of one's own that only looks."""

    def __init__(self) -> None:
        self.observer = Slow()

    def begin(self, scene: Scene) -> Hooks:
        hooks = Hooks()
        hooks.observer = self.observer
        return hooks


def test_parts_of_a_batch_on_threads_are_observed_one_after_the_other() -> None:
    """As a host with several GPUs calls them."""
    watch = Watch()
    run = run_of(EDIT, watch)
    threads = [Thread(target=kind, args=(run, NEAR, 0.9)) for kind in (cross, own) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (watch.observer.calls, watch.observer.most) == (8, 1)


# Local blend


def test_latents_are_blended_by_the_mask_of_the_means_so_far() -> None:
    around = blend("cat", edit=("dog", "cow"), threshold=0.6, layers=LayerFilter("all"))
    run = run_of(around, samples=2)
    rows, layout, masks = latents(run), Rows(3, 2), []
    for step, progress in enumerate([0.25, 0.5]):
        entering = run.before_model(rows, 1.0, progress)
        assert torch.equal(entering, blended(rows, masks[-1], 3) if masks else rows)
        for layer in LAYERS:
            cross(run, layer, progress, seed=step)
        means = {layer: means_of(run, layer, step + 1) for layer in LAYERS}
        masks.append(MaskRule(0.6).of_maps(means, None, layout, LATENT))
        assert torch.equal(run.after_model(rows, progress), blended(rows, masks[-1], 3))
    assert 0 < masks[1].mean() < 1 and not torch.equal(*masks)
    final = latents(run, seed=5)
    result = run.finish(final)
    assert torch.equal(result, blended(final, masks[1], 3))
    recorded = around.store.read(result)
    assert recorded.blend is not None and torch.equal(recorded.blend, masks[1])
    others = torch.stack(list(recorded.masks_at([0.6, 0.9])), 1)  # without another run
    assert torch.equal(others[0], masks[1]) and others[1].sum() < masks[1].sum()


def means_of(run: Run, layer: Layer, calls: int) -> Tensor:
    """[R, 2, h, w] of the blend's words over the first calls; nothing is subtracted."""
    added = [
        torch.stack([plain_map(run, layer, seed, row, words) for seed in range(calls)]).mean(0)
        for row in range(run.scene.rows.count)
        for words in [("dog", "cow") if run.scene.rows.prompt(row) else ("cat",)]
    ]
    return torch.stack([torch.stack(added), torch.zeros(len(added), *SIZES[layer])], dim=1)


def test_a_blend_starts_at_its_start_and_when_there_are_maps() -> None:
    run, rows = run_of(blend("cat", start=0.4, threshold=0.9)), latents(run_of())
    assert run.after_model(rows, 0.5) is rows  # no maps yet
    cross(run, NEAR, 0.5)
    assert run.after_model(rows, 0.39) is rows and run.before_model(rows, 1.0, 0.39) is rows
    for progress in (0.4, 1.0):
        assert not torch.equal(run.after_model(rows, progress), rows)
        assert not torch.equal(run.before_model(rows, 1.0, progress), rows)


def test_a_users_mask_needs_no_maps() -> None:
    masks = torch.rand(4, *LATENT, generator=torch.Generator().manual_seed(0))  # of two edits of two samples
    run = run_of(blend(mask=masks), samples=2)
    rows = latents(run)
    assert torch.equal(run.before_model(rows, 1.0, 0.2), blended(rows, masks, 3))
    assert run.before_model(rows, 1.0, 0.19) is rows


def test_blends_follow_each_other() -> None:
    """A cell stays the edit's if every mask contains it."""
    masks = torch.zeros(2, 1, *LATENT)
    masks[0, :, :2], masks[1, :, :, :3] = 1, 1
    run, rows = run_of(*(blend(mask=mask) for mask in masks)), latents(run_of())
    result = run.finish(run.after_model(rows, 0.5))
    assert torch.equal(result, blended(rows, (masks[0] * masks[1]).expand(2, -1, -1), 3))


@pytest.mark.parametrize(("start", "last"), [(0.8, 0.79), (1.0, 0.96)])
def test_a_blend_that_starts_after_the_last_call_is_refused_before_the_sampling(
    start: float, last: float
) -> None:
    what, around = record("cat"), blend("cat", start=start)
    run = run_of(what, around)
    with pytest.raises(
        P2PError, match=rf"last step, which is at {last:g}, got a start of {start:g}\."
    ) as error:
        run.start(SIGMAS, [0.0, 0.5, last])
    assert error.value.topic == "late blend"
    with pytest.raises(P2PError, match="starts by the last step"):
        run.start(SIGMAS[:1], [])
    run_of(blend("cat", start=last)).start(SIGMAS, [0.0, 0.5, last])


def test_a_blend_that_never_had_maps_is_refused_and_no_store_is_filled() -> None:
    """With a host that never calls the attention of its layers."""
    what, around = record("cat"), blend("cat", layers=LayerFilter("middle"))
    run, rows = run_of(what, around), latents(run_of())
    run.start(SIGMAS, [0.0, 0.5, 0.9])
    cross(run, NEAR, 0.9)
    run.after_model(rows, 0.9)
    with pytest.raises(P2PError, match="acts at least once, got none"):
        run.finish(rows)
    for store in (what.store, around.store):
        with pytest.raises(P2PError, match="never filled"):
            store.read()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_latent_that_is_no_number_is_refused_and_fills_no_store(value: float) -> None:
    recorded = record("cat")
    run = run_of(TokenEdit("edit"), recorded)
    rows = latents(run)
    rows[1, 0, 0, 0] = value
    with pytest.raises(P2PError, match=r"NaN or infinity in edit 1\. Use smaller weights"):
        run.finish(rows)
    with pytest.raises(P2PError, match="never filled"):
        recorded.store.read()
