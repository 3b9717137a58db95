"""However a sampling ends, and wherever: no patch stays, nothing grows, and the next run is the same."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import CLOSED, EDIT, NEGATIVE, OPEN, SOURCE, Graph, close, own_attention, state, with_patch
from on_models import MODELS, graph_of
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]

STEPS, BLOCKS = 3, [("input", 1), ("input", 3), ("input", 5), ("middle", 0), ("output", 0), ("output", 3)]


def endings(host: Host) -> dict[str, BaseException]:
    return {
        "error": RuntimeError("a patch fails"),
        "interrupt": host.interrupt(),
        "out of memory": torch.cuda.OutOfMemoryError("no memory left"),
    }


@pytest.fixture(params=MODELS, scope="module")
def graph(request: pytest.FixtureRequest, demo: Graph) -> Graph:
    return graph_of(request.param, demo)


@pytest.fixture(scope="module")
def host(graph: Graph) -> Host:
    return graph.host


def before_attention(model: Any, told: Callable[[dict[str, Any]], None]) -> Any:
    """A clone of MODEL that calls `told` with the host's options before attention, as another pack might."""

    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        told(extra_options)
        return own_attention(q, k, v, extra_options)

    def override(function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        told(kwargs["transformer_options"])
        return function(*args, **kwargs)

    if hasattr(model.model.diffusion_model, "output_blocks"):
        for block in BLOCKS:
            for name in ("attn1", "attn2"):
                model = with_patch(model, patch, *block, name=name)
        return model
    clone = model.clone()
    clone.model_options["transformer_options"]["optimized_attention_override"] = override
    return clone


def ended(graph: Graph, calls: list[int], ending: BaseException) -> Any:
    """A MODEL that raises in the call at which the counter `calls` reaches 0."""

    def count(options: dict[str, Any]) -> None:
        calls[0] -= 1
        if calls[0] == 0:
            raise ending

    return before_attention(graph.host.model(), count)


@pytest.mark.parametrize("kind", ["error", "interrupt", "out of memory"])
def test_an_end_at_any_call_of_any_step(graph: Graph, host: Host, error: Any, kind: str):
    """With everything that a sampling can have: an edit, weights, a local blend by words, a store."""
    ending, calls = endings(host)[kind], [0]
    prompts, positive = graph.pair()
    model = graph.swapped(prompts, ended(graph, calls, ending), **OPEN)
    model = graph.on("Reweight", prompts, model, weights="house: 2")[0]
    model, blend = graph.on("LocalBlend", prompts, model, source_words="circle", edit_words="house")
    model, store = graph.on("AttentionStore", prompts, model)
    first = graph.sample(model, positive, steps=STEPS)
    total, kept, stored = -calls[0], state(model), [blend.read(first), store.read(first)]
    for call in range(1, total + 1, max(1, total // 8)):
        calls[0] = call
        with pytest.raises(type(ending)):
            graph.sample(model, positive, steps=STEPS)
        assert state(model) == kept
        assert [blend.read(), store.read()] == stored
    calls[0] = 0
    assert torch.equal(graph.sample(model, positive, steps=STEPS), first)
    assert torch.equal(graph.plain(SOURCE, model=host.model()), graph.plain(SOURCE))


def test_nothing_grows_from_run_to_run(graph: Graph, pack: ModuleType):
    def run() -> None:
        prompts, positive = graph.pair()
        model, _ = graph.on("LocalBlend", prompts, graph.swapped(prompts, **OPEN), source_words="circle")
        graph.sample(graph.on("AttentionStore", prompts, model)[0], positive)

    def tensors() -> int:
        gc.collect()
        return sum(isinstance(each, Tensor) for each in gc.get_objects())

    for _ in range(2):
        run()
    returned = importlib.import_module(f"{pack.__name__}.nodes.comfyui.pairs")._RETURNED
    prompts, points = returned[-1]
    returned.extend((prompts, points.clone()) for _ in range(returned.maxlen))  # as after many runs
    before = tensors()
    for _ in range(5):
        run()
    assert tensors() <= before


@pytest.mark.real_host
def test_little_memory_splits_the_batch_and_not_the_pair(graph: Graph, host: Host, monkeypatch: Any):
    """The host then calls the model for the positive and the negative side in turn."""
    whole = graph.edited()
    sides: list[list[int]] = []

    model = before_attention(host.model(), lambda options: sides.append([*options["cond_or_uncond"]]))
    monkeypatch.setattr(host.model().model, "memory_required", lambda *args, **kwargs: 1e18)
    for windows, row, text in ((OPEN, 0, SOURCE), (CLOSED, 1, EDIT)):
        rows = graph.edited(windows=windows, model=model)
        assert torch.equal(rows[row], graph.plain(text, model=model)[row])
    assert all(len(parts) == 1 for parts in sides)
    assert close(graph.edited(model=model), whole, 1e-4)


@pytest.mark.real_host
def test_a_model_that_was_unloaded_between_runs(graph: Graph, host: Host):
    import comfy.model_management

    prompts, positive = graph.pair()
    model = graph.swapped(prompts, **OPEN)
    first = graph.sample(model, positive)
    comfy.model_management.unload_all_models()
    assert torch.equal(graph.sample(model, positive), first)
    assert torch.equal(graph.edited(), first)


@pytest.mark.real_host
def test_two_runs_at_once_on_clones_of_a_model(graph: Graph, host: Host, monkeypatch: Any):
    """A pair of prompts of unequal lengths, and a plain run of the source.

    The host itself forgets the clone that a model runs on as soon as any run on it ends.
    """
    import comfy.model_patcher
    import comfy.sample

    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "cleanup", lambda patcher: None)
    prompts, positive = graph.pair(edit=f"{EDIT} next to the old sea at night")
    latent = comfy.sample.fix_empty_latent_channels(host.model(), host.empty_latent(64, 64)["samples"])
    negative = host.encode(NEGATIVE)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(5))

    def sampled(model: Any, conditioning: Any) -> Tensor:
        how, options = (STEPS, 4.0, "euler", "normal"), {"seed": 1, "disable_pbar": True}
        with torch.inference_mode():
            return comfy.sample.sample(model, noise, *how, conditioning, negative, latent, **options)

    jobs = [(graph.swapped(prompts, **OPEN), positive), (host.model().clone(), host.encode(SOURCE))]
    alone = [sampled(*job) for job in jobs]
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            together = [*pool.map(lambda job: sampled(*job), jobs)]
        assert all(map(torch.equal, together, alone))


@pytest.mark.real_host
def test_both_sides_at_once_on_threads(graph: Graph, host: Host):
    """As on several GPUs: each side is one model call on its own thread, in any order."""
    prompts, positive = graph.pair()
    model = graph.swapped(prompts, **OPEN)
    model, blend = graph.on("LocalBlend", prompts, model, source_words="circle", edit_words="house")
    model, store = graph.on("AttentionStore", prompts, model)
    for _ in range(3):
        results = []
        for threads in (1, 2):
            apart = model.clone()
            apart.set_model_sampler_calc_cond_batch_function(each_on_its_own(threads))
            rows = graph.sample(apart, positive, steps=STEPS)
            results.append((rows, *maps_of(blend), *maps_of(store)))
        assert all(map(torch.equal, *results))
    assert close(results[0][0], graph.sample(model, positive, steps=STEPS), 1e-4)


@pytest.mark.real_host
def test_two_edited_entries_at_once_on_threads(graph: Graph, host: Host):
    """Both are recorded, into the same means."""
    prompts, positive = graph.pair()
    model, store = graph.on("AttentionStore", prompts, graph.swapped(prompts, **OPEN))
    apart = model.clone()
    apart.set_model_sampler_calc_cond_batch_function(each_on_its_own(2, entries=True))
    rows = graph.sample(apart, [*positive, *positive], steps=STEPS)
    threaded = maps_of(store)
    once = graph.sample(model, positive, steps=STEPS)
    assert close(rows, once, 1e-3)
    assert all(close(a, b, 1e-3) for a, b in zip(threaded, maps_of(store), strict=True))


def each_on_its_own(threads: int, entries: bool = False) -> Any:
    """One model call per side, or per entry, with the mean as the side's result."""

    def function(args: dict[str, Any]) -> list[Tensor]:
        import comfy.samplers

        model, x, sigma = args["model"], args["input"], args["sigma"]
        options = {k: v for k, v in args["model_options"].items() if k != "sampler_calc_cond_batch_function"}

        def call(side: Any) -> Tensor:
            with torch.inference_mode():
                return comfy.samplers.calc_cond_batch(model, [side], x, sigma, options)[0]

        parts = [(i, [e]) for i, side in enumerate(args["conds"]) for e in side] if entries else None
        jobs = parts or list(enumerate(args["conds"]))
        with ThreadPoolExecutor(threads) as pool:
            made = list(pool.map(call, [side for _, side in jobs]))
        numbers = [i for i, _ in jobs]
        grouped = [
            [m for n, m in zip(numbers, made, strict=True) if n == i] for i in range(len(args["conds"]))
        ]
        return [sum(group[1:], group[0]) / len(group) for group in grouped]

    return function


def maps_of(store: Any) -> list[Tensor]:
    recorded = store.read()
    more = [recorded.self_map, recorded.blend]
    return [*recorded.maps.values(), *(each for each in more if each is not None)]
