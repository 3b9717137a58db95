"""Real images: the source comes out as it went in, and edits start from its noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapter import Host
from graphs import (
    CLOSED,
    EDIT,
    NEGATIVE,
    OPEN,
    SOURCE,
    Graph,
    close,
    differ,
    noting,
    own_attention,
    state,
    with_patch,
)
from pictures import STEPS, Gallery, apart, finite
from test_samplers import names

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]

DRIFTING = ["euler", "euler at target level", "fixed point", "midpoint"]
NOISE = "edit-friendly noise"
SAMPLERS = [s for s in ("euler", "ddim", "heun", "dpmpp_2m", "dpmpp_2s_ancestral", "lcm") if s in names()]


# The source


@pytest.mark.parametrize("method", DRIFTING)
def test_the_source_comes_out_as_it_went_in(gallery: Gallery, method: str):
    rows = gallery.edited(gallery.inverted(method=method), cfg=7.5)
    assert torch.equal(rows[:1], gallery.picture()) and differ(rows[1:], gallery.picture())


@pytest.mark.parametrize("cfg", [1.0, 3.0, 15.0])
def test_at_any_guidance_scale(gallery: Gallery, cfg: float):
    rows = gallery.edited(gallery.inverted(), cfg=cfg)
    assert torch.equal(rows[:1], gallery.picture())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_with_samplers_of_every_kind(gallery: Gallery, sampler: str):
    """Some evaluate between the levels of the trajectory, some keep earlier predictions."""
    rows = gallery.edited(gallery.inverted(), sampler=sampler)
    assert torch.equal(rows[:1], gallery.picture())
    assert finite(rows) and differ(rows[1:], gallery.picture())


def test_edit_friendly_noise_goes_through_the_ancestral_sampler(gallery: Gallery):
    trajectory = gallery.inverted(method=NOISE)
    rows = gallery.edited(trajectory, sampler="euler_ancestral", cfg=7.5)
    assert torch.equal(rows[:1], gallery.picture()) and differ(rows[1:], gallery.picture())
    drawn = gallery.edited(trajectory, sampler="euler_ancestral", cfg=1.0, pin=False)
    last = drawn[:1]  # the last step draws no noise: it is the prediction at the previous level
    assert apart(last, gallery.picture()) < apart(rows[1:], gallery.picture())


def test_the_seed_has_no_effect(gallery: Gallery):
    trajectory = gallery.inverted(method=NOISE)
    one, other = (gallery.edited(trajectory, sampler="euler_ancestral", seed=seed) for seed in (1, 2))
    assert torch.equal(one, other)


def test_the_latent_at_the_sampler_has_no_effect_beside_its_size(gallery: Gallery, host: Host):
    trajectory = gallery.inverted()
    rows = gallery.edited(trajectory, latent=host.empty_latent(64, 64))
    assert torch.equal(rows, gallery.edited(trajectory))


# The edit


def test_an_edit_starts_from_the_noise_of_its_picture(gallery: Gallery, graph: Graph):
    """With the source's prompt and without guidance, it equals a sampling of the trajectory's noise."""
    trajectory = gallery.inverted()
    same = graph.pair(SOURCE, SOURCE)
    pinned = gallery.edited(trajectory, CLOSED, pair=same, cfg=1.0)
    drawn = gallery.edited(trajectory, CLOSED, pair=same, cfg=1.0, pin=False)
    assert close(pinned[1], drawn[0]) and close(drawn[0], drawn[1])


def test_guidance_acts_on_the_edit(gallery: Gallery):
    one, other = (gallery.edited(gallery.inverted(), cfg=cfg) for cfg in (1.0, 7.5))
    assert differ(one[1], other[1])


@pytest.mark.real_host
def test_a_better_inversion_drifts_less(gallery: Gallery):
    def drift(**settings: Any) -> float:
        rows = gallery.edited(gallery.inverted(steps=12, **settings), steps=12, cfg=1.0, pin=False)
        return apart(rows[:1], gallery.picture())

    assert drift(method="fixed point", iterations=10) < 0.5 * drift(method="euler at target level")


def test_a_sampling_of_a_part_starts_at_its_level(gallery: Gallery):
    """Half of eight steps in a sampler at denoise 0.5."""
    trajectory = gallery.inverted(steps=8)
    rows = gallery.edited(trajectory, steps=4, denoise=0.5)
    whole = gallery.edited(trajectory, steps=8)
    assert torch.equal(rows[:1], gallery.picture())
    assert 0 < apart(rows[1:], gallery.picture()) < apart(whole[1:], gallery.picture())


def test_an_inversion_of_a_part_fits_the_same_sampler(gallery: Gallery):
    trajectory = gallery.inverted(steps=4, denoise=0.5)
    assert torch.equal(gallery.edited(trajectory, steps=4, denoise=0.5)[:1], gallery.picture())


def test_pictures_make_a_batch_and_have_several_edits(gallery: Gallery, graph: Graph):
    pictures = gallery.picture(samples=2)
    trajectory = gallery.inverted(pictures)
    several = graph.pair(SOURCE, f"{EDIT}\n---\n{EDIT} at night")
    rows = gallery.edited(trajectory, pair=several)
    assert rows.shape[0] == 6 and torch.equal(rows[::3], pictures)
    alone = gallery.edited(gallery.inverted(pictures[1:]), pair=several)
    assert close(rows[3:], alone, 1e-3)


@pytest.mark.parametrize("size", [(72, 88), (104, 56)])
def test_latents_of_odd_sizes(gallery: Gallery, size: tuple[int, int]):
    picture = gallery.picture(size=size)
    rows = gallery.edited(gallery.inverted(picture))
    assert torch.equal(rows[:1], picture) and differ(rows[1:], picture)


# With the other nodes


def test_the_order_of_nodes_does_not_matter(gallery: Gallery, graph: Graph):
    trajectory = gallery.inverted()
    prompts, positive = graph.pair()
    mask = torch.zeros(1, 64, 64)
    mask[..., :32] = 1
    results = []
    for order in (("real", "swap", "blend"), ("swap", "real", "blend"), ("swap", "blend", "real")):
        model: Any = None
        for name in order:
            if name == "real":
                model, latent = graph.on("RealImage", prompts, model, trajectory=trajectory)
            elif name == "swap":
                model = graph.swapped(prompts, model, **OPEN)
            else:
                model = graph.on("LocalBlend", prompts, model, mask=mask, mask_mode="replace")[0]
        results.append(gallery.sampled(model, positive, latent))
    assert all(torch.equal(results[0], other) for other in results[1:])
    source, edit = results[0]
    assert torch.equal(source, gallery.picture()[0])
    assert torch.equal(edit[..., 4:], source[..., 4:]) and differ(edit[..., :4], source[..., :4])


def test_attention_maps_of_a_picture(gallery: Gallery, graph: Graph, host: Host):
    alone = graph.pair(SOURCE, "")
    prompts, positive = alone
    model, latent = graph.on("RealImage", prompts, trajectory=gallery.inverted())
    model, store = graph.on("AttentionStore", prompts, model, words="circle")
    rows = gallery.sampled(model, positive, latent)
    assert torch.equal(rows, gallery.picture())
    (sheet, *_) = host.run(graph.node["P2PAttentionMaps"], store=store, latent={"samples": rows})
    assert finite(sheet) and sheet.std() > 0


def test_weights_on_words_of_a_picture(gallery: Gallery, graph: Graph):
    prompts, positive = graph.pair(SOURCE, "")
    model, latent = graph.on("RealImage", prompts, trajectory=gallery.inverted())
    model, *_ = graph.on("Reweight", prompts, model, weights="red: -1")
    rows = gallery.sampled(model, positive, latent)
    assert torch.equal(rows[:1], gallery.picture()) and differ(rows[1:], rows[:1])


def test_nothing_is_left_on_the_model(gallery: Gallery, graph: Graph, host: Host):
    before = state(host.model())
    prompts, positive = graph.pair()
    model, latent = graph.on("RealImage", prompts, trajectory=gallery.inverted())
    patched = state(model)
    gallery.sampled(model, positive, latent)
    assert state(host.model()) == before and state(model) == patched


def test_two_runs_are_the_same_and_the_trajectory_stays(gallery: Gallery):
    trajectory = gallery.inverted()
    before = trajectory.latents.clone(), trajectory.picture.clone()
    assert torch.equal(gallery.edited(trajectory), gallery.edited(trajectory))
    assert torch.equal(before[0], trajectory.latents) and torch.equal(before[1], trajectory.picture)


# Rows left out of the unconditional pass


def rows_of_calls(
    gallery: Gallery, graph: Graph, host: Host, **options: Any
) -> set[tuple[tuple[int, ...], int]]:
    """(sides, rows) of the model calls in a pinned sampling of two images."""
    seen: set[tuple[tuple[int, ...], int]] = set()

    def patch(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra: dict[str, Any]) -> torch.Tensor:
        seen.add((tuple(extra["cond_or_uncond"]), q.shape[0]))
        return noting([])(q, k, v, extra)

    model = with_patch(host.model(), patch, "middle", 0)
    gallery.edited(gallery.inverted(gallery.picture(samples=2)), model=model, **options)
    return seen


def test_source_rows_have_no_unconditional_pass(gallery: Gallery, graph: Graph, host: Host):
    assert rows_of_calls(gallery, graph, host) == {((0,), 4), ((1,), 2)}


def test_they_have_where_they_are_not_pinned(gallery: Gallery, graph: Graph, host: Host):
    assert rows_of_calls(gallery, graph, host, pin=False) == {((1, 0), 8)}


def negatives(host: Host, *texts: str) -> Any:
    """A negative CONDITIONING with an encoding for each picture, or one for all."""
    encoded, options = zip(*(host.encode(text)[0] for text in texts), strict=True)
    return [[torch.cat(encoded), {k: v for k, v in options[0].items() if k != "pooled_output"}]]


def test_they_have_where_each_picture_has_a_negative_of_its_own(gallery: Gallery, graph: Graph, host: Host):
    calls = rows_of_calls(gallery, graph, host, away=negatives(host, NEGATIVE, ""))
    assert {rows // len(sides) for sides, rows in calls} == {4}


def test_edits_are_the_same_with_and_without_that_pass(gallery: Gallery, graph: Graph, host: Host):
    """A negative for each picture needs the pass for all rows, even if it is the same negative."""
    one, each = negatives(host, NEGATIVE), negatives(host, NEGATIVE, NEGATIVE)
    assert rows_of_calls(gallery, graph, host, away=one) != rows_of_calls(gallery, graph, host, away=each)
    pictures = gallery.inverted(gallery.picture(samples=2))
    lean, whole = (gallery.edited(pictures, cfg=7.5, away=negative) for negative in (one, each))
    assert close(lean, whole, 1e-4)


@pytest.mark.real_host
def test_between_the_levels_of_the_trajectory_the_source_is_not_guided(gallery: Gallery, host: Host):
    """There it is not pinned, and the edits attend to it: it must not depend on the guidance scale."""

    def sources(cfg: float) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []

        def patch(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra: dict[str, Any]) -> torch.Tensor:
            if extra["cond_or_uncond"] == [0]:
                seen.append(q[0].clone())
            return own_attention(q, k, v, extra)

        model = with_patch(host.model(), patch, "middle", 0)
        gallery.edited(gallery.inverted(), model=model, cfg=cfg, sampler="dpmpp_sde")
        return seen

    plain, guided = sources(1.0), sources(7.5)
    assert len(plain) > STEPS and all(close(a, b, 1e-4) for a, b in zip(plain, guided, strict=True))


# Guidance without pinning


def test_the_source_prompt_as_negative_makes_guidance_vanish_for_the_source(gallery: Gallery):
    plain = gallery.edited(gallery.inverted(), cfg=1.0, pin=False)
    guided = gallery.edited(gallery.inverted(), cfg=7.5, pin=False, negative="source prompt")
    assert close(guided[0], plain[0], 1e-3) and differ(guided[1], plain[1])


def test_a_share_of_0_is_the_negative_as_connected(gallery: Gallery):
    options = {"cfg": 4.0, "pin": False}
    plain = gallery.edited(gallery.inverted(), **options)
    mixed = gallery.edited(gallery.inverted(), negative="source prompt", source_share=0.0, **options)
    half = gallery.edited(gallery.inverted(), negative="source prompt", source_share=0.5, **options)
    assert close(mixed, plain, 1e-4) and differ(half, plain)


def test_proximal_guidance_keeps_the_edit_nearer_to_the_picture(gallery: Gallery):
    options = {"cfg": 7.5, "negative": "source prompt"}
    free = gallery.edited(gallery.inverted(), **options)
    held = gallery.edited(gallery.inverted(), proximal=0.9, **options)
    assert apart(held[1:], gallery.picture()) < apart(free[1:], gallery.picture())
    assert torch.equal(held[:1], gallery.picture())


def test_proximal_guidance_of_everything_leaves_the_picture(gallery: Gallery):
    """At quantile 1 no guidance is left, and the last steps restore the image."""
    rows = gallery.edited(gallery.inverted(), proximal=1.0, cfg=7.5)
    assert close(rows[1:], gallery.picture(), 1e-3)
