"""A paired latent in a second sampler: a split schedule, and a pass with noise at a larger size."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest
import torch
from adapter import Host, Latent
from graphs import CLOSED, OPEN, SOURCE, Graph, close, differ
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]

stock: Any = importlib.import_module("nodes") if os.environ.get("P2P_HOST") else None  # ComfyUI's
STEPS = 4
WINDOWS = {"cross_end": 0.7, "self_end": 0.7}  # ends within the second half


def halves(
    graph: Graph, model: Any, positive: Any, latent: Latent, sampler: str, at: int = STEPS // 2
) -> Tensor:
    """KSampler (Advanced) twice: the first passes its leftover noise to the second."""
    run, negative = stock.KSamplerAdvanced().sample, graph.host.encode("")
    fixed = (7, STEPS, 4.0, sampler, "normal", positive, negative)
    with torch.inference_mode():
        (first,) = run(model, "enable", *fixed, latent, 0, at, "enable")
        (second,) = run(model, "disable", *fixed, first, at, STEPS, "disable")
    return second["samples"]


@pytest.mark.real_host
@pytest.mark.parametrize("sampler", ["euler", "heun", "ddim"])
def test_two_halves_are_one_whole(graph: Graph, host: Host, sampler: str):
    """For samplers that keep no state between steps and draw no noise."""
    prompts, positive = graph.pair()
    model, latent = graph.swapped(prompts, **WINDOWS), host.empty_latent(64, 64, batch=2)
    negative = host.encode("")
    whole = host.sample(model, positive, negative, latent=latent, steps=STEPS, sampler=sampler)["samples"]
    split = halves(graph, model, positive, latent, sampler)
    assert split.shape[0] == 4 and close(split, whole)


@pytest.mark.real_host
@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_sde", "dpmpp_2m", "lcm"])
def test_the_source_of_two_halves_is_that_of_two_plain_halves(graph: Graph, host: Host, sampler: str):
    prompts, positive = graph.pair()
    latent = host.empty_latent(64, 64)
    split = halves(graph, graph.swapped(prompts, **WINDOWS), positive, latent, sampler)
    closed = halves(graph, graph.swapped(prompts, **CLOSED), positive, latent, sampler)
    plain = halves(graph, host.model(), host.encode(SOURCE), latent, sampler)
    assert split.shape[0] == 2 and close(split[:1], plain, 1e-4)
    assert torch.equal(split[0], closed[0]) and differ(split[1], closed[1])


@pytest.mark.real_host
def test_a_plain_first_half_is_paired_by_the_second(graph: Graph, host: Host):
    prompts, positive = graph.pair()
    run, negative = stock.KSamplerAdvanced().sample, host.encode("")
    fixed, at = (7, STEPS, 4.0, "euler", "normal"), STEPS // 2
    with torch.inference_mode():
        first = run(
            host.model(),
            "enable",
            *fixed,
            host.encode(SOURCE),
            negative,
            host.empty_latent(64, 64),
            0,
            at,
            "enable",
        )[0]
        second = run(
            graph.swapped(prompts, **OPEN), "disable", *fixed, positive, negative, first, at, STEPS, "disable"
        )[0]
    assert second["samples"].shape[0] == 2 and differ(*second["samples"])


def made(graph: Graph, batch: int = 1) -> tuple[Any, Any, Latent]:
    """(patched MODEL, paired CONDITIONING, LATENT of a paired sampling at twice its size)."""
    prompts, positive = graph.pair()
    model = graph.swapped(prompts, **OPEN)
    latent = graph.host.empty_latent(64, 64, batch=batch)
    rows = graph.sample(model, positive, latent=latent)
    return model, positive, {"samples": rows.repeat_interleave(2, 2).repeat_interleave(2, 3)}


def test_a_second_pass_goes_on_from_source_and_edit(graph: Graph, host: Host):
    """With the `batch_index` that the stock node Latent Batch Seed Behavior (fixed) writes."""
    model, positive, latent = made(graph)
    fixed = {**latent, "batch_index": [0, 0]}
    rows = graph.sample(model, positive, latent=fixed, denoise=0.5)
    source = {"samples": latent["samples"][:1]}
    assert rows.shape[0] == 2
    assert torch.equal(rows[0], graph.plain(SOURCE, latent=source, denoise=0.5)[0])
    again = graph.sample(model, positive, latent=source, denoise=0.5)
    assert torch.equal(rows[0], again[0]) and differ(rows[1], again[1]), "the edit starts from the edit"


@pytest.mark.real_host
def test_the_stock_node_says_that_a_latent_is_paired(graph: Graph, host: Host):
    importlib.import_module("comfy_extras.nodes_post_processing")  # it and nodes_latent import each other
    node = importlib.import_module("comfy_extras.nodes_latent").LatentBatchSeedBehavior
    *_, latent = made(graph)
    fixed = node.execute(latent, "fixed")[0] if hasattr(node, "execute") else node().op(latent, "fixed")[0]
    assert fixed["batch_index"] == [0, 0]
    assert stock.LatentUpscale().upscale(fixed, "bilinear", 192, 192, "disabled")[0]["batch_index"] == [0, 0]


def test_latents_with_noise_of_their_own_are_samples(graph: Graph, caplog: pytest.LogCaptureFixture):
    model, positive, latent = made(graph)
    rows = graph.sample(model, positive, latent=latent, denoise=0.5)
    assert rows.shape[0] == 4
    assert any("Latent Batch Seed Behavior (fixed)" in record.message for record in caplog.records)


def test_what_a_paired_sampling_returned_is_known_whatever_its_noise(
    graph: Graph, host: Host, caplog: pytest.LogCaptureFixture
):
    """Without Latent Batch Seed Behavior; the source is sampled as from the source's latent alone."""
    model, positive, _ = made(graph)
    rows = graph.sample(model, positive)
    again = graph.sample(model, positive, latent={"samples": rows.half().float()}, denoise=0.5)
    assert again.shape[0] == 2 and differ(*again) and not caplog.records
    alone = graph.sample(model, positive, latent={"samples": rows[:1].half().float()}, denoise=0.5)
    assert torch.equal(again[0], alone[0])


def test_pairs_of_other_prompts_are_not_these(graph: Graph, caplog: pytest.LogCaptureFixture):
    """Six rows of three prompts are not three pairs."""
    prompts, positive = graph.pair(edit="a red house on grass\n---\na red star on grass")
    latent = graph.host.empty_latent(64, 64, batch=2)
    rows = graph.sample(graph.swapped(prompts, **OPEN), positive, latent=latent)
    model, positive, _ = made(graph)
    assert len(rows) == 6
    assert len(graph.sample(model, positive, latent={"samples": rows}, denoise=0.5)) == 12


def test_a_guess_by_equal_noise_is_reported(graph: Graph, caplog: pytest.LogCaptureFixture):
    """Two different encoded images with a fixed seed: nothing distinguishes them from a pair."""
    model, positive, _ = made(graph)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    latent = {"samples": images, "batch_index": [0, 0]}
    assert len(graph.sample(model, positive, latent=latent, denoise=0.5)) == 2
    assert any("are different images, remove" in record.message for record in caplog.records)


def test_an_empty_latent_holds_no_pairs(graph: Graph, host: Host, caplog: pytest.LogCaptureFixture):
    empty = host.empty_latent(64, 64, batch=2)
    prompts, positive = graph.pair()
    for latent in (empty, {**empty, "batch_index": [0, 0]}):
        assert graph.sample(graph.swapped(prompts, **OPEN), positive, latent=latent).shape[0] == 4
    assert not caplog.records


HALF = torch.cat([torch.ones(1, 1, 8, 4), torch.zeros(1, 1, 8, 4)], dim=-1)


@pytest.mark.real_host
@pytest.mark.parametrize("masks", ["one", "of samples", "of rows"])
def test_a_noise_mask_in_a_second_pass(graph: Graph, host: Host, masks: str):
    model, positive, latent = made(graph, batch=2)
    rows = latent["samples"][..., ::2, ::2]
    by_sample = HALF if masks == "one" else torch.cat([HALF, 1 - HALF])
    by_row = by_sample.expand(2, -1, -1, -1).repeat_interleave(2, dim=0)
    mask = by_row if masks == "of rows" else by_sample
    noise_mask = {"samples": rows, "batch_index": [0, 0, 1, 1], "noise_mask": mask}
    result = graph.sample(model, positive, latent=noise_mask, denoise=0.5)
    kept = by_row.expand_as(result) == 0
    assert close(result[kept], rows[kept], 1e-6) and differ(result, rows)  # rounding of the latent format


def test_a_paired_latent_is_split_with_what_belongs_to_its_rows(graph: Graph):
    prompts, _ = graph.pair()
    mask = torch.arange(4.0).reshape(4, 1, 1, 1)
    latent = {"samples": torch.zeros(4, 3, 8, 8), "noise_mask": mask, "batch_index": [0, 0, 1, 1]}
    *_, source, edits = graph.host.run(graph.node["P2PSplitPair"], prompts=prompts, latent=latent)
    assert source["batch_index"] == edits["batch_index"] == [0, 1]
    assert source["noise_mask"].flatten().tolist() == [0, 2] and edits["noise_mask"].flatten().tolist() == [
        1,
        3,
    ]
