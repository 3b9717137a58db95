"""Remember Source: the source of a later edit is that of the first run, and is not computed again."""

from __future__ import annotations

import copy
import gc
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import EDIT, NEGATIVE, SOURCE, Graph, close, differ, drawn, own_attention, with_patch
from test_samplers import names
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]

HALF = {"cross_start": 0.0, "cross_end": 0.4, "self_start": 0.0, "self_end": 0.6}
OTHER = "a red circle and a green tree on grass"
SAMPLERS = [name for name in names() if name != "dpm_adaptive"]


@pytest.fixture
def memory(pack: ModuleType) -> Iterator[Any]:
    """The pack's memory, empty before and after."""
    owner = importlib.import_module(f"{pack.__name__}.nodes.comfyui.remembering").MEMORY
    owner.make_room(0, 0, 0)
    yield owner
    owner.make_room(0, 0, 0)


class Desk:
    """Edits of one source, with and without memory."""

    def __init__(self, graph: Graph, shown: list[str]) -> None:
        """shown: what the node shows after each run."""
        self.graph, self.host, self.shown = graph, graph.host, shown

    def on(self, model: Any, **widgets: Any) -> Any:
        """Remember Source on a MODEL."""
        return self.host.run(self.graph.node["P2PRememberSource"], model=model, **widgets)[0]

    def edited(self, edit: str = EDIT, *, keep: bool = True, more: Any = None, **options: Any) -> Tensor:
        """A sampling of the pair. more: puts other nodes on the MODEL."""
        prompts, positive = self.graph.pair(options.pop("source", SOURCE), edit)
        windows = options.pop("windows", HALF)
        model = self.graph.swapped(prompts, options.pop("model", None), **windows)
        model = model if more is None else more(prompts, model)
        widgets = options.pop("widgets", {})
        model = self.on(model, **widgets) if keep else model
        return self.graph.sample(model, positive, **{"steps": 4, **options})

    def rows(self, edit: str = EDIT, **options: Any) -> list[int]:
        """The rows of each call of a layer in a run with memory."""
        calls: list[int] = []
        model = with_patch(options.pop("model", None) or self.host.model(), counting(calls), "middle", 0)
        self.edited(edit, model=model, **options)
        return calls

    def again(self, first: dict[str, Any], second: dict[str, Any]) -> bool:
        """Whether the second of two runs leaves out rows: its calls have different numbers of them."""
        self.rows(**first)
        return len(set(self.rows(OTHER, **second))) > 1


def counting(calls: list[int]) -> Callable[..., Tensor]:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict[str, Any]) -> Tensor:
        calls.append(q.shape[0])
        return own_attention(q, k, v, extra)

    return patch


@pytest.fixture
def desk(graph: Graph, memory: Any, pack: ModuleType, monkeypatch: Any) -> Desk:
    sampling, shown = importlib.import_module(f"{pack.__name__}.nodes.comfyui.sampling"), list[str]()
    monkeypatch.setattr(
        sampling, "show_after", lambda texts: shown.extend(t for _, t in texts if t.startswith("source"))
    )
    return Desk(graph, shown)


# The images


def check(desk: Desk, edit: str = OTHER, rows: int = 2, **options: Any) -> tuple[Tensor, Tensor]:
    """The second run's source is the first's, its edits those of a run without memory: both are returned."""
    first = desk.edited(**options)
    again, fresh = desk.edited(edit, **options), desk.edited(edit, keep=False, **options)
    assert desk.shown[-1].startswith("source reused: 0.")
    assert torch.equal(again[::rows], first[::2]) and torch.equal(again[::rows], fresh[::rows])
    assert close(again, fresh, 1e-4) and differ(again[1], first[1])
    return again, fresh


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler(desk: Desk, memory: Any, sampler: str):
    check(desk, sampler=sampler, steps=3)
    assert len(memory) == 1


@pytest.mark.parametrize("sampler", sorted({"euler", "dpmpp_2m", "euler_ancestral_cfg_pp"} & set(SAMPLERS)))
def test_without_guidance(desk: Desk, sampler: str):
    check(desk, sampler=sampler, cfg=1.0)


def test_two_samples_and_noise_that_the_sampler_draws(desk: Desk, host: Host):
    check(desk, sampler="euler_ancestral", latent=host.empty_latent(64, 64, batch=2))


def test_an_image_as_latent_with_a_noise_mask(desk: Desk, host: Host):
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    check(desk, latent={**drawn(host), "noise_mask": mask}, denoise=0.7)


@pytest.mark.parametrize("words", [{}, {"source_words": "star", "edit_words": "tree"}])
def test_local_blend(desk: Desk, graph: Graph, words: dict[str, str]):
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1
    settings = words or {"mask": mask, "mask_mode": "replace"}

    def more(prompts: Any, model: Any) -> Any:
        known = {**settings, "edit_words": "house"} if words and prompts.edits[0].has("house") else settings
        return graph.on("LocalBlend", prompts, model, **known)[0]

    again, fresh = check(desk, more=more)
    outside = (fresh[1] == fresh[0]).all(0)
    assert (again[1] == again[0]).all(0).equal(outside)
    if not words:
        assert outside[:, :4].all()


def test_maps_are_those_of_a_run_without_memory(desk: Desk, graph: Graph, host: Host):
    stores: list[Any] = []

    def more(prompts: Any, model: Any) -> Any:
        model, store = graph.on("AttentionStore", prompts, model, words="circle")
        stores.append(store)
        return model

    check(desk, more=more)
    _, kept, plain = (store.read() for store in stores)
    for layer, maps in plain.maps.items():
        assert close(kept.maps[layer], maps, 1e-4)


def test_several_edits(desk: Desk):
    check(desk, f"{EDIT} at night\n---\n{OTHER}", rows=3)


def test_weights_on_words(desk: Desk, graph: Graph):
    def more(prompts: Any, model: Any) -> Any:
        return graph.on("Reweight", prompts, model, weights="grass: 3")[0]

    check(desk, more=more)


def test_regions_with_areas_of_their_own(desk: Desk, graph: Graph, host: Host):
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1

    def edited(edit: str, keep: bool) -> Tensor:
        prompts, positive = graph.pair(SOURCE, edit)
        region = [[host.encode("snow")[0][0], {**host.encode("snow")[0][1], "mask": mask}]]
        model = graph.swapped(prompts, **HALF)
        return graph.sample(desk.on(model) if keep else model, [*positive, *region], steps=4)

    first, again, fresh = edited(EDIT, True), edited(OTHER, True), edited(OTHER, False)
    assert torch.equal(again[0], first[0]) and close(again, fresh, 1e-4)


# What is computed


def test_source_rows_are_left_out_where_nothing_reads_them(desk: Desk):
    """In four steps, the windows are open in the first two."""
    assert desk.rows() == [4, 4, 4, 4]
    assert desk.rows(OTHER) == [2, 1, 2, 1, 2, 2]
    assert desk.rows(OTHER, windows={**HALF, "cross_end": 0.0, "self_end": 0.0}) == [2, 2, 2, 2]


@pytest.mark.real_host
def test_the_rows_that_are_left_share_a_call(desk: Desk, host: Host):
    """If no other pack patches the model."""
    calls: list[int] = []
    unet = host.model().model.diffusion_model
    hook = unet.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    try:
        for edit in (EDIT, OTHER):
            desk.edited(edit)
    finally:
        hook.remove()
    assert calls == [4, 4, 4, 4, 3, 3, 2, 2]


def test_without_guidance_they_are_left_out_after_the_windows(desk: Desk):
    assert desk.rows(cfg=1.0) == [2, 2, 2, 2] and desk.rows(OTHER, cfg=1.0) == [2, 2, 1, 1]


def test_maps_of_words_need_the_source(desk: Desk, graph: Graph):
    def more(prompts: Any, model: Any) -> Any:
        return graph.on("AttentionStore", prompts, model, words="circle")[0]

    desk.rows(more=more)
    assert desk.rows(OTHER, more=more) == [2, 1] * 4


def test_the_source_alone_is_recorded_for_later_edits(desk: Desk, graph: Graph):
    prompts, positive = graph.pair(SOURCE, "")
    alone = graph.sample(desk.on(graph.on("AttentionStore", prompts)[0]), positive, steps=4)
    assert torch.equal(desk.edited(OTHER)[:1], alone)


# Attention


def kept(**options: Any) -> dict[str, Any]:
    """Options of a run that keeps attention too."""
    return {"widgets": {"keep_attention": True}, **options}


@pytest.mark.parametrize("cfg", [4.0, 1.0])
def test_with_attention_kept_no_source_row_is_computed(desk: Desk, cfg: float):
    options = kept(cfg=cfg)
    check(desk, **options)
    assert desk.rows(**options) == [2 if cfg == 1 else 4] * 4
    assert desk.rows(OTHER, **options) == [1 if cfg == 1 else 2] * 4


def test_with_attention_kept_there_are_several_edits_and_samples(desk: Desk, host: Host):
    options = kept(latent=host.empty_latent(64, 64, batch=2))
    first = desk.edited(**options)
    texts = f"{OTHER}\n---\n{EDIT} at night"
    again, fresh = desk.edited(texts, **options), desk.edited(texts, keep=False, **options)
    assert torch.equal(again[::3], first[::2]) and close(again, fresh, 1e-4)
    assert desk.rows(**options) == [8] * 4 and desk.rows(texts, **options) == [8] * 4
    assert desk.shown[-1] == "source reused: 0.67 of a full run"


def test_with_attention_kept_words_have_windows_and_weights(desk: Desk, graph: Graph):
    def more(prompts: Any, model: Any) -> Any:
        return graph.on("Reweight", prompts, model, weights="grass: 0.5", cross_end=0.9)[0]

    options = kept(more=more, windows={**HALF, "word_windows": "grass: 0.7"})
    check(desk, **options)
    assert desk.rows(**options) == [4] * 4 and desk.rows(OTHER, **options) == [2] * 4


def test_wider_windows_keep_the_attention_that_was_missing(desk: Desk):
    wide = kept(windows={**HALF, "cross_end": 1.0, "self_end": 0.6})
    assert desk.rows(**kept()) == [4] * 4
    assert desk.rows(OTHER, **wide) == [2, 2, 2, 1, 2, 1]
    assert desk.rows(OTHER, **wide) == [2] * 4
    assert desk.rows(**kept()) == [2] * 4


def test_negative_prompts_of_another_length(desk: Desk, host: Host):
    """Their columns and those of the pair are repeated to one length in calls of both."""
    options = {"negative": host.encode(" ".join(["snow"] * 90)), "seed": 9}
    check(desk, **kept(**options))
    closed = {**HALF, "cross_end": 0.0}
    desk.edited(**kept(**{**options, "seed": 10}, windows=closed))
    one, other = (desk.edited(**kept(**{**options, "seed": 10})) for _ in range(2))
    assert close(one, other, 1e-4)


def test_damaged_attention_is_noticed(desk: Desk, memory: Any):
    first = desk.edited(**kept())
    with torch.inference_mode():
        for q, _ in memory._records[0].calls[0].attention[0].tensors.values():
            q.zero_()
    assert torch.equal(desk.edited(OTHER, **kept())[0], first[0])
    assert desk.shown[-1].startswith("source recorded: ")


# The same source


@pytest.mark.parametrize(
    "change",
    [
        {"source": "a red circle and a blue star on snow"},
        {"seed": 8},
        {"cfg": 5.0},
        {"steps": 5},
        {"sampler": "euler_ancestral"},
        {"denoise": 0.8},
    ],
    ids=str,
)
def test_another_source_is_computed(desk: Desk, memory: Any, change: dict[str, Any]):
    assert not desk.again({}, change) and len(memory) == 2
    assert desk.again({}, {})  # the first one is still there


def test_another_negative_another_size_or_latent_is_computed(desk: Desk, host: Host):
    assert not desk.again({}, {"negative": host.encode("grass")})
    assert not desk.again({}, {"latent": host.empty_latent(72, 64)})
    assert not desk.again({}, {"latent": drawn(host)})
    assert not desk.again({}, {"latent": host.empty_latent(64, 64, batch=2)})


def test_everything_encoded_again_is_the_same_source(desk: Desk, host: Host):
    assert desk.again({"negative": host.encode(NEGATIVE)}, {"negative": host.encode(NEGATIVE)})


def test_another_patch_on_the_model_is_another_source(desk: Desk, host: Host):
    def scaled(by: float) -> Any:
        def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict[str, Any]) -> Tensor:
            return by * own_attention(q, k, v, extra)

        return with_patch(host.model(), patch, "middle", 0, name="attn1")

    assert desk.again({"model": scaled(1.5)}, {"model": scaled(1.5)})
    assert not desk.again({"model": scaled(1.5)}, {"model": scaled(2.0)})


def test_what_cannot_be_compared_is_computed(desk: Desk, memory: Any, host: Host):
    model = host.model().clone()
    model.model_options["transformer_options"]["another pack"] = iter(())
    assert not desk.again({"model": model}, {"model": model}) and len(memory) == 0


@pytest.mark.real_host
def test_other_weights_are_another_source(desk: Desk, host: Host):
    name, weight = next(iter(host.model().model.diffusion_model.named_parameters()))
    lora = host.model().clone()
    lora.add_patches({f"diffusion_model.{name}": (torch.ones_like(weight) * 0.1,)})
    assert not desk.again({}, {"model": lora})
    assert desk.again({"model": lora}, {"model": lora.clone()})


@pytest.mark.real_host
def test_samplers_that_compute_over_all_rows_are_not_remembered(desk: Desk, memory: Any):
    assert not desk.again({"sampler": "dpm_adaptive"}, {"sampler": "dpm_adaptive"}) and len(memory) == 0


def test_a_sampler_that_mixes_rows_takes_back_what_differs(desk: Desk, graph: Graph, monkeypatch: Any):
    """Steps of an unknown sampler that depend on all rows: the source goes another way and is computed."""
    import comfy.k_diffusion.sampling as k_diffusion

    own = k_diffusion.sample_euler

    def sample_euler(model: Any, x: Tensor, sigmas: Tensor, *args: Any, **options: Any) -> Tensor:
        def mixing(x: Tensor, *rest: Any, **more: Any) -> Tensor:
            clean = model(x, *rest, **more)
            return clean + 0.1 * clean.mean()

        mixing.inner_model = model  # type: ignore[attr-defined]
        return own(mixing, x, sigmas, *args, **options)

    monkeypatch.setattr(k_diffusion, "sample_euler", sample_euler)
    desk.edited()
    again, fresh = desk.edited(OTHER), desk.edited(OTHER, keep=False)
    assert close(again, fresh, 1e-4)


# The node


def test_turned_off_it_does_nothing(desk: Desk, memory: Any, host: Host, graph: Graph):
    prompts, _ = graph.pair()
    model = graph.swapped(prompts)
    assert desk.on(model, enabled=False) is model and len(memory) == 0


def test_it_needs_edits(desk: Desk, host: Host, refused: Callable[..., Any]):
    refused("Remember Source", "one without", "last Prompt-to-Prompt edit node", desk.on, host.model())


def test_two_of_them_are_an_error(desk: Desk, graph: Graph, refused: Callable[..., Any]):
    model = desk.on(graph.swapped(graph.pair()[0]))
    refused("Remember Source", "a second one", "Remove one of them", desk.on, model)


def test_an_interrupted_run_leaves_nothing(desk: Desk, memory: Any, host: Host):
    calls: list[int] = []

    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict[str, Any]) -> Tensor:
        calls.append(1)
        if len(calls) > 2:
            raise host.interrupt
        return own_attention(q, k, v, extra)

    with pytest.raises(host.interrupt):
        desk.edited(model=with_patch(host.model(), patch, "middle", 0))
    assert len(memory) == 0
    check(desk)


def test_damage_is_noticed(desk: Desk, memory: Any):
    first = desk.edited()
    with torch.inference_mode():
        memory._records[0].calls[-1].clean.add_(1)
    again = desk.edited(OTHER)
    assert torch.equal(again[0], first[0]) and len(memory) == 1


def test_nothing_is_kept_of_a_model_that_is_gone(desk: Desk, memory: Any, host: Host):
    model = host.model().clone()
    model.model = copy.copy(model.model)
    desk.edited(model=model)
    assert len(memory) == 1
    del model
    gc.collect()
    assert len(memory) == 0


def test_two_models_and_two_graphs_in_turn(desk: Desk, memory: Any, host: Host):
    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict[str, Any]) -> Tensor:
        return 2 * own_attention(q, k, v, extra)

    other = with_patch(host.model(), patch, "middle", 0)
    jobs = [(model, seed) for model in (None, other) for seed in (1, 2)]
    first = [desk.edited(model=model, seed=seed) for model, seed in jobs]
    again = [desk.edited(OTHER, model=model, seed=seed) for model, seed in jobs]
    assert len(memory) == 4
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one[0], two[0]) and differ(one[1], two[1])


def test_what_was_reused_is_shown_on_the_node(desk: Desk):
    for edit, cfg in ((EDIT, 4.0), (OTHER, 4.0), (OTHER, 1.0), (EDIT, 1.0)):
        desk.edited(edit, cfg=cfg)
    assert desk.shown[1::2] == ["source reused: 0.62 of a full run", "source reused: 0.75 of a full run"]
    assert all(text.startswith("source recorded: ") for text in desk.shown[::2])
