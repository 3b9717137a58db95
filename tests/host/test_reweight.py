"""Reweight on whole samplings: after an edit, and on the source prompt alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapter import Conditioning, Host
from graphs import CLOSED, EDIT, OPEN, SOURCE, Graph, close, differ

pytestmark = pytest.mark.host

Tensor = torch.Tensor
METHODS = ["WordSwap", "Refine", "PromptEdit"]
CROSS: dict[str, Any] = {**CLOSED, "cross_end": 1.0}
SELF: dict[str, Any] = {**CLOSED, "self_end": 1.0}
ADDED = "a red circle and a small blue star on grass at night"
MIXED = "a yellow house and a star on grass at night"
OTHER = "a red circle on snow"
CAP = 2**15  # more image tokens than any layer here has


def edited(graph: Graph, name: str, edit: str = EDIT, source: str = SOURCE, windows: dict[str, Any] = OPEN,
           **options: Any) -> Tensor:  # fmt: skip
    """A paired sampling with one node of the pack; its widgets are among `windows`."""
    prompts, positive = graph.pair(source, edit)
    return graph.sample(graph.on(name, prompts, **windows)[0], positive, **options)


def shown(graph: Graph, name: str, source: str, edit: str, model: Any = None, **widgets: Any) -> Any:
    """What a node returns."""
    prompts, _ = graph.pair(source, edit)
    model = model or graph.host.model()
    return graph.host.result(graph.node[f"P2P{name}"], model=model, prompts=prompts, **widgets)


# Weights


def weighed(
    graph: Graph, weights: str, edit: str = EDIT, edits: dict[str, Any] | None = OPEN,
    windows: dict[str, Any] | None = None, **options: Any,
) -> Tensor:  # fmt: skip
    """A paired sampling with Reweight, on top of Word Swap if `edits` has its windows."""
    prompts, positive = graph.pair(SOURCE, edit)
    model = graph.swapped(prompts, **edits) if edits else None
    model, _ = graph.on("Reweight", prompts, model, weights=weights, **(windows or OPEN))
    return graph.sample(model, positive, **options)


def test_weights_of_1_change_nothing(graph: Graph):
    assert torch.equal(weighed(graph, "house: 1, star: 1"), graph.edited())
    assert torch.equal(weighed(graph, "house: 3", windows=CLOSED), graph.edited())


def test_weights_of_any_sign_each_make_another_picture(graph: Graph):
    rows = [weighed(graph, f"house: {weight}")[1] for weight in (4, 1, 0, -2)]
    assert all(differ(a, b) for i, a in enumerate(rows) for b in rows[:i])


def test_weights_of_two_nodes_multiply(graph: Graph):
    prompts, positive = graph.pair()
    model = graph.swapped(prompts, **OPEN)
    for weight in (2, 3):
        model, _ = graph.on("Reweight", prompts, model, weights=f"house: {weight}", cross_end=1.0)
    assert close(graph.sample(model, positive), weighed(graph, "house: 6"), 1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_reweight_and_the_edit_does_not_matter(graph: Graph, name: str):
    prompts, positive = graph.pair(SOURCE, MIXED)
    weights = {"weights": "house: 3, night: 0.5"}
    after, _ = graph.on("Reweight", prompts, graph.on(name, prompts, **OPEN)[0], **weights)
    before = graph.on(name, prompts, graph.on("Reweight", prompts, **weights)[0], **OPEN)[0]
    rows = graph.sample(after, positive)
    assert torch.equal(graph.sample(before, positive), rows)
    assert differ(rows[1], edited(graph, name, MIXED)[1])


def test_each_edit_has_the_weights_of_its_block(graph: Graph):
    blocks = ("house: 4", "star: 0")
    edits = (EDIT, "a red tree and a blue star on grass")
    rows = weighed(graph, "\n---\n".join(blocks), "\n---\n".join(edits))
    for row, (edit, block) in enumerate(zip(edits, blocks, strict=True), 1):
        assert close(rows[[0, row]], weighed(graph, block, edit), 1e-4), edit
    all_edits = weighed(graph, "star: 0", "\n---\n".join(edits))
    assert close(all_edits[[0, 2]], rows[[0, 2]], 1e-4) and differ(all_edits[1], rows[1])


def test_weights_without_an_edit_node_refine_the_edit_prompt(graph: Graph):
    """Words in both prompts then use the source's attention, in the windows of Reweight."""
    alone = weighed(graph, "house: 4", edits=None)
    assert torch.equal(alone[0], graph.plain(SOURCE)[0])
    prompts, positive = graph.pair()
    refined = graph.on("Refine", prompts, **OPEN)[0]
    model, _ = graph.on("Reweight", prompts, refined, weights="house: 4", cross_end=1.0)
    assert torch.equal(graph.sample(model, positive), alone)


# Weights of the source prompt alone


def on_source(graph: Graph, weights: str, **widgets: Any) -> tuple[Any, Any, Conditioning]:
    """Reweight with an empty edit prompt: MODEL, its `prompts` output, the CONDITIONING of one row."""
    prompts, positive = graph.pair(SOURCE, "")
    assert positive[0][0].shape[0] == 1
    return *graph.on("Reweight", prompts, weights=weights, **{**OPEN, **widgets}), positive


@pytest.mark.parametrize("blocks", [("star: 4",), ("star: 4", "star: 0", "star: -2, circle: 2")])
@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_the_source_alone_comes_out_plain_and_once_for_each_block(
    graph: Graph, host: Host, blocks: tuple[str, ...], cfg: float
):
    model, prompts, positive = on_source(graph, "\n---\n".join(blocks))
    count = 1 + len(blocks)
    latent = host.empty_latent(64, 64, batch=2)
    rows = graph.sample(model, positive, latent=latent, cfg=cfg)
    assert len(prompts.prompts) == count and len(rows) == 2 * count
    assert torch.equal(rows[::count], graph.plain(SOURCE, rows=count, latent=latent, cfg=cfg)[::count])
    for row in range(1, count):
        assert differ(rows[row], rows[0])
        alone, _, _ = on_source(graph, blocks[row - 1])
        expected = graph.sample(alone, positive, latent=latent, cfg=cfg)
        assert close(rows[row::count], expected[1::2], 1e-4)


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_one_conditioning_serves_all_rows(graph: Graph, cfg: float):
    """Without an effect of the weights, every row is the plain image."""
    model, _, positive = on_source(graph, "star: 1\n---\nstar: 4", cross_end=0.0)
    rows = graph.sample(model, positive, cfg=cfg)
    plain = graph.plain(SOURCE, rows=3, cfg=cfg)
    assert torch.equal(rows[0], plain[0])
    assert all(close(row, plain[0], 1e-4) for row in rows[1:])


def test_its_prompts_serve_the_nodes_after_it(graph: Graph, host: Host):
    model, prompts, positive = on_source(graph, "star: 4\n---\nstar: 0")
    stored, store = graph.on("AttentionStore", prompts, model, words="star")
    rows = graph.sample(stored, positive)
    *_, source, edits = host.run(graph.node["P2PSplitPair"], prompts=prompts, latent={"samples": rows})
    assert torch.equal(source["samples"], rows[:1]) and torch.equal(edits["samples"], rows[1:])
    recorded = store.read(rows)
    assert recorded.prompts == prompts and all(maps.shape[1] == 3 for maps in recorded.maps.values())


def test_a_pair_of_the_source_with_itself_does_the_same(graph: Graph):
    """The same prompt written into the edit field."""
    model, _, positive = on_source(graph, "star: 4")
    same = weighed(graph, "star: 4", SOURCE, edits=None)
    assert close(graph.sample(model, positive), same, 1e-4)


def test_weights_whose_product_is_too_large_are_refused_after_the_sampling(graph: Graph, error: Any) -> None:
    prompts, positive = graph.pair()
    model = graph.swapped(prompts)
    for _ in range(10):
        model, _ = graph.on("Reweight", prompts, model, weights="house: 10000", cross_end=1.0)
    with pytest.raises(error, match=r"got NaN or infinity in edit\. Use smaller weights in Reweight"):
        graph.sample(model, positive)


def test_a_weight_that_is_too_large_is_refused(graph: Graph, error: Any) -> None:
    with pytest.raises(error, match=r"a number from -10000 to 10000.*got 'star: 1e20'"):
        graph.on("Reweight", graph.pair()[0], weights="star: 1e20")
