"""Building blocks of the example workflows: nodes, notes, and the frame that most of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STEPS, CFG, SIZE = 24, 5, 256


@dataclass(frozen=True)
class From:
    """An output of another node."""

    node: int
    output: int = 0


@dataclass(frozen=True)
class File:
    """A model file: its name, where it can be downloaded, and its folder in ComfyUI's models."""

    name: str
    url: str
    directory: str


@dataclass(frozen=True)
class Node:
    """A node: id, class, column from left to right, inputs by name. A note has a text instead.

    files: what a loader needs.
    """

    id: int
    kind: str
    column: int
    size: tuple[int, int]
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    title: str = ""
    text: str = ""
    files: tuple[File, ...] = ()


@dataclass(frozen=True)
class Workflow:
    """columns: numbers in order, with the titles of their groups."""

    name: str
    columns: Mapping[int, str]
    nodes: tuple[Node, ...]


MODEL, PAIR, NEGATIVE, LATENT, SAMPLER, DECODE, SPLIT, SOURCE, EDIT = 1, 2, 4, 5, 6, 7, 8, 9, 10
EDIT_NODE, SECOND_NODE = 3, 14
WEIGHED = "Plain, then each weight"
COLUMNS = {0: "Model", 1: "Prompts and size", 2: "Edit", 3: "Sample", 4: "Images"}
MORE_COLUMNS = {**COLUMNS, 5: "Attention"}

KNOWS = """### What the demo model can draw

circle, square, triangle, star, heart, diamond, ring, cross, moon, house, tree, fir tree, fish, mushroom, flower, sailing boat

red, orange, yellow, green, blue, purple, pink, white, black, brown; small and large

in the sky, on grass, on sand, at night, on a brick wall, in water, on snow
"""
CHECKPOINT = """### Your own checkpoint

Replace *P2P Demo Model* with **Load Checkpoint** (SD 1.x, SD 2.x or SDXL): MODEL to the first edit node, CLIP to *P2P Prompt Pair* and to the negative prompt, VAE to *VAE Decode*. Set *Empty Latent Image* to the checkpoint's size, such as 512 × 512 or 1024 × 1024.

Any sampler, scheduler, steps, cfg and size will do. A batch of 3 gives 3 pairs.
"""


def note(number: int, column: int, title: str, text: str, size: tuple[int, int]) -> Node:
    return Node(number, "MarkdownNote", column, size, title=title, text=text)


def frame(source: str, edit: str, seed: int, edits: Sequence[Node], start: str) -> tuple[Node, ...]:
    """Model, prompts, sampler and decoder around the edit nodes, which are chained on MODEL."""
    chained: list[Node] = []
    model = From(MODEL)
    for node in edits:
        inputs = {"model": model, "prompts": From(PAIR), **node.inputs}
        chained.append(Node(node.id, node.kind, node.column, node.size, inputs, node.title))
        model = From(node.id)
    sampling = {
        "model": model,
        "positive": From(PAIR, 1),
        "negative": From(NEGATIVE),
        "latent_image": From(LATENT),
        **{"seed": seed, "steps": STEPS, "cfg": CFG},
        **{"sampler_name": "euler", "scheduler": "simple", "denoise": 1},
    }
    size = {"width": SIZE, "height": SIZE, "batch_size": 1}
    return (
        Node(MODEL, "P2PDemoModel", 0, (280, 100)),
        note(11, 0, "Start here", f"{start}\n{KNOWS}", (280, 600)),
        Node(PAIR, "P2PPromptPair", 1, (320, 380), {"clip": From(MODEL, 1), "source": source, "edit": edit}),
        Node(
            NEGATIVE, "CLIPTextEncode", 1, (320, 110), {"clip": From(MODEL, 1), "text": ""}, "Negative prompt"
        ),
        Node(LATENT, "EmptyLatentImage", 1, (320, 140), size),
        *chained,
        Node(SAMPLER, "KSampler", 3, (290, 300), sampling),
        Node(DECODE, "VAEDecode", 3, (290, 60), {"samples": From(SAMPLER), "vae": From(MODEL, 2)}),
    )


def pair(column: int = 4) -> tuple[Node, ...]:
    """Split Pair and its two previews."""
    return (
        Node(SPLIT, "P2PSplitPair", 3, (290, 120), {"prompts": From(PAIR), "images": From(DECODE)}),
        Node(SOURCE, "PreviewImage", column, (290, 310), {"images": From(SPLIT)}, "Source"),
        Node(EDIT, "PreviewImage", column, (290, 310), {"images": From(SPLIT, 1)}, "Edit"),
    )


TALL, TALLER = (310, 440), (310, 540)  # an edit node with its summary, and with its prompt chips too
