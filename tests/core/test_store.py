"""Stores keep the last few runs and find each by a latent that it returned."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from prompts_of import made_of
from stored import batch_of, channels, scene_of
from torch import Tensor

from p2p_core.architecture.layers import Layer
from p2p_core.errors import P2PError
from p2p_core.maps.recording import Record, Recorder
from p2p_core.maps.store import MOST_BYTES, RUNS, MapStore, Recorded
from p2p_core.step import Call
from p2p_core.words.prompts import PromptSet

PROMPTS = PromptSet(made_of("a cat*2 on grass"), (made_of("a dog on a hill"),))
MIDDLE = Layer("middle", 0, 0, 8)
LATENT = (16, 24)


def latent(seed: int, rows: int = 2, *sides: int) -> Tensor:
    """The result of a sampling with this seed, [R, 4, 16, 24]."""
    size = (rows, 4, *(sides or LATENT))
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def recorded_of(
    words: Sequence[str], layers: dict[Layer, tuple[int, int]], size: tuple[int, int] = LATENT
) -> Recorded:
    """The record of a run with one sample of the pair, one call per layer."""
    record = Record(channels(PROMPTS, words), MapStore())
    watch = Recorder(record, scene_of(PROMPTS, 1, size, list(layers)))
    for layer, (h, w) in layers.items():
        q, k = torch.zeros(2, h * w, 4), torch.zeros(2, 77, 4)
        watch.observe(Call(layer, 0, (h, w), 1, (True,)), q, k, batch_of(2))
    return watch.recorded([])


def run(*returned: Tensor) -> Recorded:
    """A small run that returned these latents."""
    record = Record(channels(PROMPTS, ["a"]), MapStore())
    rows = len(returned[0]) if returned else 2
    watch = Recorder(record, scene_of(PROMPTS, rows // 2, LATENT, [MIDDLE]))
    q, k = torch.zeros(rows, 6, 4), torch.zeros(rows, 77, 4)
    watch.observe(Call(MIDDLE, 0, (2, 3), 1, (True,)), q, k, batch_of(2, rows // 2))
    return watch.recorded(returned)


def filled(*runs: Recorded) -> MapStore:
    store = MapStore()
    for each in runs:
        store.fill(each)
    return store


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


def test_a_store_is_one_object_in_all_copies() -> None:
    what = Record(channels(PROMPTS, ["a"]), MapStore())
    again = copy.deepcopy({"options": [what]})["options"][0]
    assert again is not what and again.store is what.store
    what.store.fill(run())
    assert again.store.read() is what.store.read()


# Which run a latent came from


def test_without_a_latent_the_last_run_is_read() -> None:
    first, second = run(latent(1)), run(latent(2))
    assert filled(first, second).read() is second


def test_two_runs_are_told_apart_by_their_latents() -> None:
    """Two samplers on one model, or an old seed from the host's cache."""
    first, second = run(latent(1)), run(latent(2))
    store = filled(first, second)
    assert store.read(latent(1)) is first and store.read(latent(2)) is second
    assert store.read(latent(1)) is first  # reading removes nothing


def test_the_same_run_twice_is_the_later_one() -> None:
    first, again = run(latent(1)), run(latent(1))
    assert filled(first, again).read(latent(1)) is again


def test_each_latent_that_a_run_returned_is_known() -> None:
    """A sampler may return the last prediction in addition to its rows."""
    both, other = run(latent(1), latent(2)), run(latent(3))
    store = filled(both, other)
    assert store.read(latent(1)) is both and store.read(latent(2)) is both


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 0.01, 20.0])
def test_a_copy_in_another_precision_is_recognised(dtype: torch.dtype, scale: float) -> None:
    first, second = run(scale * latent(1)), run(scale * latent(2))
    store = filled(first, second)
    assert store.read((scale * latent(1)).to(dtype)) is first


def test_a_clip_of_one_frame_is_recognised() -> None:
    first = run(latent(1))
    assert filled(first).read(latent(1)[:, :, None]) is first


def test_the_latent_of_another_sampling_is_refused() -> None:
    store = filled(run(latent(1)), run(latent(2)))
    with pytest.raises(
        P2PError, match="of the last 2 runs that filled the store, got the latent of another"
    ) as error:
        store.read(latent(3))
    assert error.value.topic == "other run"


@pytest.mark.parametrize("row", [0, 1])
def test_a_latent_with_one_changed_row_is_another(row: int) -> None:
    """Two edits of one source, or one edit of two sources."""
    changed = latent(1)
    changed[row] = latent(2)[row]
    with pytest.raises(P2PError, match="another sampling"):
        filled(run(latent(1))).read(changed)


@pytest.mark.parametrize("part", [(slice(0, 8), slice(0, 24)), (slice(6, 12), slice(9, 15))])
def test_a_latent_that_was_changed_in_a_part_is_another(part: tuple[slice, slice]) -> None:
    """As two local blends with one seed and one edit do."""
    changed = latent(1)
    changed[1][(slice(None), *part)] += 0.5
    with pytest.raises(P2PError, match="another sampling"):
        filled(run(latent(1))).read(changed)


def test_a_latent_that_is_the_same_everywhere_is_known_and_others_are_not() -> None:
    flat = torch.zeros(2, 4, *LATENT)
    store = filled(run(flat))
    assert store.read(flat.clone()) is store.read()
    with pytest.raises(P2PError, match="another sampling"):
        store.read(flat + 0.1)


def test_runs_of_other_sizes_do_not_stand_in_the_way() -> None:
    pair, two = run(latent(1)), run(latent(2, 4))
    store = filled(pair, two)
    assert store.read(latent(1)) is pair and store.read(latent(2, 4)) is two


def test_an_empty_store_says_so() -> None:
    for given in (None, latent(1)):
        with pytest.raises(P2PError, match="got one that was never filled") as error:
            MapStore().read(given)
        assert error.value.topic == "store"


@pytest.mark.parametrize(
    ("shape", "got"),
    [((2, 4, 24, 16), "2 of 16 × 24"), ((1, 4, 16, 24), "1 of 24 × 16"), ((4, 4, 16, 24), "4 of 24 × 16")],
)
def test_a_store_of_a_run_of_another_size_says_so(shape: tuple[int, ...], got: str) -> None:
    store = filled(run(latent(1)))
    with pytest.raises(P2PError, match="the run that filled the store, 2 of 24 × 16") as error:
        store.read(torch.zeros(shape))
    assert error.value.got == got


# How many are kept


def test_an_old_seed_is_found_while_its_run_is_kept() -> None:
    runs = [run(latent(seed)) for seed in range(RUNS + 1)]
    store = filled(*runs[:RUNS])
    assert [store.read(latent(seed)) for seed in range(RUNS)] == runs[:RUNS]
    store.fill(runs[RUNS])
    assert [store.read(latent(seed)) for seed in range(1, RUNS + 1)] == runs[1:]
    with pytest.raises(P2PError, match=f"one of the last {RUNS} runs"):
        store.read(latent(0))


def large(seed: int, share: float) -> Recorded:
    """A run whose maps take a share of a store's limit, without touching the memory itself."""
    cells = int(share * MOST_BYTES / 4)
    maps = {MIDDLE: torch.zeros(1).expand(1, 2, 1, 1, cells // 2)}
    return replace(run(latent(seed)), maps=maps)


def test_large_runs_push_the_oldest_out_and_the_newest_is_kept_at_any_size() -> None:
    first, second, third = large(1, 0.4), large(2, 0.5), large(3, 0.4)
    store = filled(first, second)
    assert store.read(latent(1)) is first
    store.fill(third)
    assert store.read(latent(2)) is second and store.read(latent(3)) is third
    with pytest.raises(P2PError, match="another sampling"):
        store.read(latent(1))
    store.fill(huge := large(4, 3.0))
    assert store.read() is huge
    with pytest.raises(P2PError, match="one of the last 1 runs"):
        store.read(latent(3))
