"""The example workflows, as lists of nodes. Prompts and seeds are such as the demo model draws well."""

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
class Node:
    """id, class, column from left to right, inputs by name; a note has a text instead."""

    id: int
    kind: str
    column: int
    size: tuple[int, int]
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    title: str = ""
    text: str = ""


@dataclass(frozen=True)
class Workflow:
    """columns: their numbers, in order, and the titles of their groups."""

    name: str
    columns: Mapping[int, str]
    nodes: tuple[Node, ...]


MODEL, PAIR, NEGATIVE, LATENT, SAMPLER, DECODE, SPLIT, SOURCE, EDIT = 1, 2, 4, 5, 6, 7, 8, 9, 10
EDIT_NODE, SECOND_NODE = 3, 14
WEIGHED = "Plain, then each weight"
COLUMNS = {0: "Model", 1: "Prompts and size", 2: "Edit", 3: "Sample", 4: "Pictures"}
MORE_COLUMNS = {**COLUMNS, 5: "What it looked at"}

KNOWS = """### What the demo model can draw

circle, square, triangle, star, heart, diamond, ring, cross, moon, house, tree, fir tree, fish, mushroom, flower, sailing boat

red, orange, yellow, green, blue, purple, pink, white, black, brown; small and large

in the sky, on grass, on sand, at night, on a brick wall, in water, on snow
"""
CHECKPOINT = """### Your own checkpoint

Put **Load Checkpoint** (SD 1.x, SD 2.x or SDXL) in the place of *P2P Demo Model*: MODEL to the first edit node, CLIP to *P2P Prompt Pair* and to the negative prompt, VAE to *VAE Decode*. Give *Empty Latent Image* the checkpoint's size, such as 512 × 512 or 1024 × 1024.

Sampler, scheduler, steps, cfg and size are free. A batch of 3 makes 3 pairs.
"""


def _note(number: int, column: int, title: str, text: str, size: tuple[int, int]) -> Node:
    return Node(number, "MarkdownNote", column, size, title=title, text=text)


def _frame(source: str, edit: str, seed: int, edits: Sequence[Node], start: str) -> tuple[Node, ...]:
    """Model, prompts, sampler and decoder around the edit nodes, which follow each other on MODEL."""
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
        _note(11, 0, "Start here", f"{start}\n{KNOWS}", (280, 600)),
        Node(PAIR, "P2PPromptPair", 1, (320, 380), {"clip": From(MODEL, 1), "source": source, "edit": edit}),
        Node(
            NEGATIVE, "CLIPTextEncode", 1, (320, 110), {"clip": From(MODEL, 1), "text": ""}, "Negative prompt"
        ),
        Node(LATENT, "EmptyLatentImage", 1, (320, 140), size),
        *chained,
        Node(SAMPLER, "KSampler", 3, (290, 300), sampling),
        Node(DECODE, "VAEDecode", 3, (290, 60), {"samples": From(SAMPLER), "vae": From(MODEL, 2)}),
    )


def _pair(column: int = 4) -> tuple[Node, ...]:
    """Split Pair and its two previews."""
    return (
        Node(SPLIT, "P2PSplitPair", 3, (290, 120), {"prompts": From(PAIR), "images": From(DECODE)}),
        Node(SOURCE, "PreviewImage", column, (290, 310), {"images": From(SPLIT)}, "Source"),
        Node(EDIT, "PreviewImage", column, (290, 310), {"images": From(SPLIT, 1)}, "Edit"),
    )


TALL, TALLER = (310, 440), (310, 540)  # an edit node with what it says of itself, and with chips

WORKFLOWS = (
    Workflow(
        "p2p_start_here",
        {**COLUMNS, 5: "Beside each other"},
        (
            *_frame(
                "a red circle and a blue star on grass",
                "a red house and a blue star on grass",
                6,
                [Node(EDIT_NODE, "P2PPromptEdit", 2, TALLER)],
                "### Start here\n\nNothing has to be downloaded.\n\n1. **Run.** Two pictures come out: **Source** and "
                "**Edit**. One word of the prompt changed, the rest of the picture stays.\n2. Drag the divider in *P2P "
                "Compare*.\n3. Change words of the **edit** prompt in *P2P Prompt Pair* and run again.\n4. Then put your "
                "own checkpoint in.\n",
            ),
            *_pair(),
            Node(
                14,
                "P2PCompare",
                5,
                (340, 460),
                {"source": From(SPLIT), "edits": From(SPLIT, 1), "prompts": From(PAIR)},
            ),
            _note(12, 4, "Your own checkpoint", CHECKPOINT, (290, 300)),
        ),
    ),
    Workflow(
        "p2p_word_swap",
        COLUMNS,
        (
            *_frame(
                "a red house in the sky",
                "a purple house in the sky",
                5,
                [Node(EDIT_NODE, "P2PWordSwap", 2, TALL)],
                "### Change a word, keep the picture\n\n1. **Run.** Two pictures come out, **Source** and "
                "**Edit**. Both start from the same noise, and the edit is drawn with the source's attention: the "
                "words you changed change the picture, the rest stays.\n2. Change words of the **edit** prompt in "
                "*P2P Prompt Pair* and run again.\n3. For another layout change the **seed** in *KSampler*.\n",
            ),
            *_pair(),
            _note(12, 4, "Your own checkpoint", CHECKPOINT, (290, 300)),
            _note(
                13,
                2,
                "The two knobs",
                "### The two knobs\n\n**cross_end**: how long the edit follows the source's layout. Lower it when "
                "the new word does not show.\n\n**self_end**: how long it follows the source's outlines. Raise it to "
                "recolour a thing; lower it to put a thing of another shape in its place.\n\nBoth 0: the edit prompt "
                "alone, with no control.\n",
                (310, 270),
            ),
        ),
    ),
    Workflow(
        "p2p_prompt_edit",
        COLUMNS,
        (
            *_frame(
                "a red house in the sky",
                "a blue house in the sky",
                5,
                [Node(EDIT_NODE, "P2PPromptEdit", 2, TALLER)],
                "### Edit the prompt, keep the picture\n\n*P2P Prompt Edit* compares the two prompts: changed words "
                "are swapped, added words drawn anew, removed words taken out. After a run the node says in words "
                "what it did.\n\nChange the **edit** prompt as you like and run again.\n",
            ),
            *_pair(),
            _note(12, 4, "Your own checkpoint", CHECKPOINT, (290, 300)),
        ),
    ),
    Workflow(
        "p2p_refine",
        COLUMNS,
        (
            *_frame(
                "a house on sand",
                "a purple house on sand",
                10,
                [Node(EDIT_NODE, "P2PRefine", 2, TALL)],
                "### Add words, keep the picture\n\nWords that both prompts have are drawn where the source has "
                "them; words that are new are drawn with attention of their own.\n",
            ),
            *_pair(),
            _note(12, 4, "Your own checkpoint", CHECKPOINT, (290, 300)),
        ),
    ),
    Workflow(
        "p2p_reweight",
        COLUMNS,
        (
            *_frame(
                "a blue house on sand",
                "",
                0,
                [
                    Node(
                        EDIT_NODE,
                        "P2PReweight",
                        2,
                        TALL,
                        {"weights": "blue: 3\n---\nblue: 0\n---\nblue: -1"},
                    )
                ],
                "### More or less of a word\n\nThe **edit** prompt is empty: the source prompt is drawn plainly and "
                "then once for every block of weights in *P2P Reweight*, from the same noise. 1 changes nothing, 0 "
                "takes a word out.\n",
            ),
            Node(EDIT, "PreviewImage", 4, (420, 520), {"images": From(DECODE)}, WEIGHED),
            _note(12, 4, "Your own checkpoint", CHECKPOINT, (420, 260)),
        ),
    ),
    Workflow(
        "p2p_local_blend",
        MORE_COLUMNS | {5: "Mask"},
        (
            *_frame(
                "a red circle and a blue star on grass",
                "a red house and a blue star on grass",
                6,
                [
                    Node(EDIT_NODE, "P2PPromptEdit", 2, (330, 540)),
                    Node(
                        SECOND_NODE,
                        "P2PLocalBlend",
                        2,
                        (330, 540),
                        {"source_words": "circle", "edit_words": "house"},
                    ),
                ],
                "### Change one place, keep all else exactly\n\n*P2P Local Blend* makes a mask of where the words "
                "look. Outside it the edit's latent is the source's, to the last bit. *P2P Blend Mask* shows the "
                "mask.\n\nToo small a mask: lower the **threshold**. Too large: raise it, or name words to "
                "subtract.\n",
            ),
            *_pair(),
            Node(
                15,
                "P2PBlendMask",
                5,
                (310, 440),
                {"store": From(SECOND_NODE, 1), "latent": From(SAMPLER), "images": From(DECODE)},
            ),
            Node(16, "MaskToImage", 5, (290, 40), {"mask": From(15)}),
            Node(17, "PreviewImage", 5, (290, 310), {"images": From(16)}, "Mask"),
            _note(12, 5, "Your own checkpoint", CHECKPOINT, (290, 300)),
        ),
    ),
    Workflow(
        "p2p_attention_maps",
        MORE_COLUMNS,
        (
            *_frame(
                "a red circle and a blue star on grass",
                "",
                6,
                [Node(EDIT_NODE, "P2PAttentionStore", 2, (310, 330), {"words": "circle, star, grass"})],
                "### Where the words look\n\n*P2P Attention Store* keeps the attention maps of words while the "
                "picture is drawn, with or without an edit. *P2P Attention Maps* draws them over the picture and "
                "makes a mask of a word.\n",
            ),
            Node(
                18,
                "P2PAttentionMaps",
                4,
                (310, 640),
                {"store": From(EDIT_NODE, 1), "latent": From(SAMPLER), "images": From(DECODE)},
            ),
            Node(SOURCE, "PreviewImage", 4, (310, 330), {"images": From(DECODE)}, "Picture"),
            Node(EDIT, "PreviewImage", 5, (560, 300), {"images": From(18, 0)}, "Maps"),
            Node(17, "PreviewImage", 5, (560, 300), {"images": From(18, 1)}, "Over the picture"),
            _note(12, 5, "Your own checkpoint", CHECKPOINT, (560, 200)),
        ),
    ),
    Workflow(
        "p2p_several_edits",
        COLUMNS,
        (
            *_frame(
                "a red house in the sky",
                "a blue house in the sky\n---\na red fish in the sky\n---\na red house at night",
                5,
                [Node(EDIT_NODE, "P2PPromptEdit", 2, TALLER)],
                "### Several edits of one picture\n\nA line of three dashes separates the edit prompts. All of them "
                "are drawn in one run, from the same noise, each with its own alignment.\n",
            ),
            Node(SPLIT, "P2PSplitPair", 3, (290, 120), {"prompts": From(PAIR), "images": From(DECODE)}),
            Node(SOURCE, "PreviewImage", 4, (290, 310), {"images": From(SPLIT)}, "Source"),
            Node(EDIT, "PreviewImage", 4, (290, 360), {"images": From(SPLIT, 1)}, "Edits"),
            _note(12, 4, "Your own checkpoint", CHECKPOINT, (290, 300)),
        ),
    ),
)
