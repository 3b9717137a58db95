"""Attention Store: means of the attention on words, for any run; the image is unchanged."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import EDIT, OPEN, SOURCE, Graph, close, differ, own_attention, state, with_patch

pytestmark = pytest.mark.host

Tensor = torch.Tensor
MIDDLE: dict[str, Any] = {"layers": "middle"}
LONG = "a " * 80 + "circle"  # the circle is in the second chunk of tokens
ONE: dict[str, Any] = {"steps": 1}


def stored(graph: Graph, source: str = SOURCE, edit: str = EDIT, model: Any = None, windows: Any = None,
           store: dict[str, Any] | None = None, **options: Any) -> tuple[Tensor, Any]:  # fmt: skip
    """A sampling with Attention Store, and with Word Swap if there are windows: latent and store."""
    prompts, positive = graph.pair(source, edit)
    model = graph.swapped(prompts, model, **windows) if windows else model
    model, kept = graph.on("AttentionStore", prompts, model, **(store or {}))
    return graph.sample(model, positive, **options), kept


def maps_of(store: Any, stage: str = "middle") -> Tensor:
    """[parts, R, n, h, w] of the first layer of a stage."""
    return next(maps for layer, maps in store.read().maps.items() if layer.stage == stage)


Caught = list[tuple[Tensor, Tensor, int]]


def catching(caught: Caught) -> Any:
    """Changes nothing; records queries, keys and heads of the positive side in every call."""

    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        sides = extra_options["cond_or_uncond"]
        for side, asked, keys in zip(sides, q.chunk(len(sides)), k.chunk(len(sides)), strict=True):
            if side == 0:
                caught.append((asked.clone(), keys.clone(), extra_options["n_heads"]))
        return own_attention(q, k, v, extra_options)

    return patch


def by_hand(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """softmax(QKᵀ/√d), the mean over heads. [N, C], [K, C] → [N, K]."""
    per_head = [t.float().unflatten(-1, (heads, -1)).transpose(0, 1) for t in (q, k)]  # [heads, N or K, d]
    scores = per_head[0] @ per_head[1].transpose(1, 2) / per_head[0].shape[-1] ** 0.5
    return scores.softmax(-1).mean(0)


# Maps


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (64, 96)])
@pytest.mark.parametrize("edit", [EDIT, ""])
def test_the_maps_of_a_step_are_the_softmax_of_queries_and_keys(
    graph: Graph, host: Host, size: tuple[int, int], edit: str
):
    caught: Caught = []
    prompts, _ = graph.pair(SOURCE, edit)
    latent = host.empty_latent(*size, batch=2)
    model = with_patch(host.model(), catching(caught), "middle", 0)
    _, store = stored(
        graph, edit=edit, model=model, store={**MIDDLE, "words": "blue star, red"}, latent=latent, **ONE
    )
    ((q, k, heads),) = caught
    (maps,) = maps_of(store)
    assert maps.shape[1] == 2 and q.shape[1] == maps.shape[2] * maps.shape[3]
    assert maps.shape[2] * size[0] == maps.shape[3] * size[1], "rows of cells one above the other"
    for row in range(len(q)):
        prompt = prompts.prompts[row % len(prompts.prompts)]
        whole = by_hand(q[row], k[row], heads)
        for channel, word in enumerate(("blue star", "red")):
            expected = whole[:, list(prompt.find(word))].sum(1)
            assert close(maps[row, channel].flatten(), expected, 1e-6), (row, word)


def test_the_maps_are_means_over_the_steps(graph: Graph, host: Host):
    caught: Caught = []
    model = with_patch(host.model(), catching(caught), "middle", 0)
    _, store = stored(graph, model=model, store={**MIDDLE, "words": "star"}, steps=3)
    assert len(caught) == 3
    columns = list(graph.pair()[0].source.find("star"))
    means = torch.stack([by_hand(q[0], k[0], heads)[:, columns].sum(1) for q, k, heads in caught]).mean(0)
    assert close(maps_of(store)[0, 0, 0].flatten(), means, 1e-6)


@pytest.mark.parametrize(("source", "edit"), [(LONG, EDIT), (EDIT, LONG), (LONG, "")])
def test_words_beyond_77_tokens(graph: Graph, host: Host, source: str, edit: str):
    """The host repeats the columns of the shorter prompt."""
    caught: Caught = []
    prompts, _ = graph.pair(source, edit)
    model = with_patch(host.model(), catching(caught), "middle", 0)
    _, store = stored(graph, source, edit, model, store={**MIDDLE, "words": "circle"}, **ONE)
    row = prompts.texts.index(LONG)
    columns = list(prompts.prompts[row].find("circle"))
    ((q, k, heads),) = caught
    assert min(columns) > 77 and k.shape[1] == 154
    maps = maps_of(store)[0]
    assert close(maps[row, 0].flatten(), by_hand(q[row], k[row], heads)[:, columns].sum(1), 1e-6)
    assert all(bool((maps[other] == 0).all()) for other in range(len(maps)) if other != row)


def test_a_short_prompt_beside_a_long_one_has_the_maps_that_it_has_alone(graph: Graph):
    store = {**MIDDLE, "words": "star"}
    _, beside = stored(graph, SOURCE, LONG, store=store, **ONE)
    _, alone = stored(graph, SOURCE, SOURCE, store=store, **ONE)
    assert close(maps_of(beside)[0, 0], maps_of(alone)[0, 0], 1e-5)


def test_all_words_of_both_prompts_are_kept_by_default(graph: Graph):
    _, store = stored(graph, SOURCE, "a red house and a blue star", **ONE)
    names = ["a[1]", "red", "circle", "and", "a[2]", "blue", "star", "on", "grass", "house"]
    assert [channel.name for channel in store.read().channels] == names


def test_a_swapped_word_has_the_map_of_the_word_it_replaces(graph: Graph):
    """In the first layer of the first step: later, the rows see different images."""
    store = {"words": "circle, house, grass"}
    for windows, same in ((OPEN, True), (None, False)):
        _, kept = stored(graph, windows=windows, store=store, **ONE)
        source, edit = maps_of(kept, "input")[0]
        assert bool((source[1] == 0).all()) and bool((edit[0] == 0).all()), "each prompt has one of the words"
        assert close(edit[1], source[0], 1e-5) is same
        assert close(edit[2], source[2], 1e-5) is same


@pytest.mark.parametrize("store_first", [True, False])
def test_a_weight_multiplies_the_map_of_its_word(graph: Graph, store_first: bool):
    """For a source prompt alone, whose rows Reweight adds, before or after the store."""
    prompts, positive = graph.pair(SOURCE, "")
    weights, store, model = {"weights": "star: 3\n---\nstar: -1"}, None, None
    for name in ("AttentionStore", "Reweight", "AttentionStore")[not store_first :][:2]:
        widgets = weights if name == "Reweight" else {"words": "star"}
        model, out = graph.on(name, prompts, model, **widgets)
        store = out if name == "AttentionStore" else store
    graph.sample(model, positive, **ONE)
    plain, more, less = maps_of(store, "input")[0, :, 0]
    assert close(more, 3 * plain, 1e-5) and close(less, -plain, 1e-5)


def test_the_maps_are_those_of_the_positive_side(graph: Graph):
    at = {"store": {**MIDDLE, "words": "star"}, **ONE}
    _, guided = stored(graph, **at)
    _, free = stored(graph, cfg=1.0, **at)
    assert close(maps_of(guided), maps_of(free), 1e-5)


def test_layers_and_resolutions_that_were_asked_for_are_kept(graph: Graph):
    def kept(layers: str) -> set[Any]:
        return set(stored(graph, store={"words": "star", "layers": layers}, **ONE)[1].read().maps)

    everything = kept("all")
    assert {layer.stage for layer in everything} == {"input", "middle", "output"}
    for scale in {layer.scale for layer in everything}:
        assert kept(f"1/{scale}") == {layer for layer in everything if layer.scale == scale}
    assert kept("middle") == {layer for layer in everything if layer.stage == "middle"}


def test_step_groups_are_windows_of_their_own(graph: Graph):
    at = {**MIDDLE, "words": "star"}
    _, grouped = stored(graph, store={**at, "step_groups": 2}, steps=4)
    assert len(maps_of(grouped)) == 2
    for part, window in zip(maps_of(grouped), ({"end": 0.5}, {"start": 0.5}), strict=True):
        _, alone = stored(graph, store={**at, **window}, steps=4)
        assert torch.equal(part, maps_of(alone)[0])
    assert differ(*maps_of(grouped))


def test_self_attention_of_a_resolution(graph: Graph, host: Host):
    caught: Caught = []
    layers = stored(graph, store={"words": "star"}, **ONE)[1].read().maps
    scale = next(layer.scale for layer in layers if layer.stage == "middle")
    middle = {**MIDDLE, "self_attention": f"1/{scale}"}
    model = with_patch(host.model(), catching(caught), "middle", 0, name="attn1")
    kept = stored(graph, model=model, store=middle, **ONE)[1].read()
    ((q, k, heads),) = caught
    assert kept.self_size == (8 // scale, 8 // scale)
    assert all(close(kept.self_map[row], by_hand(q[row], k[row], heads), 1e-6) for row in range(2))
    swapped = stored(graph, windows=OPEN, store=middle, **ONE)[1].read()
    assert torch.equal(*swapped.self_map) and not torch.equal(*kept.self_map), "the source's in both rows"
    assert stored(graph, store=MIDDLE, **ONE)[1].read().self_map is None


def test_self_attention_is_the_mean_of_the_layers_of_its_resolution(graph: Graph):
    layers = stored(graph, store={"words": "star"}, **ONE)[1].read().maps
    scale = next(layer.scale for layer in layers if layer.stage == "middle")
    blocks = [f"{x.stage} {x.number}" for x in layers if x.scale == scale]
    store = {"self_attention": f"1/{scale}"}
    each = [stored(graph, store={**store, "layers": block}, **ONE)[1].read().self_map for block in blocks]
    everything = stored(graph, store=store, **ONE)[1].read().self_map
    assert len(each) > 1 and close(everything, torch.stack(each).mean(0), 1e-6)


# The picture


@pytest.mark.parametrize("windows", [None, OPEN])
def test_the_picture_is_bit_for_bit_the_one_without_the_store(graph: Graph, windows: Any):
    prompts, positive = graph.pair()
    plain = graph.swapped(prompts, **windows) if windows else None
    rows, _ = stored(graph, windows=windows, store={"self_attention": "1/2", "step_groups": 2}, steps=3)
    if plain:
        assert torch.equal(rows, graph.sample(plain, positive, steps=3))
    else:
        assert all(torch.equal(rows[i], graph.plain(t, steps=3)[i]) for i, t in enumerate((SOURCE, EDIT)))


def test_a_prompt_alone_is_drawn_as_without_the_store(graph: Graph, host: Host):
    latent = host.empty_latent(64, 64, batch=2)
    rows, store = stored(graph, edit="", latent=latent)
    assert torch.equal(rows, graph.plain(SOURCE, rows=1, latent=latent))
    assert store.read(rows).rows.samples == 2 and maps_of(store).shape[1] == 2


# The store


def test_a_store_holds_tensors_of_its_own_in_main_memory(graph: Graph):
    _, store = stored(graph, windows=OPEN, store={"self_attention": "1/2", "step_groups": 2})
    recorded = store.read()
    tensors = [*recorded.maps.values(), recorded.self_map]
    assert len(tensors) > 1 and recorded.bytes == sum(t.nbytes for t in tensors)
    for tensor in tensors:
        assert tensor.device.type == "cpu" and tensor.dtype == torch.float32 and not tensor.requires_grad
        assert tensor.untyped_storage().nbytes() == tensor.nbytes, "no view of something larger"


def test_a_clone_of_the_model_fills_the_same_store(graph: Graph):
    """As made by a LoRA or another pack further down, on every version of the host."""
    prompts, positive = graph.pair()
    model, store = graph.on("AttentionStore", prompts, **MIDDLE)
    model = graph.swapped(prompts, model.clone(), **OPEN).clone()
    rows = graph.sample(model, positive)
    _, direct = stored(graph, windows=OPEN, store=MIDDLE)
    assert torch.equal(maps_of(store), maps_of(direct))
    assert store.read(rows).latent == (8, 8)


def test_a_second_run_takes_the_place_of_the_first(graph: Graph):
    prompts, positive = graph.pair()
    model, store = graph.on("AttentionStore", prompts, **MIDDLE)
    maps = []
    for seed in (7, 8, 7):
        graph.sample(model, positive, seed=seed)
        maps.append(maps_of(store))
    assert torch.equal(maps[0], maps[2]) and differ(maps[0], maps[1])


def test_two_stores_on_one_model_are_both_filled(graph: Graph):
    prompts, positive = graph.pair()
    model, first = graph.on("AttentionStore", prompts, **MIDDLE, words="star")
    model, second = graph.on("AttentionStore", prompts, model, words="red", layers="input")
    graph.sample(model, positive, **ONE)
    for store, word, stage in ((first, "star", "middle"), (second, "red", "input")):
        recorded = store.read()
        assert [channel.name for channel in recorded.channels] == [word]
        assert {layer.stage for layer in recorded.maps} == {stage}


@pytest.mark.parametrize("raised", ["error", "interrupt"])
@pytest.mark.parametrize("name", ["AttentionStore", "LocalBlend"])
def test_a_run_that_ends_early_leaves_the_store_unfilled(
    graph: Graph, host: Host, error: type[Exception], raised: str, name: str
):
    exception = RuntimeError if raised == "error" else host.interrupt
    ends: list[bool] = []

    def ending(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        if ends:
            raise exception()
        return own_attention(q, k, v, extra_options)

    prompts, positive = graph.pair()
    words = {"source_words": "circle", "start": 0.0} if name == "LocalBlend" else {}
    model, store = graph.on(name, prompts, with_patch(host.model(), ending, "output", 0), **words)
    rows, before = graph.sample(model, positive), state(model)
    assert store.read(rows)
    ends.append(True)
    kept = store.read(rows)
    with pytest.raises(exception):
        graph.sample(model, positive)
    assert state(model) == before
    assert store.read() is store.read(rows) is kept
    ends.clear()
    assert torch.equal(graph.sample(model, positive), rows) and store.read(rows)


# Outputs drawn from it


def test_attention_maps_are_drawn_for_every_row(graph: Graph, host: Host):
    latent = host.empty_latent(96, 64, batch=2)
    rows, store = stored(graph, store={"words": "star, circle, house", "step_groups": 2}, latent=latent)
    at = {"store": store, "latent": {"samples": rows}}
    for view in ("words", "steps", "resolutions", "layers"):
        sheet, overlays, mask = host.run(graph.node["P2PAttentionMaps"], **at, view=view)
        assert sheet.shape[0] == 2 and sheet.shape[-1] == 3, "a sheet a sample"
        assert overlays.shape == (4 * 3, 64, 96, 3) and mask.shape == (4, 64, 96)
        assert all(float(t.min()) >= 0 and float(t.max()) <= 1 for t in (sheet, overlays, mask))
    _, star, _ = host.run(graph.node["P2PAttentionMaps"], **at, words="star")
    assert torch.equal(star, overlays[::3])


def test_attention_maps_over_the_picture(graph: Graph, host: Host):
    rows, store = stored(graph, store={"words": "star, circle"})
    images = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    at = {"store": store, "latent": {"samples": rows}, "images": images}
    _, clear, _ = host.run(graph.node["P2PAttentionMaps"], **at, opacity=0.0)
    assert close(clear, images.repeat_interleave(2, dim=0), 1e-6)
    _, low, wide = host.run(graph.node["P2PAttentionMaps"], **at, threshold=0.2)
    one = {**at, "images": images[:1]}
    _, both, _ = host.run(graph.node["P2PAttentionMaps"], **one, opacity=0.0)
    assert close(both, images[[0, 0, 0, 0]], 1e-6), "one picture serves all rows"
    _, _, narrow = host.run(graph.node["P2PAttentionMaps"], **at, threshold=0.9)
    _, _, none = host.run(graph.node["P2PAttentionMaps"], **at, threshold=1.0)
    assert differ(low, clear)
    assert set(wide.unique().tolist()) <= {0.0, 1.0} and wide.sum() > narrow.sum() > none.sum() == 0


def test_too_many_overlays_stop_only_the_nodes_that_use_them(
    graph: Graph, host: Host, pack: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    from comfy_execution.graph_utils import ExecutionBlocker

    colours = importlib.import_module(f"{pack.__name__}.p2p_core.pictures.colours")
    monkeypatch.setattr(colours, "PICTURES", 12 * 1024**2)
    rows, store = stored(graph, store={"words": "star, circle, house"})
    at = {"store": store, "latent": {"samples": rows}, "images": torch.rand(2, 512, 512, 3)}
    sheet, blocked, mask = host.run(graph.node["P2PAttentionMaps"], **at)
    assert sheet.ndim == 4 and isinstance(blocked, ExecutionBlocker) and mask.shape == (2, 512, 512)
    assert blocked.message.startswith("Attention Maps: expected at most 12.6 MB at once, ")
    assert "got 6 images of 512 × 512: 18.9 MB. List fewer words, or connect smaller" in blocked.message
    _, two, _ = host.run(graph.node["P2PAttentionMaps"], **at, words="star")
    assert two.shape == (2, 512, 512, 3)


def test_components_of_self_attention_are_drawn(graph: Graph, host: Host):
    rows, store = stored(graph, store={"self_attention": "1/2"}, latent=host.empty_latent(96, 64, batch=2))
    at = {"store": store, "latent": {"samples": rows}}
    (few,) = host.run(graph.node["P2PSelfAttentionComponents"], **at, count=2)
    (more,) = host.run(graph.node["P2PSelfAttentionComponents"], **at, count=6)
    assert few.shape[0] == more.shape[0] == 2 and more[0].numel() > few[0].numel()
    assert float(more.min()) >= 0 and float(more.max()) <= 1 and float(more.std()) > 0
