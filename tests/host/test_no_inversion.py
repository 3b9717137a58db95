"""Real images without inversion: no model call, the noise of the sampler, any of its settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapter import Host
from graphs import CLOSED, EDIT, OPEN, Graph, close, differ
from pictures import STEPS, Gallery, apart
from test_samplers import names
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]

ANY = [
    s
    for s in ("euler", "heun", "dpm_2", "euler_ancestral", "dpmpp_sde", "dpmpp_2m_cfg_pp", "uni_pc")
    if s in names()
]


def alone(gallery: Gallery, picture: Tensor | None = None, **settings: Any) -> Any:
    picture = gallery.picture() if picture is None else picture
    return gallery.inverted(picture, method="no inversion", **settings)


def plain(gallery: Gallery, text: str, latent: Tensor, **options: Any) -> Tensor:
    """The host's image-to-image run of a prompt, in two rows."""
    latents = {"samples": latent.repeat(2, 1, 1, 1), "batch_index": [0, 0]}
    graph = gallery.graph
    return gallery.sampled(graph.host.model(), graph.host.encode(text), latents, **options)


@pytest.mark.parametrize("cfg", [1.0, 7.5])
@pytest.mark.parametrize("sampler", ANY)
def test_the_source_is_the_picture_with_any_sampler(gallery: Gallery, sampler: str, cfg: float):
    rows = gallery.edited(alone(gallery), sampler=sampler, cfg=cfg)
    assert torch.equal(rows[:1], gallery.picture()) and differ(rows[1:], gallery.picture())


def test_no_model_call_is_made(gallery: Gallery, host: Host, monkeypatch: pytest.MonkeyPatch):
    picture = gallery.picture()

    def refused(*args: Any, **kwargs: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(type(host.model().model), "apply_model", refused)
    assert not alone(gallery, picture).inverted


@pytest.mark.parametrize("denoise", [1.0, 0.5])
def test_a_closed_window_is_image_to_image_with_the_edit(gallery: Gallery, denoise: float):
    options: dict[str, Any] = {"cfg": 1.0, "denoise": denoise, "seed": 5}
    rows = gallery.edited(alone(gallery), CLOSED, **options)
    assert torch.equal(rows[1], plain(gallery, EDIT, gallery.picture(), **options)[1])


def test_settings_of_the_sampler_need_not_be_those_of_invert(gallery: Gallery):
    trajectory = alone(gallery, steps=9, scheduler="simple", denoise=0.3)
    one, other = (gallery.edited(trajectory, OPEN, steps=6, seed=seed) for seed in (1, 2))
    assert differ(one[1], other[1]) and torch.equal(one[0], other[0])


def test_another_latent_of_the_size_changes_nothing(gallery: Gallery, host: Host):
    rows = gallery.edited(alone(gallery), denoise=0.5)
    empty = host.empty_latent(64, 64)
    assert torch.equal(gallery.edited(alone(gallery), latent=empty, denoise=0.5), rows)


def test_another_source_prompt_will_do(gallery: Gallery, graph: Graph):
    pair = graph.pair("a blue star on sand", "a red star on sand")
    rows = gallery.edited(alone(gallery), pair=pair)
    assert torch.equal(rows[:1], gallery.picture())


def test_pictures_make_a_batch_and_have_several_edits(gallery: Gallery, graph: Graph):
    pictures = gallery.picture(samples=2)
    pair = graph.pair("a red circle on grass", "a blue circle on grass\n---\na red star on grass")
    rows = gallery.edited(alone(gallery, pictures), pair=pair)
    assert rows.shape[0] == 6 and torch.equal(rows[::3], pictures)


def test_a_lower_denoise_stays_nearer_to_the_picture(gallery: Gallery):
    far, near = (gallery.edited(alone(gallery), CLOSED, steps=8, denoise=d)[1:] for d in (1.0, 0.4))
    assert apart(near, gallery.picture()) < apart(far, gallery.picture())


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_a_blend_keeps_the_picture_outside_of_it(gallery: Gallery, graph: Graph, cfg: float):
    prompts, positive = graph.pair()
    mask = torch.zeros(1, 8, 8)
    mask[..., :4] = 1
    model, latent = graph.on("RealImage", prompts, trajectory=alone(gallery))
    model = graph.on("LocalBlend", prompts, model, mask=mask, mask_mode="replace", start=0.0)[0]
    source, edit = gallery.sampled(graph.swapped(prompts, model, **OPEN), positive, latent, cfg=cfg)
    assert torch.equal(source, gallery.picture()[0]) and torch.equal(edit[..., 4:], source[..., 4:])
    assert differ(edit[..., :4], source[..., :4])


def test_attention_maps_of_a_picture(gallery: Gallery, graph: Graph):
    prompts, positive = graph.pair()
    model, latent = graph.on("RealImage", prompts, trajectory=alone(gallery))
    model, store = graph.on("AttentionStore", prompts, model, words="circle")
    rows = gallery.sampled(model, positive, latent)
    assert all(bool((maps > 0).any()) for maps in store.read(rows).maps.values())


def test_the_controller_at_1_is_the_picture(gallery: Gallery):
    inverted, free = gallery.inverted(), gallery.edited(gallery.inverted())
    held = gallery.edited(inverted, control=1.0, control_end=1.0)
    assert close(held[1:], gallery.picture(), 1e-4) and not close(free[1:], gallery.picture(), 1e-2)


def test_null_text_needs_an_inversion_and_guidance(gallery: Gallery, host: Host, error: type[Exception]):
    node = gallery.graph.node["P2PNullText"]
    inputs = {"model": host.model(), "source": gallery.source(), "negative": host.encode("")}
    with pytest.raises(error, match="Null Text: expected an inverted image, got one with no inversion"):
        host.run(node, trajectory=alone(gallery), **inputs)
    with pytest.raises(error, match="Null Text: expected a cfg above 1, got 1"):
        host.run(node, trajectory=gallery.inverted(steps=STEPS), cfg=1.0, **inputs)


def test_pin_off_is_refused(gallery: Gallery, error: type[Exception]):
    with pytest.raises(error, match="Real Image: expected a pinned source for an image without inversion"):
        gallery.edited(alone(gallery), pin=False)
