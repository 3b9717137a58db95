"""Hostile IMAGE, MASK, LATENT, CONDITIONING and SIGMAS in every node that takes one.

Each is accepted, or refused with a P2PError that has a hint. What ComfyUI itself raises about such an input
is the host's; an exception out of our own lines is a fault.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from random import Random
from typing import Any

import torch
from graphs import SOURCE, Graph
from torch import Tensor

SIDES = (0, 1, 2, 3, 4, 8, 9, 64)
DTYPES = (
    *[torch.float32] * 6,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int64,
    torch.uint8,
    torch.bool,
)
SPECIAL = (float("nan"), float("inf"), -1.0, 1e30)
NODES = (
    "Compare", "SplitPair", "AttentionMaps", "BlendMask", "SelfAttentionComponents", "LocalBlend", "Invert",
    "PairConditioning", "NullText", "sampling",
)  # fmt: skip


def tensor(random: Random, usual: tuple[int, ...]) -> Tensor:
    """The usual shape with some sides or dimensions changed, of any type and with any values."""
    shape = [random.choice(SIDES) if random.random() < 0.2 else side for side in usual]
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        at = random.randrange(len(shape) + 1)
        shape[at : at + random.randrange(2)] = [1] * random.randrange(2)
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(random.randrange(1 << 30)))
    if drawn.numel() and random.random() < 0.2:
        drawn.view(-1)[-1] = random.choice(SPECIAL)
    return drawn.to(random.choice(DTYPES))


def tensors(graph: Graph, error: type[Exception], random: Random) -> str:
    """ "accepted", "refused" or "host"; raises AssertionError for a fault of ours."""
    node = random.choice(NODES)
    try:
        _call(graph, random, node)
        return "accepted"
    except error as refusal:
        assert refusal.hint and refusal.node, f"{node}: no hint or node: {refusal}"  # type: ignore[attr-defined]
        return "refused"
    except Exception as raw:
        assert not _is_ours(raw), f"{node}: {traceback.format_exc()}"
        return "host"


def _is_ours(raw: BaseException) -> bool:
    """Whether the innermost frame, apart from those of installed packages, is in the pack."""
    files = [Path(frame.filename) for frame in traceback.extract_tb(raw.__traceback__)]
    own = [file for file in files if not {"site-packages", "torch"} & set(file.parts) and file.is_file()]
    root = Path(__file__).resolve().parents[2]
    innermost = own[-1]
    return innermost.is_relative_to(root) and innermost.relative_to(root).parts[0] in ("nodes", "p2p_core")


def _call(graph: Graph, random: Random, node: str) -> None:
    host, on = graph.host, graph.node.get(f"P2P{node}")
    prompts, positive = graph.pair()
    images, latent = tensor(random, (2, 64, 64, 3)), {"samples": tensor(random, (2, _channels(graph), 8, 8))}
    mask, single = tensor(random, (1, 8, 8)), {"samples": tensor(random, (1, _channels(graph), 8, 8))}
    if node == "Compare":
        host.run(
            on, source=tensor(random, (1, 64, 64, 3)), edits=images[:1] if images.ndim else images, mask=mask
        )
    elif node == "SplitPair":
        host.run(on, prompts=prompts, images=images, latent=latent)
    elif node in ("AttentionMaps", "BlendMask", "SelfAttentionComponents"):
        rows, store = _stored(graph, "LocalBlend" if node == "BlendMask" else "AttentionStore")
        given = rows if random.random() < 0.6 else latent["samples"]
        more = {} if node == "SelfAttentionComponents" else {"images": images}
        host.run(on, store=store, latent={"samples": given}, **more)
    elif node == "LocalBlend":
        model, _ = graph.on(node, prompts, source_words="circle", mask=mask)
        graph.sample(model, positive, steps=1)
    elif node == "Invert":
        source = _conditioning(random, host.encode(SOURCE))
        sigmas = {"sigmas": tensor(random, (3,))} if random.random() < 0.5 else {}
        host.run(on, model=host.model(), source=source, latent=single, steps=2, **sigmas)
    elif node == "PairConditioning":
        sides = (_conditioning(random, host.encode(text)) for text in (SOURCE, "a red house"))
        host.run(on, source=next(sides), edit=next(sides))
    elif node == "NullText":
        (kept,) = host.run(graph.node["P2PInvert"], model=host.model(), source=host.encode(SOURCE), steps=1,
                           latent={"samples": torch.zeros(1, _channels(graph), 8, 8)})  # fmt: skip
        source = _conditioning(random, host.encode(SOURCE))
        host.run(on, model=host.model(), trajectory=kept, source=source, negative=source, iterations=1)
    else:
        model = graph.swapped(prompts)
        graph.sample(model, _conditioning(random, positive), latent=single, steps=1)


def _conditioning(random: Random, given: Any) -> Any:
    """A CONDITIONING with another tensor, with none, or with odd values next to it."""
    text, options = given[0]
    return random.choice([
        [],
        [[tensor(random, tuple(text.shape)), options]],
        [[None, options]],
        [[text, {**options, "mask": tensor(random, (1, 8, 8))}]],
        [[text, {**options, "pooled_output": tensor(random, (1, 8))}]],
        given,
    ])  # fmt: skip


def _channels(graph: Graph) -> int:
    return graph.plain().shape[1]


_STORES: dict[tuple[int, str], Any] = {}


def _stored(graph: Graph, node: str) -> tuple[Tensor, Any]:
    key = (id(graph), node)
    if key not in _STORES:
        prompts, positive = graph.pair()
        more = {"source_words": "circle"} if node == "LocalBlend" else {"self_attention": "1/2"}
        model, store = graph.on(node, prompts, **more)
        _STORES[key] = graph.sample(model, positive, steps=2), store
    return _STORES[key]
