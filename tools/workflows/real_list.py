"""Example workflows that edit a real image; a rendered scene stands in for the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .parts import (
    CFG,
    DECODE,
    EDIT,
    EDIT_NODE,
    KNOWS,
    MODEL,
    NEGATIVE,
    PAIR,
    SAMPLER,
    SECOND_NODE,
    SOURCE,
    SPLIT,
    STEPS,
    TALLER,
    From,
    Node,
    Workflow,
)

PICTURE, ENCODE, INVERT, REAL, NULL = 20, 21, 22, 23, 24
COLUMNS = {0: "Model and image", 1: "Prompts", 2: "Invert", 3: "Edit", 4: "Sample", 5: "Images"}
YOUR_PICTURE = (
    "### Your own image\n\nReplace *P2P Demo Picture* with **Load Image** and describe the image in the "
    "**source** prompt. *VAE Encode* crops its sides to multiples of 8 pixels; scale large photographs "
    "down first.\n\nReplace *P2P Demo Model* with **Load Checkpoint**: MODEL to *P2P Invert* and *P2P Real "
    "Image*, CLIP to the prompts, VAE to *VAE Encode* and *VAE Decode*.\n\n*KSampler* needs the steps, the "
    "scheduler and the denoise of *P2P Invert*. Its seed has no effect.\n"
)
Inputs = Mapping[str, Any]
NONE: Inputs = {}


def _workflow(
    name: str, start: str, picture: int, source: str, edit: str, edits: Sequence[Node], *more: Node,
    invert: Inputs = NONE, null: Inputs | None = None, real: Inputs = NONE, sampler: Inputs = NONE,
) -> Workflow:  # fmt: skip
    """Model, image, prompts, inversion, edits, sampler, two previews. Mappings override usual inputs."""
    clip, steps = From(MODEL, 1), {"steps": sampler.get("steps", STEPS), "scheduler": "simple"}
    inversion = {"model": From(MODEL), "source": From(PAIR, 1), "latent": From(ENCODE), **steps, **invert}
    nodes = [Node(INVERT, "P2PInvert", 2, (310, 360), inversion)]
    if null is not None:
        search = {"model": From(MODEL), "source": From(PAIR, 1), "negative": From(NEGATIVE), **null}
        nodes.append(Node(NULL, "P2PNullText", 2, (310, 180), {"trajectory": From(INVERT), **search}))
    pinned = {"model": From(MODEL), "prompts": From(PAIR), "trajectory": From(nodes[-1].id), **real}
    nodes.append(Node(REAL, "P2PRealImage", 2, (310, 260), pinned))
    model = From(REAL)
    for node in edits:
        inputs = {"model": model, "prompts": From(PAIR), **node.inputs}
        nodes.append(Node(node.id, node.kind, node.column, node.size, inputs, node.title))
        model = From(node.id)
    ends = {"positive": From(PAIR, 1), "negative": From(NEGATIVE), "latent_image": From(REAL, 1)}
    settings = {"seed": 0, **steps, "cfg": CFG, "sampler_name": "euler", "denoise": 1, **sampler}
    texts = {"clip": clip, "source": source, "edit": edit}
    return Workflow(
        name,
        COLUMNS | ({6: "Mask"} if more else {}),
        (
            Node(MODEL, "P2PDemoModel", 0, (300, 100)),
            Node(PICTURE, "P2PDemoPicture", 0, (300, 130), {"seed": picture}),
            Node(ENCODE, "VAEEncode", 0, (300, 60), {"pixels": From(PICTURE), "vae": From(MODEL, 2)}),
            Node(11, "MarkdownNote", 0, (300, 520), title="Start here", text=f"{start}\n{KNOWS}"),
            Node(PAIR, "P2PPromptPair", 1, (320, 380), texts),
            Node(NEGATIVE, "CLIPTextEncode", 1, (320, 110), {"clip": clip, "text": ""}, "Negative prompt"),
            Node(12, "MarkdownNote", 1, (320, 420), title="Your own image", text=YOUR_PICTURE),
            *nodes,
            Node(SAMPLER, "KSampler", 4, (290, 300), {"model": model, **ends, **settings}),
            Node(DECODE, "VAEDecode", 4, (290, 60), {"samples": From(SAMPLER), "vae": From(MODEL, 2)}),
            Node(SPLIT, "P2PSplitPair", 4, (290, 120), {"prompts": From(PAIR), "images": From(DECODE)}),
            Node(SOURCE, "PreviewImage", 5, (290, 310), {"images": From(SPLIT)}, "Source"),
            Node(EDIT, "PreviewImage", 5, (290, 310), {"images": From(SPLIT, 1)}, "Edit"),
            *more,
        ),
    )


PROMPT_EDIT = Node(EDIT_NODE, "P2PPromptEdit", 3, TALLER)
FLOWER = "a small white moon and a large red flower on sand"

REAL_WORKFLOWS = (
    _workflow(
        "p2p_real_image",
        "### Edit an image\n\n*P2P Invert* inverts the image to its starting noise, and *P2P Real Image* "
        "makes it the source of the edit. The **source** comes out as it went in at any cfg; the **edit** "
        "starts from its noise.\n\nChange the **edit** prompt as you like and run again.\n",
        53,
        FLOWER,
        FLOWER.replace("red", "purple"),
        [PROMPT_EDIT],
        sampler={"cfg": 3},
    ),
    _workflow(
        "p2p_real_image_blend",
        "### Change one region of an image\n\nOutside the mask of *P2P Local Blend*, the edit's latent "
        "equals the image's to the last bit. *P2P Blend Mask* shows the mask. You can paint one instead.\n",
        30,
        "a yellow circle and a small blue house at night",
        "a yellow star and a small blue house at night",
        [
            PROMPT_EDIT,
            Node(
                SECOND_NODE,
                "P2PLocalBlend",
                3,
                (330, 540),
                {"source_words": "circle", "edit_words": "star"},
            ),
        ],
        Node(
            15,
            "P2PBlendMask",
            6,
            (310, 440),
            {"store": From(SECOND_NODE, 1), "latent": From(SAMPLER), "images": From(DECODE)},
        ),
        Node(16, "MaskToImage", 6, (290, 40), {"mask": From(15)}),
        Node(17, "PreviewImage", 6, (290, 310), {"images": From(16)}, "Mask"),
    ),
    _workflow(
        "p2p_edit_friendly",
        "### Edit an image more freely\n\n*edit-friendly noise* in *P2P Invert* computes noise for each step "
        "that reproduces the image, and the **euler_ancestral** sampler uses that noise. Edits are freer in "
        "shape than with the other methods.\n",
        48,
        "an orange house and a purple fish on grass",
        "an orange tree and a purple fish on grass",
        [PROMPT_EDIT],
        invert={"method": "edit-friendly noise"},
        sampler={"sampler_name": "euler_ancestral"},
    ),
    _workflow(
        "p2p_null_text",
        "### Preserve an image by guidance alone\n\n*P2P Null Text* optimises, for each step, what the "
        "sampling has to be guided away from to reproduce the image. With **pin** off, the source is "
        "sampled that way and comes close to the image. It takes up to fifteen times as long as a sampling: "
        "keep the result with *P2P Save Trajectory*.\n",
        53,
        FLOWER,
        FLOWER.replace("red", "purple"),
        [PROMPT_EDIT],
        real={"pin": False, "negative": "null text"},
        null={"cfg": CFG},
        sampler={"steps": 12},
    ),
)
