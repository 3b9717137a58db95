"""Real images on transformers: the picture is the source, with and without an inversion."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from graphs import CLOSED, OPEN, Graph
from torch import Tensor

from benchmarks.host import reconstruction

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    from tiny_pairs import Pack, Pair, close
    from transformer_table import FAMILIES, JOINT, SEPARATE
    from transformers_tiny import here, noise, sampled

    NAMES = [name for name in (*SEPARATE, *JOINT) if here(name)]
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    NAMES, FAMILIES, JOINT = [], {}, {}

SOME = [n for n in ("Wan 2.1", "Anima", "Cosmos-Predict2", "Flux.1", "Z-Image", "Qwen-Image") if n in NAMES]
FLOW = [n for n in SOME if "Cosmos" not in n]
DRIFTING = ("euler", "euler at target level", "fixed point", "midpoint")
NOISE, NONE = "edit-friendly noise", "no inversion"
STEPS = 3


@pytest.fixture(scope="session")
def p2p(pack: ModuleType) -> Pack:
    return Pack(pack)


class Photo:
    """A picture on a tiny model, with a source prompt and two edits."""

    def __init__(self, graph: Graph, p2p: Pack, name: str, samples: int = 1, **pair: Any) -> None:
        self.graph, self.pair = graph, Pair(p2p, name, **pair)
        self.name, self.samples = name, samples
        self.picture = noise(name, samples, seed=8) * 0.6
        self.latent = {"samples": self.picture}
        self.noise = noise(name, samples)

    def inverted(self, method: str = NONE, **settings: Any) -> Any:
        inputs = {"model": self.pair.model, "source": self.pair.conditionings[0], "latent": self.latent}
        inputs |= {"method": method, "steps": STEPS, "scheduler": "simple", **settings}
        return self.graph.host.run(self.graph.node["P2PInvert"], **inputs)[0]

    def real(self, trajectory: Any, windows: dict[str, float] = OPEN, **settings: Any) -> Any:
        """Real Image and Word Swap: a patched MODEL."""
        prompts = self.pair.prompts
        model = self.graph.on("RealImage", prompts, self.pair.model, trajectory=trajectory, **settings)[0]
        return self.graph.swapped(prompts, model, **windows)

    def sample(self, model: Any, latent: Tensor | None = None, **how: Any) -> Tensor:
        positive, negative = self.pair.paired, self.pair.negative
        latent = self.picture if latent is None else latent
        return sampled(model, positive, negative, self.noise, latent=latent, **{"steps": STEPS, **how})

    def plain(self, prompt: int, **how: Any) -> Tensor:
        """A run of one prompt from the picture without the pack, in as many rows."""
        drawn, latent = (t.repeat_interleave(3, dim=0) for t in (self.noise, self.picture))
        conditioning, model = self.pair.conditionings[prompt], self.pair.model
        how = {"latent": latent, "steps": STEPS, **how}
        return sampled(model, conditioning, self.pair.negative, drawn, **how)[prompt::3]

    def mask(self) -> Tensor:
        """1 in the right half, [1, 1, h, w]."""
        mask = torch.zeros(1, 1, *self.picture.shape[-2:])
        mask[..., mask.shape[-1] // 2 :] = 1
        return mask


def shows(rows: Tensor, photo: Photo) -> None:
    """The source is the picture to the bit, and edits are something else."""
    assert torch.equal(rows[::3], photo.picture)
    for edit in (rows[1::3], rows[2::3]):
        assert bool(edit.isfinite().all()) and not torch.equal(edit, photo.picture)


@pytest.mark.parametrize(("method", "cfg"), [("euler", 1.0), (NONE, 3.0)])
@pytest.mark.parametrize("name", NAMES)
def test_the_source_is_the_picture_at_any_guidance(
    graph: Graph, p2p: Pack, name: str, method: str, cfg: float
) -> None:
    photo = Photo(graph, p2p, name)
    shows(photo.sample(photo.real(photo.inverted(method)), cfg=cfg), photo)


@pytest.mark.parametrize("name", NAMES)
def test_without_inversion_a_closed_window_is_a_plain_run_of_the_edit(
    graph: Graph, p2p: Pack, name: str
) -> None:
    """With guidance, the negative has fewer rows than in a plain run, and kernels round differently."""
    photo = Photo(graph, p2p, name)
    model = photo.real(photo.inverted(), CLOSED)
    rows = photo.sample(model, cfg=1.0)
    for prompt in (1, 2):
        assert torch.equal(rows[prompt::3], photo.plain(prompt, cfg=1.0))
    if name in SOME:
        close(photo.sample(model)[1::3], photo.plain(1))


@pytest.mark.parametrize("method", [*DRIFTING, NOISE, "rf inversion"])
@pytest.mark.parametrize("name", FLOW)
def test_every_method_of_inversion(graph: Graph, p2p: Pack, name: str, method: str) -> None:
    photo = Photo(graph, p2p, name, samples=2)
    model = photo.real(photo.inverted(method))
    sampler = "euler_ancestral" if method == NOISE else "euler"
    shows(photo.sample(model, sampler=sampler), photo)


SAMPLERS = ("heun", "dpm_2", "dpmpp_2m", "euler_ancestral", "dpmpp_2m_sde", "uni_pc")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_without_inversion_any_sampler_will_do(graph: Graph, p2p: Pack, sampler: str) -> None:
    photo = Photo(graph, p2p, "Flux.1", samples=2)
    shows(photo.sample(photo.real(photo.inverted()), sampler=sampler, steps=4), photo)


@pytest.mark.parametrize("name", FLOW)
def test_without_inversion_the_source_takes_the_noise_of_the_sampler(
    graph: Graph, p2p: Pack, name: str
) -> None:
    """At each level it is on the straight line from that noise to the picture."""
    photo, seen = Photo(graph, p2p, name), []
    model = photo.real(photo.inverted())

    def noting(apply: Any, given: dict[str, Any]) -> Tensor:
        seen.append((float(given["timestep"][0]), given["input"][:1].clone()))
        return apply(given["input"], given["timestep"], **given["c"])

    model.set_model_unet_function_wrapper(noting)
    photo.sample(model, cfg=1.0)
    clean, schedule = (
        photo.pair.model.model.process_latent_in(photo.picture),
        model.get_model_object("model_sampling"),
    )
    assert len(seen) == STEPS
    for (sigma, x), expected in zip(seen, schedule_of(schedule), strict=True):
        assert sigma == pytest.approx(expected, rel=1e-4)
        close(x, (1 - sigma) * clean + sigma * photo.noise)


def schedule_of(model_sampling: Any) -> list[float]:
    from comfy.samplers import calculate_sigmas

    return calculate_sigmas(model_sampling, "simple", STEPS)[:-1].tolist()


@pytest.mark.parametrize(("method", "cfg"), [("euler", 3.0), (NONE, 1.0), (NONE, 3.0)])
@pytest.mark.parametrize("name", SOME)
def test_a_blend_by_a_mask_keeps_the_picture_outside(
    graph: Graph, p2p: Pack, name: str, method: str, cfg: float
) -> None:
    photo = Photo(graph, p2p, name, samples=2)
    model, mask = photo.real(photo.inverted(method)), photo.mask()[0]
    model = graph.on("LocalBlend", photo.pair.prompts, model, mask=mask, mask_mode="replace", start=0.0)[0]
    rows = photo.sample(model, cfg=cfg)
    shows(rows, photo)
    for edit in (rows[1::3], rows[2::3]):
        outside = mask[0] == 0
        assert torch.equal(edit[..., outside], photo.picture[..., outside])


@pytest.mark.parametrize(
    "name", [name for name in SOME if len(FAMILIES[name].latent) == 3 or FAMILIES[name].latent[1] == 1]
)
def test_a_blend_by_words_keeps_the_picture_outside(graph: Graph, p2p: Pack, name: str) -> None:
    photo = Photo(graph, p2p, name)
    words = {"source_words": "cat", "edit_words": "dog, snow", "threshold": 0.999, "pooling": False}
    model, store = graph.on(
        "LocalBlend", photo.pair.prompts, photo.real(photo.inverted()), start=0.0, **words
    )
    rows, mask = photo.sample(model), store.read().blend
    shows(rows, photo)
    for edit, outside in zip((rows[1], rows[2]), mask == 0, strict=True):
        assert bool(outside.any()) and torch.equal(edit[..., outside], photo.picture[0][..., outside])


@pytest.mark.parametrize("name", SOME)
def test_a_noise_mask_without_inversion(graph: Graph, p2p: Pack, name: str, error: type[Exception]) -> None:
    """As the host's inpainting: outside the mask, the picture within rounding."""
    photo = Photo(graph, p2p, name)
    rows = photo.sample(photo.real(photo.inverted(), CLOSED), mask=photo.mask(), cfg=1.0)
    outside = photo.mask()[0, 0] == 0
    shows(rows, photo)
    close(rows[..., outside], photo.picture.expand_as(rows)[..., outside])
    for prompt in (1, 2):
        close(rows[prompt::3], photo.plain(prompt, mask=photo.mask(), cfg=1.0))
    with pytest.raises(error, match="a latent without a noise mask"):
        photo.sample(photo.real(photo.inverted("euler")), mask=photo.mask())


@pytest.mark.parametrize(
    "name", [name for name in ("Flux.1", "Z-Image", "Qwen-Image", "Wan 2.1") if name in NAMES]
)
def test_a_split_schedule_without_inversion(graph: Graph, p2p: Pack, name: str) -> None:
    photo = Photo(graph, p2p, name)
    model = photo.real(photo.inverted(), CLOSED)
    first = photo.sample(model, last_step=2, steps=4, cfg=1.0)
    positive, rest = photo.pair.paired, {"start_step": 2, "disable_noise": True, "steps": 4, "cfg": 1.0}
    rows = sampled(model, positive, photo.pair.negative, torch.zeros_like(first), latent=first, **rest)
    shows(rows, photo)
    for prompt in (1, 2):
        close(rows[prompt::3], photo.plain(prompt, steps=4, cfg=1.0))


@pytest.mark.parametrize("name", SOME)
def test_a_better_inversion_reconstructs_the_picture_better(graph: Graph, p2p: Pack, name: str) -> None:
    """Without a pinned source, from its noise with the source prompt."""
    photo = Photo(graph, p2p, name)

    def missed(method: str, **settings: Any) -> float:
        trajectory = photo.inverted(method, **settings, steps=12)
        rows = photo.sample(photo.real(trajectory, CLOSED, pin=False), cfg=1.0, steps=12)
        return float((rows[:1] - photo.picture).norm() / photo.picture.norm())

    assert missed("fixed point", iterations=8) < 0.5 * missed("euler at target level")


def test_the_table_of_reconstruction(graph: Graph, pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "p2p_pack", pack)
    monkeypatch.setattr(reconstruction, "STEPS", 6)
    unet, joint = reconstruction.unet(graph), reconstruction.transformer("Flux.1")
    assert reconstruction.cell(graph, unet, "rf inversion") == "flow models only"
    for subject in (unet, joint):
        euler, better = (float(reconstruction.cell(graph, subject, m)) for m in ("euler", "fixed point"))
        assert 0 < better < 0.7 * euler


def test_the_guidance_of_flux_is_that_of_the_conditioning(graph: Graph, p2p: Pack) -> None:
    photo = Photo(graph, p2p, "Flux.1")
    plain = photo.inverted("euler").latents
    photo.pair.conditionings[0][0][1]["guidance"] = 1.0
    assert not torch.equal(photo.inverted("euler").latents, plain)


@pytest.mark.parametrize(
    "name", [name for name in ("Flux.1", "Lumina 2", "Wan 2.1", "Anima") if name in NAMES]
)
def test_negative_prompt_inversion(graph: Graph, p2p: Pack, name: str, error: type[Exception]) -> None:
    """The edit is guided away from the source prompt: as in a plain run with it as the negative."""
    columns = (5, 9, 9) if FAMILIES[name].short < FAMILIES[name].long else (7, 7, 7)
    photo = Photo(graph, p2p, name, columns=columns)
    rows = photo.sample(photo.real(photo.inverted(), CLOSED, negative="source prompt"))
    photo.pair.negative = photo.pair.conditionings[0]
    for prompt in (1, 2):
        close(rows[prompt::3], photo.plain(prompt))
    with pytest.raises(error, match="expected a source share of 1 for"):
        photo.sample(photo.real(photo.inverted(), negative="source prompt", source_share=0.5))


def test_proximal_guidance_restores_the_picture(graph: Graph, p2p: Pack) -> None:
    photo = Photo(graph, p2p, "Qwen-Image")
    rows = photo.sample(photo.real(photo.inverted(), CLOSED, proximal=1.0))
    close(rows, photo.picture.expand_as(rows))


@pytest.mark.parametrize("method", ["rf inversion", NONE])
def test_the_controller_draws_the_edit_toward_the_picture(graph: Graph, p2p: Pack, method: str) -> None:
    photo = Photo(graph, p2p, "Flux.1")

    def away(control: float) -> float:
        model = photo.real(photo.inverted(method), CLOSED, control=control, control_end=1.0)
        return float((photo.sample(model)[1:] - photo.picture).norm())

    free, half, full = away(0), away(0.5), away(1)
    assert full < 1e-4 < half < free


def test_what_is_refused(graph: Graph, p2p: Pack, error: type[Exception]) -> None:
    photo, run = Photo(graph, p2p, "Flux.1"), graph.host.run
    inputs = {"model": photo.pair.model, "source": photo.pair.conditionings[0]}
    inputs["negative"] = photo.pair.negative
    with pytest.raises(error, match=r"Null Text: expected a U-Net .* of the Flux family\. .*[Pp]in"):
        run(graph.node["P2PNullText"], trajectory=photo.inverted("euler"), **inputs)
    with pytest.raises(error, match="Real Image: expected a pinned source"):
        photo.real(photo.inverted(), pin=False)
    other = Photo(graph, p2p, "Qwen-Image")
    with pytest.raises(error, match=r"the MODEL of the inversion, Wan21 latents"):
        photo.sample(photo.real(other.inverted()))
