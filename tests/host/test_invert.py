"""Invert and Null Text: what involves the host, and what is rejected."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import EDIT, NEGATIVE, SOURCE, Graph, close, drawn, state
from pictures import Gallery, apart

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]


# Invert


def test_a_prompt_from_any_node_gives_the_same(gallery: Gallery, graph: Graph, host: Host):
    ways = gallery.source(), graph.pair()[1], host.encode(SOURCE)
    found = [gallery.inverted(gallery.picture(), source=source) for source in ways]
    assert all(close(found[0].latents, other.latents) for other in found[1:])
    assert [t.text for t in found] == [SOURCE, SOURCE, ""]


def test_latents_are_in_the_models_space_and_the_picture_in_the_hosts(gallery: Gallery, host: Host):
    trajectory, model = gallery.inverted(), host.model().model
    assert torch.equal(trajectory.picture, gallery.picture())
    assert torch.equal(trajectory.latents[-1], model.process_latent_in(gallery.picture()))


def test_guidance_during_the_inversion(gallery: Gallery, host: Host):
    plain = gallery.inverted()
    guided = gallery.inverted(gallery.picture(), cfg=3.0, negative=host.encode(NEGATIVE))
    same = gallery.inverted(gallery.picture(), cfg=3.0, negative=gallery.source())
    assert not close(guided.latents, plain.latents, 1e-2) and close(same.latents, plain.latents, 1e-3)


def test_noise_is_drawn_by_the_seed(gallery: Gallery):
    one, same, other = (
        gallery.inverted(gallery.picture(), method="edit-friendly noise", seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(one.latents, same.latents) and torch.equal(one.noise, same.noise)
    assert not close(one.latents, other.latents)


@pytest.fixture
def progress(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A node's reported progress, as (done, total)."""
    import comfy.utils

    told: list[tuple[int, int]] = []

    def hook(done: int, total: int, *rest: Any, **more: Any) -> None:
        told.append((done, total))

    if hasattr(comfy.utils, "set_progress_bar_global_hook"):
        monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    else:
        monkeypatch.setattr(comfy.utils.ProgressBar, "hook", hook)
    return told


def test_every_step_is_told(gallery: Gallery, progress: list[tuple[int, int]]):
    picture = gallery.picture()
    progress.clear()  # of what drew it
    gallery.inverted(picture, steps=3)
    assert progress[-1] == (3, 3) and progress == sorted(set(progress))  # the host may skip some
    assert {total for _, total in progress} == {3}


@pytest.fixture
def stop() -> Iterator[Any]:
    """The user's Cancel."""
    import comfy.model_management as management

    yield management.interrupt_current_processing
    management.interrupt_current_processing(False)


def test_it_can_be_interrupted(gallery: Gallery, stop: Any, host: Host):
    import comfy.model_management as management

    before = state(host.model())
    stop()
    with pytest.raises(management.InterruptProcessingException):
        gallery.inverted(gallery.picture())
    assert state(host.model()) == before
    gallery.inverted(gallery.picture())


# Null Text


def null_text(gallery: Gallery, trajectory: Any, **settings: Any) -> Any:
    host = gallery.graph.host
    inputs = {"model": host.model(), "source": gallery.source(), "negative": host.encode(""), **settings}
    return host.run(gallery.graph.node["P2PNullText"], trajectory=trajectory, **inputs)[0]


def test_a_null_text_for_each_step_is_kept_and_used(gallery: Gallery, host: Host):
    trajectory = gallery.inverted(steps=2)
    found = null_text(gallery, trajectory, iterations=2)
    encoded = host.encode("")[0][0]
    assert found.nulls.shape == (2, 1, *encoded.shape[1:])
    assert trajectory.nulls is None and torch.equal(found.latents, trajectory.latents)
    options = {"steps": 2, "cfg": 7.5}
    rows = gallery.edited(found, negative="null text", **options)
    assert torch.equal(rows[:1], gallery.picture())
    assert not close(rows[1], gallery.edited(found, **options)[1])


@pytest.mark.real_host
def test_null_texts_bring_a_guided_sampling_back(gallery: Gallery, host: Host):
    trajectory = gallery.inverted(steps=8)
    found = null_text(gallery, trajectory, cfg=5.0, iterations=10)
    options = {"steps": 8, "cfg": 5.0, "pin": False, "pair": gallery.graph.pair(SOURCE, "")}
    with_them = gallery.edited(found, negative="null text", **options)
    without = gallery.edited(found, negative="as connected", **options)
    assert apart(with_them, gallery.picture()) < 0.5 * apart(without, gallery.picture())


def test_the_search_leaves_the_weights_as_they_are(gallery: Gallery, host: Host):
    unet = host.model().model.diffusion_model
    before = {name: weights.detach().clone() for name, weights in unet.named_parameters()}
    kinds = [weights.is_inference() for weights in unet.parameters()]
    null_text(gallery, gallery.inverted(steps=2), iterations=1)
    assert all(torch.equal(before[name], weights) for name, weights in unet.named_parameters())
    assert kinds == [weights.is_inference() for weights in unet.parameters()]
    assert all(weights.grad is None for weights in unet.parameters())


def test_the_search_can_be_interrupted(gallery: Gallery, stop: Any):
    import comfy.model_management as management

    trajectory = gallery.inverted(steps=2)
    stop()
    with pytest.raises(management.InterruptProcessingException):
        null_text(gallery, trajectory)
    assert torch.is_inference_mode_enabled() is False


# Bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "at least one step"),
        ({"denoise": 0.0}, "at least one step"),
        ({"cfg": 4.0}, "a negative CONDITIONING"),
        ({"sigmas": torch.tensor([0.0, 1.0])}, "sigmas that descend to 0"),
        ({"sigmas": torch.tensor([5.0, 1.0])}, "sigmas that descend to 0"),
        ({"sigmas": torch.tensor([])}, "at least one step"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    gallery: Gallery, error: Any, settings: dict[str, Any], message: str
):
    with pytest.raises(error, match=f"Invert: expected.*{message}|Invert: expected {message}"):
        gallery.inverted(gallery.picture(), **settings)


def test_pictures_that_are_no_numbers_are_refused(gallery: Gallery, error: Any):
    picture = gallery.picture().clone()
    picture[0, 0, 0, 0] = float("nan")
    with pytest.raises(error, match="Invert: expected a latent with finite values, got NaN"):
        gallery.inverted(picture)


def test_a_latent_of_another_vae_is_refused(gallery: Gallery, error: Any):
    with pytest.raises(error, match="a latent with 3 channels, got 16"):
        gallery.inverted(torch.ones(1, 16, 8, 8))


def test_a_model_with_edits_on_it_is_refused(gallery: Gallery, graph: Graph, error: Any):
    prompts, _ = graph.pair()
    with pytest.raises(error, match="Invert: expected a MODEL without edits"):
        gallery.inverted(gallery.picture(), model=graph.swapped(prompts))


def test_an_empty_source_prompt_is_refused(gallery: Gallery, graph: Graph, host: Host, error: Any):
    """By name if it is known; another node's encoding of it is not the prompt of the edit."""
    with pytest.raises(error, match="Prompt Pair"):
        gallery.source("")
    with pytest.raises(error, match="source prompt that the image was inverted with"):
        gallery.edited(gallery.inverted(gallery.picture(), source=host.encode("")))


@pytest.mark.parametrize("source", [EDIT, "a star"])
def test_another_source_prompt_is_refused(gallery: Gallery, host: Host, error: Any, source: str):
    for prompt, node in ((gallery.source(source), "Real Image"), (host.encode(source), "Prompt-to-Prompt")):
        with pytest.raises(error, match=f"{node}: expected the source prompt"):
            gallery.edited(gallery.inverted(gallery.picture(), source=prompt))


@pytest.mark.parametrize("settings", [{"steps": 5}, {"denoise": 0.7}, {"steps": 3}])
def test_other_steps_are_refused_with_what_to_set(gallery: Gallery, error: Any, settings: dict[str, Any]):
    with pytest.raises(error, match=r"trajectory, 4 steps of the scheduler normal at denoise 1, got"):
        gallery.edited(gallery.inverted(), **settings)


@pytest.mark.real_host
@pytest.mark.parametrize("settings", [{"scheduler": "karras"}, {"sampler": "uni_pc"}, {"sampler": "dpm_2"}])
def test_another_schedule_is_refused_with_what_to_set(gallery: Gallery, error: Any, settings: dict[str, Any]):
    """These samplers skip the second to last step."""
    with pytest.raises(error, match=r"Use the steps, scheduler and denoise.*that skips no step"):
        gallery.edited(gallery.inverted(), **settings)


def test_another_size_is_refused(gallery: Gallery, host: Host, error: Any):
    for latent in (host.empty_latent(72, 64), host.empty_latent(64, 64, batch=2)):
        with pytest.raises(error, match="a latent of the inverted images' size"):
            gallery.edited(gallery.inverted(), latent=latent)


def test_a_noise_mask_is_refused(gallery: Gallery, error: Any):
    latent = {"samples": gallery.picture(), "noise_mask": torch.ones(1, 8, 8)}
    with pytest.raises(error, match="without a noise mask"):
        gallery.edited(gallery.inverted(), latent=latent)


def test_another_model_is_refused(gallery: Gallery, error: Any):
    other = replace(gallery.inverted(), model="SDXL EPS 2567463684 weights")
    with pytest.raises(error, match="the MODEL of the inversion, SDXL"):
        gallery.edited(other)
    with pytest.raises(error, match="Null Text: expected the MODEL of the inversion"):
        null_text(gallery, other)


def test_models_are_told_apart_by_their_weights(pack: Any, host: Host):
    fingerprint = importlib.import_module(f"{pack.__name__}.nodes.comfyui.real").fingerprint
    model = host.model()
    before = fingerprint(model)
    bias = next(weights for weights in model.model.diffusion_model.parameters() if weights.ndim == 1)
    with torch.inference_mode():
        kept = bias.clone()
        bias += 1
        other = fingerprint(model)
        bias.copy_(kept)
    assert before != other and fingerprint(model.clone()) == before


@pytest.mark.real_host
def test_a_lora_is_not_taken_for_another_model(pack: Any, host: Host):
    """Whether or not its weights are currently patched in."""
    import comfy.model_management as management

    fingerprint = importlib.import_module(f"{pack.__name__}.nodes.comfyui.real").fingerprint
    model = host.model().clone()
    before = fingerprint(model)
    name, bias = next((n, w) for n, w in model.model.diffusion_model.named_parameters() if w.ndim == 1)
    model.add_patches({f"diffusion_model.{name}": (torch.ones_like(bias),)})
    with torch.inference_mode():
        management.load_models_gpu([model])
        assert fingerprint(model) == before
        management.unload_all_models()
    assert fingerprint(model) == before


def test_the_ancestral_sampler_is_asked_for(gallery: Gallery, error: Any):
    with pytest.raises(error, match="the sampler euler_ancestral"):
        gallery.edited(gallery.inverted(method="edit-friendly noise"), sampler="euler")


def test_null_texts_that_are_not_there_are_asked_for(gallery: Gallery, error: Any):
    with pytest.raises(error, match="Real Image: expected a trajectory with null-text"):
        gallery.edited(gallery.inverted(), negative="null text")


def test_drawn_latents_are_pictures_too(gallery: Gallery, host: Host):
    picture = drawn(host)["samples"]
    assert torch.equal(gallery.edited(gallery.inverted(picture))[:1], picture)
