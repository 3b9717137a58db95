"""Attention maps of chosen words: their values, their running means, and the store they are left in."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from attending import Shapes
from hypothesis import given
from hypothesis import strategies as st
from paper_form import Case, batch, cases, maps, random_mixing
from prompts_of import made_of, tries
from torch import Tensor

from p2p_core.architecture.layers import Layer, LayerFilter
from p2p_core.attention.editing import paired_rows
from p2p_core.attention.probing import column_maps, probabilities, word_maps
from p2p_core.errors import P2PError
from p2p_core.maps.recording import Record, Recorder
from p2p_core.maps.store import Channel, MapStore, Recorded, all_words, word_channel
from p2p_core.rows import PairedRow
from p2p_core.words.prompts import PromptSet
from p2p_core.words.windows import Window

PROMPTS = PromptSet(made_of("a cat*2 on grass"), (made_of("a dog on a hill"),))
MIDDLE, DEEP, OUTPUT = Layer("middle", 0, 0, 8), Layer("input", 7, 0, 8), Layer("output", 3, 0, 4)
SIZE = (2, 3)


# Maps in value space


def paper_map(case: Case, row: PairedRow) -> Tensor:
    """A* of a row, the mean over heads, [N, T] in float64."""
    own = case.map(row.row).mean(0)
    if row.mixing is None:
        return own
    return case.map(row.source).mean(0) @ row.mixing.from_source.double() + own * row.mixing.own.double()


def random_indicators(columns: Sequence[int], channels: int, seed: int) -> list[Tensor]:
    """For each prompt [T, n] of 0 and 1."""
    random = torch.Generator().manual_seed(seed)
    return [(torch.rand(t, channels, generator=random) < 0.4).float() for t in columns]


def rows_of(case: Case) -> list[PairedRow]:
    """Every row as a prompt of its own, edited or not."""
    edits = {edit.row: edit for edit in case.edits}
    rows = [PairedRow(row, row, 0, row) for row in range(len(case.columns))]
    return [replace(r, source=e.source, mixing=e.mixing) if (e := edits.get(r.row)) else r for r in rows]


@tries(80)
@given(cases(), st.integers(1, 12), st.integers(0, 99))
def test_maps_are_the_papers_maps_summed_over_the_columns_of_each_word(
    case: Case, channels: int, seed: int
) -> None:
    """Plain rows and edited ones, repeated key columns, more words than a head has channels."""
    rows, indicators = rows_of(case), random_indicators(case.columns, channels, seed)
    expected = torch.stack([paper_map(case, row) @ indicators[row.row].double() for row in rows])
    result = word_maps(case.q, case.k, case.heads, rows, indicators)
    torch.testing.assert_close(result.double(), expected, atol=1e-4, rtol=1e-4)  # sums over up to 2520 keys


def test_maps_of_half_precision_are_computed_in_float32() -> None:
    case = batch(2, 8, 9, [5, 5], 1, seed=0)
    case.q, case.k = case.q.half() * 30, case.k.half()
    indicators = random_indicators(case.columns, 3, 0)
    result = word_maps(case.q, case.k, case.heads, rows_of(case), indicators)
    expected = torch.stack([case.map(r).mean(0) @ indicators[r].double() for r in range(2)])
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=1e-5)


def test_only_the_rows_asked_for_are_computed() -> None:
    case = batch(1, 4, 5, [6, 6, 6, 6], 1, seed=0)
    indicators = random_indicators([6, 6], 2, 0)
    some = [PairedRow(3, 2, 0, 1, random_mixing(6, 6, "soft", 0)), PairedRow(2, 2, 0, 0)]
    result = word_maps(case.q, case.k, 1, some, indicators)
    expected = torch.stack([paper_map(case, row) @ indicators[row.prompt].double() for row in some])
    torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=1e-5)
    nothing = word_maps(case.q, case.k, 1, some, [torch.zeros(6, 2)] * 2)
    assert torch.equal(nothing, torch.zeros(2, 5, 2))


def test_no_map_is_built() -> None:
    """Of cross-attention: pixels by columns is a shape that nothing has."""
    pixels, columns = 48, 35
    case = batch(2, 8, pixels, [columns] * 2, 1, seed=0)
    rows = [PairedRow(0, 0, 0, 0), PairedRow(1, 0, 0, 1, random_mixing(columns, columns, "soft", 0))]
    with Shapes() as shapes:
        word_maps(case.q, case.k, 2, rows, random_indicators(case.columns, 11, 0))
    assert (pixels, 11) in shapes.seen
    assert not shapes.seen & {(pixels, columns), (columns, pixels)}
    with Shapes() as shapes:
        probabilities(case.q[0], case.k[0], 2)
    assert (pixels, columns) in shapes.seen


def test_the_whole_map_of_a_row_is_the_mean_over_heads() -> None:
    case = batch(3, 4, 6, [7], 1, seed=0)
    whole = probabilities(case.q[0].half(), case.k[0].half(), 3)
    torch.testing.assert_close(whole.double(), maps(case.q[0].half(), case.k[0].half(), 3).mean(0))
    every = column_maps(case.q.half(), case.k.half(), torch.eye(7)[None], 3)[0]
    torch.testing.assert_close(every, whole)


# What is recorded


def record(*words: str, prompts: PromptSet = PROMPTS, **options: object) -> Record:
    return Record(tuple(word_channel(word, prompts) for word in words), MapStore(), **options)  # type: ignore[arg-type]


def recorder(what: Record, samples: int = 1, prompts: PromptSet = PROMPTS) -> Recorder:
    return Recorder(what, prompts, samples, (16, 24))


def call(seed: int, rows: int = 2, pixels: int = 6, keys: int = 77) -> tuple[Tensor, Tensor]:
    """q [B, N, C] and k [B, K, C] of two heads."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(rows, pixels, 8, generator=random), torch.randn(rows, keys, 8, generator=random)


def expected_map(q: Tensor, k: Tensor, row: int, columns: Sequence[int], size: tuple[int, int]) -> Tensor:
    return maps(q[row], k[row], 2).mean(0)[:, list(columns)].sum(1).view(size).float()


PAIR = paired_rows(2, [True], 2)


def test_a_word_is_recorded_where_its_prompts_have_it() -> None:
    assert word_channel("cat", PROMPTS) == Channel("cat", ((2, 3), ()))
    assert word_channel("on a hill", PROMPTS) == Channel("on a hill", ((), (3, 4, 5)))
    assert word_channel("a", PROMPTS) == Channel("a", ((1,), (1, 4)))
    with pytest.raises(P2PError, match="got 'owl'"):
        word_channel("owl", PROMPTS)


def test_all_words_are_named_so_that_each_is_found() -> None:
    prompts = PromptSet(made_of("a cat , a cat"), (made_of("a dog on a hill a"),))
    assert all_words(prompts) == ("a", "cat", ",", "a[2]", "cat[2]", "dog", "on", "hill", "a[3]")
    assert word_channel("a[3]", prompts).columns == ((), (6,))
    assert word_channel("a", PromptSet(prompts.source, ())).columns == ((1, 4),)


def test_the_mean_over_calls_by_row_and_word() -> None:
    watch, calls = recorder(record("cat", "a")), [call(seed) for seed in range(3)]
    for q, k in calls:
        watch.observe(MIDDLE, 0.5, SIZE, q, k, 2, PAIR)
    (recorded,) = watch.recorded().maps.values()
    assert recorded.shape == (1, 2, 2, *SIZE) and recorded.dtype == torch.float32
    for row, n, columns in [(0, 0, (2, 3)), (0, 1, (1,)), (1, 1, (1, 4))]:
        mean = torch.stack([expected_map(q, k, row, columns, SIZE) for q, k in calls]).mean(0)
        torch.testing.assert_close(recorded[0, row, n], mean)
    assert not recorded[0, 1, 0].any()  # the edit has no cat
    torch.testing.assert_close(watch.mean()[MIDDLE], recorded[0])


def test_parts_of_the_window_have_means_of_their_own_and_the_mean_is_over_all_calls() -> None:
    watch = recorder(record("cat", window=Window(0.2, 1), parts=4))
    progress = [0.0, 0.19, 0.2, 0.3, 0.39, 0.45, 0.8, 1.0]
    parts = {0: (2, 3, 4), 1: (5,), 2: (), 3: (6, 7)}
    calls = [call(seed) for seed in range(len(progress))]
    for at, (q, k) in zip(progress, calls, strict=True):
        watch.observe(MIDDLE, at, SIZE, q, k, 2, PAIR)
    found = [expected_map(q, k, 0, (2, 3), SIZE) for q, k in calls]
    recorded = watch.recorded().maps[MIDDLE]
    for part, seen in parts.items():
        mean = torch.stack([found[i] for i in seen]).mean(0) if seen else torch.zeros(SIZE)
        torch.testing.assert_close(recorded[part, 0, 0], mean)
    torch.testing.assert_close(watch.mean()[MIDDLE][0, 0], torch.stack(found[2:]).mean(0))


def test_a_row_that_a_call_holds_twice_counts_twice() -> None:
    """Two conditionings of an area each have the same prompts: four rows of one call, two of the result."""
    watch, (q, k), (more_q, more_k) = recorder(record("cat")), call(0, rows=4), call(1)
    watch.observe(MIDDLE, 0, SIZE, q, k, 2, paired_rows(4, [True, True], 2))
    watch.observe(MIDDLE, 0, SIZE, more_q, more_k, 2, PAIR)
    found = [expected_map(q, k, row, (2, 3), SIZE) for row in (0, 2)]
    found.append(expected_map(more_q, more_k, 0, (2, 3), SIZE))
    torch.testing.assert_close(watch.recorded().maps[MIDDLE][0, 0, 0], torch.stack(found).mean(0))


def test_rows_that_are_not_in_every_call_have_the_mean_of_theirs() -> None:
    watch, calls = recorder(record("a")), [call(seed) for seed in range(3)]
    for rows, (q, k) in zip([PAIR, PAIR[:1], PAIR[1:]], calls, strict=True):
        watch.observe(MIDDLE, 0, SIZE, q, k, 2, rows)
    watch.observe(OUTPUT, 0, SIZE, *calls[0], 2, [])
    recorded = watch.recorded().maps
    assert set(recorded) == {MIDDLE}
    for row, columns, seen in [(0, (1,), calls[:2]), (1, (1, 4), calls[::2])]:
        mean = torch.stack([expected_map(q, k, row, columns, SIZE) for q, k in seen]).mean(0)
        torch.testing.assert_close(recorded[MIDDLE][0, row, 0], mean)


def test_samples_stand_one_after_the_other() -> None:
    watch, (q, k) = recorder(record("a"), samples=2), call(0, rows=8)
    watch.observe(MIDDLE, 0, SIZE, q, k, 2, paired_rows(8, [False, True], 2))
    for row, columns in enumerate([(1,), (1, 4), (1,), (1, 4)]):
        found = watch.recorded().maps[MIDDLE][0, row, 0]
        torch.testing.assert_close(found, expected_map(q, k, row + 4, columns, SIZE))


def test_only_chosen_layers_are_recorded_and_maps_have_height_before_width() -> None:
    watch, (q, k) = recorder(record("a", layers=LayerFilter("1/4"))), call(0)
    for layer in (MIDDLE, OUTPUT):
        watch.observe(layer, 0, (3, 2), q, k, 2, PAIR)
    assert {layer: tuple(m.shape) for layer, m in watch.recorded().maps.items()} == {OUTPUT: (1, 2, 1, 3, 2)}
    torch.testing.assert_close(watch.recorded().maps[OUTPUT][0, 0, 0], expected_map(q, k, 0, (1,), (3, 2)))


def test_words_chosen_before_reweighting_made_copies_of_the_source_are_recorded_in_them() -> None:
    alone = PromptSet(PROMPTS.source, ())
    watch, (q, k) = recorder(record("cat", prompts=alone), prompts=alone.copies(2)), call(0, rows=3)
    watch.observe(MIDDLE, 0, SIZE, q, k, 2, paired_rows(3, [True], 3))
    recorded = watch.recorded()
    assert recorded.channels == (Channel("cat", ((2, 3),) * 3),)
    for row in range(3):
        torch.testing.assert_close(recorded.maps[MIDDLE][0, row, 0], expected_map(q, k, row, (2, 3), SIZE))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_maps_that_are_not_finite_are_refused(bad: float) -> None:
    """Once in a mean they stay in it, whatever comes after, so they are found where it is read."""
    watch, own = recorder(record("a", parts=2)), recorder(record(self_scale=8))
    for spoiled, progress in [(False, 0), (True, 0), (False, 0), (False, 0.9)]:
        q, k = call(0)
        watch.observe(OUTPUT, progress, SIZE, q, k, 2, PAIR)
        own.observe_self(DEEP, progress, SIZE, q, q, 2, PAIR, from_source=False)
        q[1, 4, 2] = bad if spoiled else 0
        watch.observe(MIDDLE, progress, SIZE, q, k, 2, PAIR)
        own.observe_self(MIDDLE, progress, SIZE, q, q, 2, PAIR, from_source=False)
    for read in (watch.mean, watch.recorded, own.recorded):
        with pytest.raises(P2PError, match="got NaN or infinity in middle 0"):
            read()


def test_nothing_is_read_from_the_device_while_maps_are_recorded() -> None:
    """Meta tensors have no values to read; on a GPU each look would wait for all that came before."""
    q, k = (t.to("meta") for t in call(0))
    watch = recorder(record("a", "cat", self_scale=8))
    for _ in range(2):
        watch.observe(MIDDLE, 0, SIZE, q, k, 2, PAIR)
        watch.observe_self(MIDDLE, 0, SIZE, q, q, 2, PAIR, from_source=False)
    assert watch._means[MIDDLE, 0].count == [2, 2] and watch._self_finite[MIDDLE].is_meta


def test_a_layer_whose_size_changes_is_refused() -> None:
    watch = recorder(record("a"))
    watch.observe(MIDDLE, 0, SIZE, *call(0), 2, PAIR)
    with pytest.raises(P2PError, match=r"got \[1, 2, 2\] after \[1, 2, 3\]"):
        watch.observe(MIDDLE, 0, (2, 2), *call(0, pixels=4), 2, PAIR)


# Self-attention


@pytest.mark.parametrize("from_source", [True, False])
def test_self_attention_is_one_mean_over_layers_and_calls_as_it_acts(from_source: bool) -> None:
    watch = recorder(record(self_scale=8, window=Window(0, 0.5)))
    calls = [call(seed, keys=6) for seed in range(6)]
    for progress, layer, (q, k) in zip([0, 0, 0.4, 0.4, 0.5, 0.5], [MIDDLE, DEEP] * 3, calls, strict=True):
        watch.observe_self(layer, progress, SIZE, q, k, 2, PAIR, from_source)
        watch.observe_self(OUTPUT, progress, SIZE, q, k, 2, PAIR, from_source)
        watch.observe(layer, progress, SIZE, q, k, 2, PAIR)
    recorded = watch.recorded()
    assert recorded.self_map is not None and recorded.self_size == SIZE and not recorded.maps
    assert recorded.bytes == recorded.self_map.nbytes == 4 * 6**2 * 2
    for row in (0, 1):
        used = 0 if from_source else row
        mean = torch.stack([maps(q[used], k[used], 2).mean(0).float() for q, k in calls[:4]]).mean(0)
        torch.testing.assert_close(recorded.self_map[row], mean)


def test_self_attention_of_the_chosen_layers_alone_is_recorded() -> None:
    some = record(self_scale=8, layers=LayerFilter("input"))
    layers = [MIDDLE, DEEP, Layer("input", 4, 0, 4)]
    assert [some.keeps_self(layer) for layer in layers] == [False, True, False]
    watch, (q, k) = recorder(some), call(0, keys=6)
    watch.observe_self(MIDDLE, 0, SIZE, q, k, 2, PAIR, from_source=False)
    assert (watch.recorded().self_map, watch.recorded().self_size) == (None, None)
    assert not record("a").keeps_self(MIDDLE)


@pytest.mark.parametrize(("size", "pixels"), [((3, 2), 6), ((2, 2), 4)])
def test_self_attention_of_layers_of_several_sizes_is_refused(size: tuple[int, int], pixels: int) -> None:
    watch, (q, _), (other, _) = recorder(record(self_scale=8)), call(0), call(0, pixels=pixels)
    watch.observe_self(MIDDLE, 0, SIZE, q, q, 2, PAIR, from_source=False)
    with pytest.raises(P2PError, match="attention maps of one size, got"):
        watch.observe_self(DEEP, 0, size, other, other, 2, PAIR, from_source=False)


def test_self_attention_that_no_layer_has_is_refused() -> None:
    record(self_scale=4).require_self([MIDDLE, OUTPUT])
    record("a").require_self([MIDDLE])
    with pytest.raises(P2PError, match="got 1/2") as error:
        record(self_scale=2).require_self([MIDDLE, OUTPUT])
    assert error.value.mend.startswith("Choose one of 1/4, 1/8,")
    with pytest.raises(P2PError, match=r"Choose one of 1/8,"):
        record(self_scale=4, layers=LayerFilter("middle")).require_self([MIDDLE, OUTPUT])


def test_self_attention_of_too_many_tokens_is_refused() -> None:
    q = torch.zeros(2, 65 * 64, 8)
    with pytest.raises(P2PError, match="at most 4096 image tokens, got 64 × 65 in middle 0"):
        recorder(record(self_scale=8)).observe_self(MIDDLE, 0, (65, 64), q, q, 2, PAIR, from_source=False)


# The store


def recorded_of(
    words: Sequence[str], layers: dict[Layer, tuple[int, int]], latent: tuple[int, int]
) -> Recorded:
    """Of a run of one sample of the pair, one call a layer."""
    watch = Recorder(record(*words), PROMPTS, 1, latent)
    for layer, (h, w) in layers.items():
        q, k = torch.zeros(2, h * w, 4), torch.zeros(2, 77, 4)
        watch.observe(layer, 0, (h, w), q, k, 1, PAIR)
    return watch.recorded()


def test_eight_words_of_all_layers_of_sdxl_take_less_than_16_mb() -> None:
    """1024 × 1024 pixels, source and one edit: 60 layers of 32² and 10 of 64²."""
    small = [("input", 7), ("input", 8), ("middle", 0), ("output", 0), ("output", 1), ("output", 2)]
    large = [("input", 4), ("input", 5), ("output", 3), ("output", 4), ("output", 5)]
    layers = {Layer(*block, i, 4): (32, 32) for block in small for i in range(10)}
    layers |= {Layer(*block, i, 2): (64, 64) for block in large for i in range(2)}
    words = ["a", "cat", "on", "grass", "dog", "hill", "a cat", "on a hill"]
    recorded = recorded_of(words, layers, (128, 128))
    assert len(recorded.maps) == 70
    assert recorded.bytes == 4 * 8 * 2 * (60 * 32**2 + 10 * 64**2) <= 16e6
    assert {m.device.type for m in recorded.maps.values()} == {"cpu"}


def test_a_store_gives_what_the_last_run_left() -> None:
    store, first = MapStore(), recorded_of(["a"], {MIDDLE: SIZE}, (16, 24))
    second = recorded_of(["cat"], {MIDDLE: SIZE}, (16, 24))
    store.fill(first)
    store.fill(second)
    assert store.read() is second
    assert store.read(torch.zeros(2, 4, 16, 24)) is second
    assert store.read(torch.zeros(2, 16, 1, 16, 24)) is second


def test_a_store_is_one_object_in_all_copies() -> None:
    what = record("a")
    again = copy.deepcopy({"options": [what]})["options"][0]
    assert again is not what and again.store is what.store
    what.store.fill(recorded_of(["a"], {MIDDLE: SIZE}, (16, 24)))
    assert again.store.read() is what.store.read()


def test_a_store_that_was_never_filled_says_so() -> None:
    store = MapStore()
    with pytest.raises(P2PError, match=r"one that was never filled\. Connect the LATENT of the sampler"):
        store.read()
    store.fill(recorded_of(["a"], {MIDDLE: SIZE}, (16, 24)))
    store.clear()
    with pytest.raises(P2PError, match="never filled"):
        store.read(torch.zeros(2, 4, 16, 24))


@pytest.mark.parametrize(
    ("shape", "got"),
    [((2, 4, 24, 16), "2 of 16 × 24"), ((1, 4, 16, 24), "1 of 24 × 16"), ((4, 4, 16, 24), "4 of 24 × 16")],
)
def test_a_store_of_a_run_of_another_size_says_so(shape: tuple[int, ...], got: str) -> None:
    store = MapStore()
    store.fill(recorded_of(["a"], {MIDDLE: SIZE}, (16, 24)))
    with pytest.raises(P2PError, match="the run that filled the store, 2 of 24 × 16") as error:
        store.read(torch.zeros(shape))
    assert error.value.got == got
