"""On a GPU: the source is exact, lower precision stays close, and attention never waits for the device."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from graphs import SOURCE, Graph, differ
from torch import Tensor

from benchmarks.host.devices import DEVICES

pytestmark = [pytest.mark.host, pytest.mark.real_host, pytest.mark.gpu]

with contextlib.suppress(ModuleNotFoundError):  # on the stand-in, where these tests do not run
    from families import TinyHost
    from precisions import PRECISIONS, rounding

FAMILIES = "SD1.5", "SDXL"
DTYPES = torch.float32, torch.float16, torch.bfloat16
# open at every step of the schedule "simple", but not whole: progress has to be known
WINDOWS = {"cross_start": 0.0, "cross_end": 0.99, "self_start": 0.0, "self_end": 0.99}


def everything(graph: Graph) -> tuple[Any, Any]:
    """A MODEL with an edit, weights, a blend and a store, and the paired CONDITIONING."""
    prompts, positive = graph.pair()
    model, *_ = graph.on("PromptEdit", prompts, word_windows="house: 0.99-1", **WINDOWS)
    model, *_ = graph.on("Reweight", prompts, model, weights="star: 2", **WINDOWS)
    model, *_ = graph.on("LocalBlend", prompts, model, source_words="circle", edit_words="house")
    model, _ = graph.on("AttentionStore", prompts, model, words="circle, star, grass")
    return model, positive


def sampled(graph: Graph, steps: int) -> Tensor:
    return graph.sample(*everything(graph), steps=steps, scheduler="simple")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_source_is_that_of_a_plain_run_to_the_last_bit(
    node: dict[str, Any], family: str, dtype: torch.dtype
) -> None:
    graph = Graph(TinyHost(family, dtype), node)
    source, edit = sampled(graph, 4)
    assert torch.equal(source, graph.plain(SOURCE, steps=4, scheduler="simple")[0])
    assert differ(source, edit)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_edits_in_lower_precision_are_close(node: dict[str, Any], family: str, precision: str) -> None:
    source, edit = rounding(node, family, precision)
    *_, limit = PRECISIONS[precision]
    assert max(source, edit) < limit


# Waits


@contextlib.contextmanager
def no_wait() -> Iterator[None]:
    """Whatever makes the CPU wait for the GPU raises an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_no_wait_raises_an_error() -> None:
    with pytest.raises(RuntimeError, match="synchronizing"), no_wait():
        torch.zeros(1, device="cuda").item()
    assert torch.zeros(1, device="cuda").item() == 0


def watched(method: Callable[..., Tensor], calls: list[bool]) -> Callable[..., Tensor]:
    """A method of Run whose calls may wait only if they are the first in their layer. calls: which may."""
    known: set[Any] = set()

    def call(run: Any, call: Any, q: Tensor, *rest: Any) -> Tensor:
        kind = run, call.layer, q.shape
        calls.append(kind not in known)
        known.add(kind)
        with contextlib.nullcontext() if calls[-1] else no_wait():
            return method(run, call, q, *rest)

    return call


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_waits_in_the_first_call_of_a_layer_alone(
    pack: ModuleType, node: dict[str, Any], monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    run, calls = importlib.import_module(f"{pack.__name__}.p2p_core.run").Run, []
    for name in ("cross", "self_attention"):
        monkeypatch.setattr(run, name, watched(getattr(run, name), calls))
    sampled(Graph(TinyHost(family), node), steps=4)
    first = sum(calls)
    assert first and len(calls) == 4 * first


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_call_waits_for_its_noise_level_alone(node: dict[str, Any], family: str) -> None:
    graph, host = Graph(TinyHost(family), node), Path(os.environ["P2P_HOST"])
    few, many = (DEVICES["cuda"].waits(lambda steps=steps: sampled(graph, steps), host) for steps in (4, 8))
    assert few is not None and many is not None
    assert (many - few).total() <= 4, many - few
