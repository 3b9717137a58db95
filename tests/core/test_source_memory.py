"""Records of sources: their limits, their damage, and runs that leave the recorded way."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from planned import plan_of
from prompts_of import made_of
from torch import Tensor

from p2p_core.architecture.layers import Layer
from p2p_core.errors import P2PError
from p2p_core.memory.attention import Place
from p2p_core.memory.record import SourceCall, SourceMemory, SourceRecord
from p2p_core.memory.remembering import MIB, Remember, Remembering
from p2p_core.words.prompts import PromptSet

STEP = Remember(limit=1, most=4)


def drawn(seed: int, sides: tuple[int, ...] = (1, 4, 8, 8)) -> Tensor:
    return torch.randn(sides, generator=torch.Generator().manual_seed(seed))


def answered(run: Remembering, latent: Tensor, sigma: float, *, by: float = 1.0) -> tuple[Tensor, bool]:
    """A call of a model that multiplies by a number, at guidance 2. Whether it had to compute."""
    run.enter(latent, sigma)
    known = run.recalled([True, True])
    sides = (latent * by, latent * by / 2) if known is None else known
    if known is None:
        run.note(sides)
    with_text, without = sides
    assert with_text is not None and without is not None
    return run.leave(without + 2 * (with_text - without)), known is None


def walked(
    memory: SourceMemory,
    source: object = "a",
    step: Remember = STEP,
    calls: int = 4,
    seed: int = 0,
    **how: Any,
) -> tuple[Remembering, Tensor, list[bool]]:
    """A sampling in which each call starts from the last prediction: its run, its end, what it computed."""
    run, latent, computed = Remembering(step, source, memory), drawn(0), []
    for number in range(calls):
        clean, was_computed = answered(run, latent, 10.0 - number, **how)
        latent = (latent + clean) / 2
        computed.append(was_computed)
    run.finish()
    return run, latent, computed


def test_a_second_run_computes_nothing_of_the_source():
    memory = SourceMemory()
    first, again = walked(memory), walked(memory)
    assert first[2] == [True] * 4 and again[2] == [False] * 4
    assert torch.equal(first[1], again[1])
    assert first[0].outcome.startswith("source recorded") and again[0].outcome.startswith("source reused: ")


def test_another_source_is_computed():
    memory = SourceMemory()
    walked(memory)
    assert walked(memory, "b")[2] == [True] * 4 and len(memory) == 2


def test_from_a_latent_that_differs_on_all_is_computed_and_recorded_anew():
    memory = SourceMemory()
    walked(memory)
    run, latent = Remembering(STEP, "a", memory), drawn(0)
    for number in range(4):
        moved = latent if number < 2 else latent + 1e-7  # as a sampler with steps of its own
        clean, computed = answered(run, moved, 10.0 - number)
        assert computed == (number >= 2)
        latent = (moved + clean) / 2
    run.finish()
    assert run.outcome == "source reused up to call 2, where it changed; computed from there"
    assert walked(memory)[2] == [False, False, True, True]  # the plain way is not the recorded one now


def test_another_noise_level_is_another_call():
    memory = SourceMemory()
    walked(memory)
    run = Remembering(STEP, "a", memory)
    assert answered(run, drawn(0), 10.0 + 1e-6)[1]


def test_a_run_with_more_calls_than_recorded_computes_the_rest():
    memory = SourceMemory()
    walked(memory, calls=3)
    assert walked(memory, calls=5)[2] == [False] * 3 + [True] * 2
    assert walked(memory, calls=5)[2] == [False] * 5


def test_an_evaluation_of_other_sides_is_computed():
    memory = SourceMemory()
    walked(memory)
    run = Remembering(STEP, "a", memory)
    run.enter(drawn(0), 10.0)
    assert run.recalled([True, False]) is None and run.recalled([True, True]) is not None
    assert run.recalled([True, True]) is None  # there was one


def test_an_interrupted_run_leaves_nothing():
    memory = SourceMemory()
    run = Remembering(STEP, "a", memory)
    answered(run, drawn(0), 10.0)
    del run
    assert len(memory) == 0 and memory.bytes == 0


def poisoned(record: SourceRecord) -> SourceRecord:
    record.calls[1].clean[0, 0, 0, 0] += 1
    return record


def without_a_call(record: SourceRecord) -> SourceRecord:
    object.__setattr__(record, "calls", record.calls[:-1])
    return record


def with_a_level_moved(record: SourceRecord) -> SourceRecord:
    object.__setattr__(record, "calls", (replace(record.calls[0], sigma=9.5), *record.calls[1:]))
    return record


@pytest.mark.parametrize("damage", [poisoned, without_a_call, with_a_level_moved])
def test_a_damaged_record_is_noticed_and_dropped(damage: Callable[[SourceRecord], SourceRecord]):
    memory = SourceMemory()
    _, end, _ = walked(memory)
    record = memory.find("a")
    assert record is not None and record.intact
    damage(record)
    assert not record.intact
    _, again, computed = walked(memory)
    assert computed == [True] * 4 and torch.equal(again, end)
    assert walked(memory)[2] == [False] * 4


def test_predictions_that_are_no_numbers_are_not_kept():
    memory = SourceMemory()
    walked(memory, by=float("nan"))
    assert len(memory) == 0


def test_what_is_kept_is_not_what_the_host_goes_on_to_change():
    memory = SourceMemory()
    run, latent = Remembering(STEP, "a", memory), drawn(0)
    answered(run, latent, 10.0)
    latent.zero_()
    run.finish()
    record = memory.find("a")
    assert record is not None and torch.equal(record.calls[0].latent, drawn(0))


def test_the_limit_holds_over_many_runs():
    chance, memory = random.Random(0), SourceMemory()
    step = Remember(limit=1, most=5)
    for number in range(200):
        size = (1, 4, chance.choice([8, 32, 64]), 64)
        run, calls = Remembering(step, chance.randrange(12), memory), chance.randrange(1, 12)
        for call in range(calls):
            answered(run, drawn(number, size), 10.0 - call)
            assert memory.bytes <= MIB and len(memory) <= 5
            recording = 0 if run.full or run.found else run.bytes
            assert memory.bytes + recording <= MIB
        if chance.random() < 0.8:
            run.finish()
        assert memory.bytes <= MIB and len(memory) <= 5


def test_a_run_larger_than_the_limit_is_not_kept():
    memory = SourceMemory()
    run = Remembering(STEP, "a", memory)
    for call in range(5):
        answered(run, drawn(0, (1, 4, 128, 128)), 10.0 - call)
    run.finish()
    assert run.full and len(memory) == 0
    assert run.outcome == "source not kept: it takes more than the limit of 1 MiB"


def test_sources_used_least_recently_are_dropped_first():
    memory, step = SourceMemory(), Remember(limit=1, most=2)
    for source in ("a", "b", "a", "c"):
        walked(memory, source, step)
    assert memory.find("b") is None and memory.find("a") is not None and memory.find("c") is not None


def attention(memory: SourceMemory, source: str, calls: int, step: Remember) -> list[bool]:
    """A run that notes 256 KiB of attention in each call: whether it was kept."""
    run, layer = Remembering(step, source, memory), Layer("middle", 0)
    for call in range(calls):
        run.enter(drawn(call), 10.0 - call)
        rows = run.attending(77)
        if rows is not None:
            q = k = torch.ones(1, 256, 128)
            rows.note(Place(layer, "self"), q, k)
        run.note([drawn(0)])
        run.note_attention(None if rows is None else rows.noted)
        run.leave(drawn(0))
        assert memory.attention_bytes + run.attention_bytes <= step.attention * MIB
    run.finish()
    record = memory.find(source)
    assert record is not None and len(record.calls) == calls
    return [call.attention[0] is not None for call in record.calls]


def test_attention_of_the_oldest_sources_is_dropped_first():
    memory, step = SourceMemory(), Remember(attention=1)
    assert attention(memory, "a", 2, step) == [True] * 2 and attention(memory, "b", 2, step) == [True] * 2
    assert attention(memory, "c", 1, step) == [True]
    kept = {name: memory.find(name) for name in "abc"}
    assert [record is not None and record.attention_bytes for record in kept.values()] == [
        0,
        MIB // 2,
        MIB // 4,
    ]


def test_a_run_keeps_the_attention_that_fits():
    memory, step = SourceMemory(), Remember(attention=1)
    assert attention(memory, "a", 6, step) == [True] * 4 + [False] * 2


def test_a_plan_has_one_memory():
    prompts = PromptSet(made_of("a cat"), (made_of("a dog"),))
    with pytest.raises(P2PError, match="a second one"):
        plan_of(prompts, Remember(), Remember())


def test_a_call_counts_all_that_it_holds():
    tensor = drawn(0)
    call = SourceCall(tensor, 1.0, ((tensor, None), (tensor, tensor)), tensor)
    assert call.bytes == 5 * tensor.nbytes
