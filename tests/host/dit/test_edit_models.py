"""Edit models: reference latents, and tokens of pictures in the text, with pairs and with real images."""

from __future__ import annotations

from types import ModuleType
from typing import Any, cast

import pytest
import torch
from graphs import CLOSED, OPEN, Graph
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    from float64_maps import Lengths
    from test_transformers import WAYS
    from tiny_pairs import Pack, Pair, close
    from transformer_table import FAMILIES
    from transformers_tiny import here, noise

    EDITING = ("Qwen-Image", "Flux.1", "Flux.2", "Krea 2", "MageFlow", "JoyImage", "LongCat")
    NAMES = [name for name in EDITING if here(name)]
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    NAMES, Pair = [], cast(Any, object)

LEAD = 6  # tokens of a picture in Qwen's text


@pytest.fixture(scope="session")
def p2p(pack: ModuleType) -> Pack:
    return Pack(pack)


class Edit(Pair):  # pyright: ignore[reportGeneralTypeIssues]
    """A source and its edits on an edit model, with the picture and a smaller one as references."""

    def __init__(self, p2p: Pack, name: str, samples: int = 1) -> None:
        super().__init__(p2p, name)
        self.picture = noise(name, samples, seed=8) * 0.6
        self.references = [self.picture, self.picture[..., :-2, :-4]]
        self.lead = LEAD if name == "Qwen-Image" else 0
        seen = torch.randn(1, self.lead, FAMILIES[name].width, generator=torch.Generator().manual_seed(3))
        for each in (*self.conditionings, self.negative):
            each[0][0] = torch.cat([seen, each[0][0]], dim=1)
            each[0][1]["reference_latents"] = self.references
            if name == "Krea 2":  # without a method it leaves them out
                each[0][1]["reference_latents_method"] = "index"

    def layout(self) -> Any:
        tokens = self.p2p.families.family_of(self.model).tokens
        sizes = [tokens.grid(each.shape) for each in self.references]
        reference = sum(t * h * w for t, h, w in sizes)
        return tokens.layout(self.text_columns(), (1, *FAMILIES[self.name].latent), reference)

    def lengths(self, text: int) -> Lengths:
        layout = self.layout()
        spans = [(span.start, span.count) for span in (layout.text, layout.image)]
        return Lengths(spans[0], spans[1], layout.total, joint=True)

    def text_columns(self) -> int:
        return super().text_columns() + self.lead

    def _start(self, text: int, prompt: Any) -> int:
        return super()._start(text, prompt) + self.lead


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_plain_runs_of_their_prompts(p2p: Pack, name: str, cfg: float) -> None:
    pair = Edit(p2p, name)
    result = pair.sample(pair.edited(pair.step("swap", 0, 0)), pair.paired, cfg=cfg)
    for prompt in range(3):
        assert torch.equal(result[prompt], pair.plain(prompt, 3, cfg=cfg)[prompt])


@pytest.mark.parametrize("way", ["swap", "refine in the self window"])
@pytest.mark.parametrize("name", NAMES)
def test_edits_are_edits_of_the_float64_maps(p2p: Pack, name: str, way: str) -> None:
    pair = Edit(p2p, name)
    step = pair.step(*WAYS[way])
    close(pair.sample(pair.edited(step), pair.paired), pair.expected(step)[0])


@pytest.mark.parametrize("name", NAMES)
def test_maps_of_words_are_columns_of_the_float64_maps(p2p: Pack, name: str) -> None:
    pair = Edit(p2p, name)
    step, store = pair.step("swap", 1, 0), p2p.maps.MapStore()
    record = p2p.recording.Record((p2p.maps.word_channel("grass", pair.prompts),), store)
    result = pair.sample(pair.edited(record, pair.edited(step)), pair.paired)
    _, words = pair.expected(step, "grass")
    maps = store.read(result).maps
    for n, recorded in enumerate(maps.values()):
        expected = torch.stack(words[n :: len(maps)]).mean(0)
        torch.testing.assert_close(recorded[0, :, 0].flatten(1).double(), expected, atol=1e-5, rtol=0)


METHODS = {
    "Qwen-Image": ("index", "index_timestep_zero", "negative_index"),
    "Flux.1": ("offset", "index", "uxo"),
    "Krea 2": ("index_timestep_zero",),
}


@pytest.mark.parametrize(("name", "method"), [(n, m) for n in METHODS if n in NAMES for m in METHODS[n]])
def test_every_method_of_placing_references(p2p: Pack, name: str, method: str) -> None:
    pair = Edit(p2p, name)
    for each in (*pair.conditionings, pair.negative):
        each[0][1]["reference_latents_method"] = method
    step = pair.step("swap", 1, 1)
    close(pair.sample(pair.edited(step), pair.paired), pair.expected(step)[0])


@pytest.mark.parametrize("name", NAMES)
def test_each_picture_of_a_batch_is_its_own_reference(p2p: Pack, name: str) -> None:
    pair, step = Edit(p2p, name, samples=2), ("swap", 0, 0)
    rows = pair.sample(pair.edited(pair.step(*step)), pair.paired, 2)
    for sample in range(2):
        references = [each[sample : sample + 1] for each in pair.references]
        for each in (*pair.conditionings, pair.negative):
            each[0][1]["reference_latents"] = references
        for prompt in range(3):
            close(rows[sample * 3 + prompt], pair.plain(prompt, 6, 2)[sample * 3 + prompt])


@pytest.mark.parametrize("name", NAMES)
def test_references_of_one_size_may_differ_between_source_and_edits(p2p: Pack, name: str) -> None:
    pair = Edit(p2p, name)
    pair.conditionings[1][0][1]["reference_latents"] = [each.flip(-1) for each in pair.references]
    result = pair.sample(pair.edited(pair.step("swap", 0, 0)), pair.paired)
    for prompt in range(3):
        assert torch.equal(result[prompt], pair.plain(prompt, 3)[prompt])


def test_references_of_other_sizes_are_refused(graph: Graph, p2p: Pack, error: type[Exception]) -> None:
    def refused(*references: Tensor) -> Any:
        pair = Edit(p2p, "Qwen-Image")
        source, edit = pair.conditionings[:2]
        edit[0][1]["reference_latents"] = list(references)
        expected = "Pair Conditioning: expected reference latents of the same number and size"
        with pytest.raises(error, match=expected) as refusal:
            graph.host.run(graph.node["P2PPairConditioning"], source=source, edit=edit)
        return str(refusal.value)

    big = noise("Qwen-Image")
    assert "12 × 8, 8 × 6 and 12 × 8 cells. Connect the same reference images" in refused(big)
    assert "12 × 8, 8 × 6 and 12 × 8, 12 × 8 cells" in refused(big, big)
    assert "12 × 8, 8 × 6 and none cells" in refused()


def test_other_images_in_the_text_are_refused(p2p: Pack, error: type[Exception]) -> None:
    pair = Edit(p2p, "Qwen-Image")
    pair.conditionings[1][0][0] = pair.conditionings[1][0][0][:, 2:]
    with pytest.raises(error, match=r"with the same images, got 6 and 4 and 6 tokens more"):
        pair.sample(pair.edited(pair.step("swap", 1, 1)), pair.paired)


# Real images


class Photo:
    """A picture as the source, with the instructions of an edit model."""

    def __init__(self, graph: Graph, p2p: Pack, name: str, method: str) -> None:
        self.graph, self.pair = graph, Edit(p2p, name)
        inputs = {
            "model": self.pair.model,
            "source": self.pair.conditionings[0],
            "method": method,
            "steps": 3,
        }
        latent = {"samples": self.pair.picture}
        node = graph.node["P2PInvert"]
        self.trajectory = graph.host.run(node, latent=latent, scheduler="simple", **inputs)[0]

    def model(self, windows: dict[str, float] = OPEN) -> Any:
        prompts = self.pair.prompts
        model = self.graph.on("RealImage", prompts, self.pair.model, trajectory=self.trajectory)[0]
        return self.graph.swapped(prompts, model, **windows)

    def blended(self, windows: dict[str, float] = OPEN, **widgets: Any) -> tuple[Any, Any]:
        words = {"threshold": 0.999, "pooling": False, "start": 0.0, **widgets}
        return self.graph.on("LocalBlend", self.pair.prompts, self.model(windows), **words)

    def sample(self, model: Any, cfg: float = 3.0) -> Tensor:
        rows = self.pair.sample(model, self.pair.paired, latent=self.pair.picture, cfg=cfg)
        assert torch.equal(rows[:1], self.pair.picture)
        assert not torch.equal(rows[1:2], rows[:1]) and bool(rows.isfinite().all())
        return rows

    def keeps(self, rows: Tensor, mask: Tensor) -> None:
        """Outside the mask [E, h, w], edits are the picture to the bit."""
        assert bool((mask == 0).any()) and bool(mask.any())
        for edit, outside in zip(rows[1:], mask == 0, strict=True):
            assert torch.equal(edit[..., outside], self.pair.picture[0][..., outside])


@pytest.fixture(params=[(name, method) for name in NAMES for method in ("no inversion", "euler")])
def photo(graph: Graph, p2p: Pack, request: pytest.FixtureRequest) -> Photo:
    return Photo(graph, p2p, *request.param)


def test_the_source_is_the_picture_itself(photo: Photo) -> None:
    for cfg in (1.0, 3.0):
        photo.sample(photo.model(), cfg)
    if not photo.trajectory.inverted:
        rows = photo.sample(photo.model(CLOSED), cfg=1.0)
        plain = photo.pair.plain(1, 3, cfg=1.0, latent=photo.pair.picture.expand_as(rows))
        assert torch.equal(rows[1], plain[1])


def test_outside_a_blend_the_edit_is_the_picture(photo: Photo) -> None:
    """By words of the instruction, and by a mask."""
    model, store = photo.blended(source_words="cat", edit_words="dog, snow")
    for cfg in (1.0, 3.0):
        photo.keeps(photo.sample(model, cfg), store.read().blend)
    mask = torch.zeros(1, *photo.pair.picture.shape[-2:])
    mask[..., ::2, :4] = 1
    model, _ = photo.blended(mask=mask, mask_mode="replace")
    photo.keeps(photo.sample(model), mask.expand(2, -1, -1))


def test_a_blend_by_attention_on_the_reference(photo: Photo) -> None:
    """The mask is where the edit's attention on the reference tokens is lowest."""
    layout, seen = photo.pair.layout(), []

    def noting(function: Any, *args: Any, **given: Any) -> Tensor:
        q, k = (_split(each, args[3] if len(args) > 3 else given["heads"], given) for each in args[:2])
        if q.shape[2] == k.shape[2] == layout.total:
            k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
            share = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1)
            seen.append(layout.reference.of(layout.image.of(share).mT).sum(-2).mean(1))
        return function(*args, **given)

    model, store = photo.blended(CLOSED, region="reference", threshold=0.1)
    model.model_options["transformer_options"]["optimized_attention_override"] = noting
    rows = photo.sample(model, cfg=1.0)
    maps = list(store.read().maps.values())
    for n, recorded in enumerate(maps):
        expected = torch.stack(seen[n :: len(maps)]).mean(0)
        torch.testing.assert_close(recorded[0, :, 0].flatten(1).double(), expected, atol=1e-5, rtol=0)
    photo.keeps(rows, store.read().blend)


def _split(tokens: Tensor, heads: int, given: dict[str, Any]) -> Tensor:
    tokens = tokens.double()
    return tokens if given.get("skip_reshape") else tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def test_a_blend_by_the_reference_needs_one(graph: Graph, p2p: Pack, error: type[Exception]) -> None:
    pair = Pair(p2p, "Flux.1")
    model = graph.on("LocalBlend", pair.prompts, pair.model, region="reference", start=0.0)[0]
    with pytest.raises(error, match=r"expected a model call with reference latents.* or set region of Local"):
        pair.sample(model, pair.paired)
    with pytest.raises(error, match="Local Blend: expected no words for a mask by the reference, got cat"):
        graph.on("LocalBlend", pair.prompts, pair.model, region="reference", source_words="cat")
