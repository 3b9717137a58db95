"""What a run records: running means of attention by row, word, layer and part of the sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from paper_form import maps
from prompts_of import made_of
from stored import batch_of, channels, scene_of
from torch import Tensor

from p2p_core.architecture.layers import Layer, LayerFilter
from p2p_core.attention.editing import EditedBatch
from p2p_core.errors import P2PError
from p2p_core.maps.recording import Record, Recorder
from p2p_core.maps.store import Channel, MapStore, Recorded, word_channel
from p2p_core.step import Call
from p2p_core.words.prompts import PromptSet
from p2p_core.words.windows import Window

PROMPTS = PromptSet(made_of("a cat*2 on grass"), (made_of("a dog on a hill"),))
MIDDLE, DEEP, OUTPUT = Layer("middle", 0, 0, 8), Layer("input", 7, 0, 8), Layer("output", 3, 0, 4)
SIZE = (2, 3)
PAIR = batch_of(2)


def record(*words: str, prompts: PromptSet = PROMPTS, **options: object) -> Record:
    return Record(channels(prompts, words), MapStore(), **options)  # type: ignore[arg-type]


def recorder(what: Record, samples: int = 1, prompts: PromptSet = PROMPTS) -> Recorder:
    return Recorder(what, scene_of(prompts, samples, (16, 24), [MIDDLE, DEEP, OUTPUT]))


def call(seed: int, rows: int = 2, pixels: int = 6, keys: int = 77) -> tuple[Tensor, Tensor]:
    """q [B, N, C] and k [B, K, C] of two heads."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(rows, pixels, 8, generator=random), torch.randn(rows, keys, 8, generator=random)


def at(layer: Layer, progress: float = 0.0, size: tuple[int, int] = SIZE) -> Call:
    return Call(layer, progress, size, 2, (True,))


def see(
    watch: Recorder, given: Call, q: Tensor, k: Tensor, batch: EditedBatch = PAIR, own: bool = False
) -> None:
    """Called as by a run: only if it observes."""
    if own and watch.observes_self(given.layer, given.progress):
        watch.observe_self(given, q, k, batch)
    elif not own and watch.observes(given.layer, given.progress):
        watch.observe(given, q, k, batch)


def recorded(watch: Recorder) -> Recorded:
    return watch.recorded([])


def expected_map(q: Tensor, k: Tensor, row: int, columns: Sequence[int], size: tuple[int, int]) -> Tensor:
    return maps(q[row], k[row], 2).mean(0)[:, list(columns)].sum(1).view(size).float()


# Words


def test_a_word_is_recorded_where_its_prompts_have_it() -> None:
    assert word_channel("cat", PROMPTS) == Channel("cat", ((2, 3), ()))
    assert word_channel("on a hill", PROMPTS) == Channel("on a hill", ((), (3, 4, 5)))
    assert word_channel("a", PROMPTS) == Channel("a", ((1,), (1, 4)))
    assert word_channel("a[2]", PROMPTS) == Channel("a[2]", ((), (4,)))
    with pytest.raises(P2PError, match="got 'owl'"):
        word_channel("owl", PROMPTS)


def test_the_mean_over_calls_by_row_and_word() -> None:
    watch, calls = recorder(record("cat", "a")), [call(seed) for seed in range(3)]
    for q, k in calls:
        see(watch, at(MIDDLE, 0.5), q, k)
    (found,) = recorded(watch).maps.values()
    assert found.shape == (1, 2, 2, *SIZE) and found.dtype == torch.float32
    for row, n, columns in [(0, 0, (2, 3)), (0, 1, (1,)), (1, 1, (1, 4))]:
        mean = torch.stack([expected_map(q, k, row, columns, SIZE) for q, k in calls]).mean(0)
        torch.testing.assert_close(found[0, row, n], mean)
    assert not found[0, 1, 0].any()  # the edit has no cat
    torch.testing.assert_close(watch.means()[MIDDLE], found[0])


def test_parts_of_the_window_have_means_of_their_own() -> None:
    watch = recorder(record("cat", window=Window(0.2, 1), parts=4))
    progress = [0.0, 0.19, 0.2, 0.3, 0.39, 0.45, 0.8, 1.0]
    parts = {0: (2, 3, 4), 1: (5,), 2: (), 3: (6, 7)}
    calls = [call(seed) for seed in range(len(progress))]
    for moment, (q, k) in zip(progress, calls, strict=True):
        see(watch, at(MIDDLE, moment), q, k)
    by_call = [expected_map(q, k, 0, (2, 3), SIZE) for q, k in calls]
    found = recorded(watch).maps[MIDDLE]
    for part, seen in parts.items():
        mean = torch.stack([by_call[i] for i in seen]).mean(0) if seen else torch.zeros(SIZE)
        torch.testing.assert_close(found[part, 0, 0], mean)


def test_a_row_that_a_call_holds_twice_counts_twice() -> None:
    """Two conditionings with an area each have the same prompts: four rows of one call, two of the result."""
    watch, (q, k), (more_q, more_k) = recorder(record("cat")), call(0, rows=4), call(1)
    see(watch, at(MIDDLE), q, k, batch_of(2, paired=(True, True)))
    see(watch, at(MIDDLE), more_q, more_k)
    found = [expected_map(q, k, row, (2, 3), SIZE) for row in (0, 2)]
    found.append(expected_map(more_q, more_k, 0, (2, 3), SIZE))
    torch.testing.assert_close(recorded(watch).maps[MIDDLE][0, 0, 0], torch.stack(found).mean(0))


def test_rows_that_are_not_in_every_call_have_the_mean_of_theirs() -> None:
    """A host may split the conditionings of a step over several calls, or leave some out."""
    watch, calls = recorder(record("a")), [call(seed) for seed in range(4)]
    given = PAIR.rows, PAIR.rows[:1], PAIR.rows, PAIR.rows[1:]
    for rows, (q, k) in zip(given, calls, strict=True):
        see(watch, at(MIDDLE), q, k, EditedBatch(rows))
    see(watch, at(OUTPUT), *calls[0], EditedBatch(()))
    found = recorded(watch).maps
    assert set(found) == {MIDDLE}
    for row, columns, seen in [(0, (1,), calls[:3]), (1, (1, 4), [calls[0], *calls[2:]])]:
        mean = torch.stack([expected_map(q, k, row, columns, SIZE) for q, k in seen]).mean(0)
        torch.testing.assert_close(found[MIDDLE][0, row, 0], mean)


def test_samples_stand_one_after_the_other() -> None:
    watch, (q, k) = recorder(record("a"), samples=2), call(0, rows=8)
    see(watch, at(MIDDLE), q, k, batch_of(2, 2, (False, True)))
    for row, columns in enumerate([(1,), (1, 4), (1,), (1, 4)]):
        found = recorded(watch).maps[MIDDLE][0, row, 0]
        torch.testing.assert_close(found, expected_map(q, k, row + 4, columns, SIZE))


def test_only_chosen_layers_are_recorded_and_maps_have_height_before_width() -> None:
    watch, (q, k) = recorder(record("a", layers=LayerFilter("1/4"))), call(0)
    for layer in (MIDDLE, OUTPUT):
        see(watch, at(layer, size=(3, 2)), q, k)
    found = recorded(watch).maps
    assert {layer: tuple(m.shape) for layer, m in found.items()} == {OUTPUT: (1, 2, 1, 3, 2)}
    torch.testing.assert_close(found[OUTPUT][0, 0, 0], expected_map(q, k, 0, (1,), (3, 2)))


def test_words_chosen_before_reweighting_made_copies_of_the_source_are_recorded_in_them() -> None:
    alone = PromptSet(PROMPTS.source, ())
    watch, (q, k) = recorder(record("cat", prompts=alone), prompts=alone.copies(2)), call(0, rows=3)
    see(watch, at(MIDDLE), q, k, batch_of(3))
    found = recorded(watch)
    assert found.channels == (Channel("cat", ((2, 3),) * 3),)
    for row in range(3):
        torch.testing.assert_close(found.maps[MIDDLE][0, row, 0], expected_map(q, k, row, (2, 3), SIZE))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_maps_that_are_not_finite_are_refused(bad: float) -> None:
    """They stay in a mean whatever follows, so they are found when it is read."""
    watch, own = recorder(record("a", parts=2)), recorder(record(self_scale=8))
    for spoiled, progress in [(False, 0), (True, 0), (False, 0), (False, 0.9)]:
        q, k = call(0)
        see(watch, at(OUTPUT, progress), q, k)
        see(own, at(DEEP, progress), q, q, own=True)
        q[1, 4, 2] = bad if spoiled else 0
        see(watch, at(MIDDLE, progress), q, k)
        see(own, at(MIDDLE, progress), q, q, own=True)
    for each in (watch, own):
        with pytest.raises(P2PError, match="got NaN or infinity in middle 0"):
            recorded(each)


def test_a_layer_whose_size_changes_is_refused() -> None:
    watch = recorder(record("a"))
    see(watch, at(MIDDLE), *call(0))
    with pytest.raises(P2PError, match=r"got \[1, 2, 2\] after \[1, 2, 3\]"):
        see(watch, at(MIDDLE, size=(2, 2)), *call(0, pixels=4))


# Self-attention


@pytest.mark.parametrize("from_source", [True, False])
def test_self_attention_is_one_mean_over_layers_and_calls_as_it_acts(from_source: bool) -> None:
    watch = recorder(record(self_scale=8, window=Window(0, 0.5)))
    calls = [call(seed, keys=6) for seed in range(6)]
    used = batch_of(2, edited=from_source)
    for progress, layer, (q, k) in zip([0, 0, 0.4, 0.4, 0.5, 0.5], [MIDDLE, DEEP] * 3, calls, strict=True):
        see(watch, at(layer, progress), q, k, used, own=True)
        see(watch, at(OUTPUT, progress), q, k, used, own=True)
        see(watch, at(layer, progress), q, k, used)
    found = recorded(watch)
    assert found.self_map is not None and found.self_size == SIZE and not found.maps
    assert found.bytes == found.self_map.nbytes == 4 * 6**2 * 2
    for row in (0, 1):
        used_row = 0 if from_source else row
        mean = torch.stack([maps(q[used_row], k[used_row], 2).mean(0).float() for q, k in calls[:4]]).mean(0)
        torch.testing.assert_close(found.self_map[row], mean)


def test_self_attention_of_the_chosen_layers_alone_is_recorded() -> None:
    some = record(self_scale=8, layers=LayerFilter("input"))
    layers = [MIDDLE, DEEP, Layer("input", 4, 0, 4)]
    assert [some.keeps_self(layer) for layer in layers] == [False, True, False]
    watch, (q, k) = recorder(some), call(0, keys=6)
    see(watch, at(MIDDLE), q, k, own=True)
    assert (recorded(watch).self_map, recorded(watch).self_size) == (None, None)
    assert not record("a").keeps_self(MIDDLE)


@pytest.mark.parametrize(("size", "pixels"), [((3, 2), 6), ((2, 2), 4)])
def test_self_attention_of_layers_of_several_sizes_is_refused(size: tuple[int, int], pixels: int) -> None:
    watch, (q, _), (other, _) = recorder(record(self_scale=8)), call(0), call(0, pixels=pixels)
    see(watch, at(MIDDLE), q, q, own=True)
    with pytest.raises(P2PError, match="attention maps of one size, got"):
        see(watch, at(DEEP, size=size), other, other, own=True)


def test_self_attention_that_no_layer_has_is_refused() -> None:
    record(self_scale=4).require_layers([MIDDLE, OUTPUT])
    record("a").require_layers([MIDDLE])
    with pytest.raises(P2PError, match="got 1/2") as error:
        record(self_scale=2).require_layers([MIDDLE, OUTPUT])
    assert error.value.hint.startswith("Choose one of 1/4, 1/8,")
    with pytest.raises(P2PError, match=r"Choose one of 1/8,"):
        record(self_scale=4, layers=LayerFilter("middle")).require_layers([MIDDLE, OUTPUT])


def test_self_attention_of_too_many_tokens_is_refused() -> None:
    q = torch.zeros(2, 65 * 64, 8)
    with pytest.raises(P2PError, match="at most 4096 image tokens, got 64 × 65 in middle 0"):
        see(recorder(record(self_scale=8)), at(MIDDLE, size=(65, 64)), q, q, own=True)
