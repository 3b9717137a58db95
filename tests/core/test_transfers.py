"""The transfer budget: after the first of its kind, an attention call copies nothing to a GPU, waits for
nothing and adds few ops to the host's own. The device `meta` stands for a GPU."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from benchmarks.core.kinds import CALLS, FIRST, KINDS, PLAIN, PROGRESS, cross, self_attention
from benchmarks.core.ops import around_model, in_attention
from benchmarks.shared.dispatch import DEVICE, Waited, counted

CROSS_OPS, SELF_OPS, MODEL_OPS = 4, 2, 10
SWAPS = ("swap", "swap of three edits")
HALF = (torch.float16, torch.bfloat16)


@pytest.mark.parametrize("first", [False, True], ids=["known layer", "first call of a layer"])
@pytest.mark.parametrize("attention", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("name", KINDS)
def test_an_attention_call_copies_nothing_and_waits_for_nothing(name: str, attention, first: bool) -> None:
    counts, _ = in_attention(KINDS[name], attention, first)
    assert not counts.copies.total(), counts.copies


@pytest.mark.parametrize("name", KINDS)
def test_nothing_around_a_model_call_copies_or_waits(name: str) -> None:
    counts = around_model(KINDS[name])
    assert not counts.copies.total(), counts.copies


@pytest.mark.parametrize("name", SWAPS)
def test_a_swap_adds_few_ops_to_cross_attention(name: str) -> None:
    counts, calls = in_attention(KINDS[name], cross)
    assert 0 < counts.ops.total() <= CROSS_OPS and calls == 1, counts.ops


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", SWAPS)
def test_a_swap_of_words_of_equal_length_adds_no_more_in_half_precision(
    name: str, dtype: torch.dtype
) -> None:
    counts, _ = in_attention(KINDS[name], partial(cross, dtype=dtype))
    assert counts.ops.total() <= CROSS_OPS, counts.ops


def test_an_added_word_takes_one_more_attention_call() -> None:
    assert in_attention(KINDS["edit, a word added"], cross)[1] == 2


@pytest.mark.parametrize("name", PLAIN)
def test_self_attention_gets_few_more_ops(name: str) -> None:
    counts, calls = in_attention(KINDS[name], self_attention)
    assert counts.ops.total() <= SELF_OPS and calls == 1, counts.ops


@pytest.mark.parametrize("attention", CALLS, ids=lambda call: call.__name__)
def test_closed_windows_add_nothing(attention) -> None:
    counts, calls = in_attention(KINDS["windows closed"], attention)
    assert counts.ops.total() <= 1 and calls == 1, counts.ops


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_edit_adds_few_ops_around_a_model_call(name: str) -> None:
    assert around_model(KINDS[name]).ops.total() <= MODEL_OPS


def test_the_first_call_of_a_kind_is_seen_to_copy() -> None:
    run = KINDS["edit, a word added"].run()
    for attention in CALLS:
        with counted() as counts:
            attention(run, FIRST, PROGRESS[0])
        assert counts.copies.total()


# What the counter sees

ON_HOST, ON_DEVICE = torch.ones(2, 3), torch.empty(2, 3, device=DEVICE)
COPIES = {
    "to": lambda: ON_HOST.to(DEVICE),
    "non-blocking": lambda: ON_HOST.to(DEVICE, non_blocking=True),
    "copy_": lambda: ON_DEVICE.clone().copy_(ON_HOST),
    "tensor": lambda: torch.tensor([1, 2], device=DEVICE),
    "as_tensor": lambda: torch.as_tensor([1, 2], device=DEVICE),
    "new_tensor": lambda: ON_DEVICE.new_tensor([1, 2]),
    "list as index": lambda: ON_DEVICE[[1, 0]],
    "list as index of a dimension": lambda: ON_DEVICE[:, [1, 0]],
    "list as index to write": lambda: ON_DEVICE.clone().__setitem__([0], 1.0),
    "tensor as index": lambda: ON_DEVICE[torch.tensor([1])],
}
WAITS = {
    "item": lambda: ON_DEVICE.sum().item(),
    "float": lambda: float(ON_DEVICE[0, 0]),
    "bool": lambda: bool(ON_DEVICE.any()),
    "cpu": lambda: ON_DEVICE.cpu(),
    "tolist": lambda: ON_DEVICE.tolist(),
    "copy_": lambda: torch.empty(2, 3).copy_(ON_DEVICE),
    "equal": lambda: torch.equal(ON_DEVICE, ON_DEVICE),
    "allclose": lambda: torch.allclose(ON_DEVICE, ON_DEVICE),
    "nonzero": lambda: ON_DEVICE.nonzero(),
    "mask as index": lambda: ON_DEVICE[ON_DEVICE > 0],
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_to_the_device_is_counted(name: str) -> None:
    with counted() as counts:
        COPIES[name]()
    assert counts.copies.total() == 1


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_for_the_device_is_an_error(name: str) -> None:
    with pytest.raises(Waited), counted():
        WAITS[name]()


def test_views_and_numbers_are_free_and_work_on_the_host_is_not_counted() -> None:
    with counted() as counts:
        _ = ON_DEVICE[0], ON_DEVICE.mT, ON_DEVICE.view(3, 2), ON_DEVICE.chunk(2), torch.empty_like(ON_DEVICE)
        _ = ON_HOST.to(torch.float16), ON_HOST[[0]], bool(ON_HOST.all()), ON_HOST.tolist()
    assert not counts.ops.total() and not counts.copies.total()
    with counted() as counts:
        _ = ON_DEVICE * torch.tensor(2.0) + 1, ON_DEVICE.index_select(0, torch.tensor(0, device=DEVICE))
    assert counts.ops == {"mul": 1, "add": 1, "index_select": 1} and counts.copies.total() == 1
