"""Example workflows for edit models, which follow an instruction and get the photo as a reference.

Loaders, files, edit nodes, samplers and settings are those of ComfyUI's own templates for these models
(comfyui_workflow_templates). With P2P Real Image the source is the photo itself, without an inversion, and
P2P Local Blend keeps everything outside its mask.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .parts import From, Node, Workflow, note
from .transformer_models import CLIP, FLUX2, QWEN_EDIT, UNET, VAE
from .transformer_parts import (
    EDITOR,
    GUIDANCE,
    GUIDER,
    NEGATIVE,
    PAIR,
    SAMPLER,
    SHIFT,
    STEPS_NOTE,
    compared,
    custom_sampler,
    decode,
    edit,
    ksampler,
    pair,
    shift,
    start,
)

PHOTO, SCALED, ENCODED, INVERT, REAL, BLEND, REFERENCE = range(23, 30)
NORM, SOURCE_TEXT, EDIT_TEXT, PAIRED, NEGATIVE_REFERENCE = range(30, 35)
REAL_COLUMN = 5
COLUMNS = {
    0: "Model and photo",
    1: "Prompts",
    REAL_COLUMN: "Real image",
    2: "Edit",
    3: "Sample",
    4: "Images",
}
PICTURE = "example.png"  # in the input folder of a new ComfyUI
SOURCE = "a drawing of a girl with yellow hair and a pink dress on a green hill"
INSTRUCTION = "Change the color of the dress to red."
WORD = "dress"
ABOUT = (
    "The edit follows the instruction, and the source is your photo itself. Outside the mask of *P2P Local Blend* the "
    "edit's latent is exactly the photo's.\n\nChoose your photo in *Load Image*, describe it in **source** and write "
    "the instruction in **edit**."
)
HOW = """### Photo and instruction

**source** says what the photo shows, **edit** what to change.{more}

*P2P Local Blend* finds the region by a word of each prompt: set **source_words** and **edit_words** to the words for what changes, or connect a painted mask.

In *P2P Prompt Edit*, **cross_end** stays at 0, because an instruction is not the source prompt with words changed. Raise **self_end** if the edit moves or resizes things.
"""
TWICE = " *P2P Prompt Pair* and the two encoders below it hold the same two texts: change both places."


def _photo(scale: str, **settings: Any) -> tuple[Node, ...]:
    """The photo at the size of the reference, and its latent."""
    return (
        Node(PHOTO, "LoadImage", 0, (340, 330), {"image": PICTURE}, "Load photo"),
        Node(SCALED, scale, 0, (340, 150), {"image": From(PHOTO), **settings}, "Scale photo"),
        Node(ENCODED, "VAEEncode", 0, (340, 80), {"pixels": From(SCALED), "vae": From(VAE)}),
    )


def _edited(model: int, positive: From) -> tuple[Node, ...]:
    """Real Image without inversion, Prompt Edit and Local Blend on a model."""
    inverted = {"model": From(model), "source": positive, "latent": From(ENCODED), "method": "no inversion"}
    on = {"model": From(model), "prompts": From(PAIR), "trajectory": From(INVERT)}
    windows = {"preset": "custom", "cross_end": 0.0, "self_end": 0.2}
    words = {"source_words": WORD, "edit_words": WORD}
    return (
        Node(INVERT, "P2PInvert", REAL_COLUMN, (330, 440), inverted),
        Node(REAL, "P2PRealImage", REAL_COLUMN, (330, 400), on),
        _with(edit(REAL), **windows),
        Node(BLEND, "P2PLocalBlend", 2, (330, 640), {"model": From(EDITOR), "prompts": From(PAIR), **words}),
    )


def _with(node: Node, **inputs: Any) -> Node:
    """The node with other inputs."""
    return replace(node, inputs={**node.inputs, **inputs})


def _qwen_text(number: int, text: str, title: str) -> Node:
    sees = {"clip": From(CLIP), "vae": From(VAE), "image1": From(SCALED)}
    return Node(number, "TextEncodeQwenImageEditPlus", 1, (340, 280), {**sees, "prompt": text}, title)


def _qwen_reference(number: int, conditioning: int) -> Node:
    method = {"conditioning": From(conditioning), "reference_latents_method": "index_timestep_zero"}
    return Node(number, "FluxKontextMultiReferenceLatentMethod", 1, (340, 90), method)


QWEN_PROMPTS = (
    pair(SOURCE, INSTRUCTION),
    _qwen_text(SOURCE_TEXT, SOURCE, "Encode source"),
    _qwen_text(EDIT_TEXT, INSTRUCTION, "Encode edit"),
    _qwen_text(NEGATIVE, "", "Negative"),
    Node(PAIRED, "P2PPairConditioning", 1, (340, 90), {"source": From(SOURCE_TEXT), "edit": From(EDIT_TEXT)}),
    _qwen_reference(REFERENCE, PAIRED),
    _qwen_reference(NEGATIVE_REFERENCE, NEGATIVE),
)
QWEN_EDIT_WORKFLOW = Workflow(
    "p2p_qwen_edit",
    COLUMNS,
    (
        *QWEN_EDIT,
        *_photo("FluxKontextImageScale"),
        start("Edit a photo with Qwen-Image-Edit", ABOUT, *QWEN_EDIT),
        *QWEN_PROMPTS,
        note(STEPS_NOTE, 3, "Photo and instruction", HOW.format(more=TWICE), (310, 460)),
        replace(shift("ModelSamplingAuraFlow", 3.1), column=REAL_COLUMN),
        Node(NORM, "CFGNorm", REAL_COLUMN, (330, 120), {"model": From(SHIFT), "strength": 1, "pre_cfg": False}),
        *_edited(NORM, From(REFERENCE)),
        _with(
            ksampler(40, 4, "euler"),
            model=From(BLEND),
            positive=From(REFERENCE),
            negative=From(NEGATIVE_REFERENCE),
            latent_image=From(REAL, 1),
        ),
        decode(),
        *compared(),
    ),
)  # fmt: skip
GUIDED, *SAMPLED = custom_sampler()  # Flux2Scheduler needs the number of pixels only: one megapixel
FLUX2_REFERENCE = {"conditioning": From(GUIDANCE), "latent": From(ENCODED)}
REWIRED = {
    GUIDER: {"model": From(BLEND), "conditioning": From(REFERENCE)},
    SAMPLER: {"latent_image": From(REAL, 1)},
}
FLUX2_EDIT_WORKFLOW = Workflow(
    "p2p_flux2_edit",
    COLUMNS,
    (
        *FLUX2,
        *_photo("ImageScaleToTotalPixels", upscale_method="lanczos", megapixels=1, resolution_steps=1),
        start("Edit a photo with Flux.2", ABOUT, *FLUX2),
        pair(SOURCE, INSTRUCTION),
        replace(GUIDED, column=1),
        Node(REFERENCE, "ReferenceLatent", 1, (340, 80), FLUX2_REFERENCE),
        note(STEPS_NOTE, 1, "Photo and instruction", HOW.format(more=""), (340, 420)),
        *_edited(UNET, From(REFERENCE)),
        *(_with(node, **REWIRED.get(node.id, {})) for node in SAMPLED),
        decode(),
        *compared(),
    ),
)
EDIT_MODEL_WORKFLOWS = (QWEN_EDIT_WORKFLOW, FLUX2_EDIT_WORKFLOW)
