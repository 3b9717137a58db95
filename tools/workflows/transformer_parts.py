"""The nodes of the transformers' example workflows."""

from __future__ import annotations

from typing import Any

from .parts import From, Node, Workflow, note
from .transformer_models import CLIP, UNET, VAE

PAIR, NEGATIVE, LATENT, SHIFT, EDITOR, SAMPLER, DECODE, SPLIT, COMPARE, SAVE = range(4, 14)
START, STEPS_NOTE, GUIDANCE, GUIDER, NOISE, METHOD, SIGMAS, DECODE_EDIT, SAVE_EDIT = range(14, 23)
COLUMNS = {0: "Model", 1: "Prompts and size", 2: "Edit", 3: "Sample", 4: "Images"}
ONE_RUN = (
    "One run gives two images from the same noise: the source and its edit. Change words of the **edit** prompt and drag "
    "the divider in *P2P Compare*."
)
FEW_STEPS = """### Few steps

**preset** chooses the windows for the model and its number of steps. With fewer than 20 steps the edit follows the source in the first quarter of them: 2 of 8, 1 of 4.

After a run *P2P Prompt Edit* says how many steps each window held.

Is the edit too weak? Choose the preset **free** to see what the prompt alone gives. Does too much change? Choose **custom** and raise **self_end**.
"""
MANY_STEPS = """### Windows

**preset** chooses the windows for the model and its number of steps. After a run *P2P Prompt Edit* says how many steps each window held.

Choose **recolour** to keep exactly the same shape, **restyle** for another style, **custom** for windows of your own.
"""
ENCODER, DECODER = From(CLIP), From(VAE)


def pair(source: str, edit: str, clip: From = ENCODER) -> Node:
    return Node(PAIR, "P2PPromptPair", 1, (340, 380), {"clip": clip, "source": source, "edit": edit})


def negative(text: str | None, clip: From = ENCODER) -> Node:
    """A negative prompt; without a text the zeros that models with few steps get."""
    if text is None:
        return Node(NEGATIVE, "ConditioningZeroOut", 1, (340, 50), {"conditioning": From(PAIR, 1)})
    return Node(NEGATIVE, "CLIPTextEncode", 1, (340, 130), {"clip": clip, "text": text}, "Negative prompt")


def latent(kind: str, width: int, height: int, **more: int) -> Node:
    return Node(LATENT, kind, 1, (340, 150), {"width": width, "height": height, **more, "batch_size": 1})


def shift(kind: str, shift: float) -> Node:
    return Node(SHIFT, kind, 2, (330, 70), {"model": From(UNET), "shift": shift})


def edit(model: int) -> Node:
    return Node(EDITOR, "P2PPromptEdit", 2, (330, 570), {"model": From(model), "prompts": From(PAIR)})


def ksampler(steps: int, cfg: float, sampler: str, scheduler: str = "simple") -> Node:
    inputs = {
        **{"model": From(EDITOR), "positive": From(PAIR, 1), "negative": From(NEGATIVE)},
        **{"latent_image": From(LATENT), "seed": 7, "steps": steps, "cfg": cfg},
        **{"sampler_name": sampler, "scheduler": scheduler, "denoise": 1},
    }
    return Node(SAMPLER, "KSampler", 3, (310, 330), inputs)


def decode(vae: From = DECODER) -> Node:
    return Node(DECODE, "VAEDecode", 3, (310, 70), {"samples": From(SAMPLER), "vae": vae})


def save(images: From, title: str) -> Node:
    inputs = {"images": images, "filename_prefix": f"prompt-to-prompt/{title.lower()}"}
    return Node(SAVE, "SaveImage", 4, (460, 330), inputs, title)


def compared() -> tuple[Node, ...]:
    """The decoded pair under Compare; the edit is saved."""
    halves = {"source": From(SPLIT), "edits": From(SPLIT, 1), "prompts": From(PAIR)}
    return (
        Node(SPLIT, "P2PSplitPair", 3, (310, 140), {"prompts": From(PAIR), "images": From(DECODE)}),
        Node(COMPARE, "P2PCompare", 4, (460, 560), halves),
        save(From(SPLIT, 1), "Edit"),
    )


def start(title: str, text: str, *loaders: Node) -> Node:
    files = [file for loader in loaders for file in loader.files]
    listed = "\n".join(f"- `models/{file.directory}/{file.name}`" for file in files)
    return note(START, 0, "Start here", f"### {title}\n\n{text}\n\n### Files\n\n{listed}\n", (340, 400))


def custom_sampler() -> tuple[Node, ...]:
    """Flux.2's sampler: guidance on the conditioning, no negative, a scheduler that knows the size."""
    parts: dict[str, Any] = {"noise": From(NOISE), "guider": From(GUIDER), "sampler": From(METHOD)}
    return (
        Node(GUIDANCE, "FluxGuidance", 2, (330, 70), {"conditioning": From(PAIR, 1), "guidance": 4}),
        Node(NOISE, "RandomNoise", 3, (310, 90), {"noise_seed": 7}),
        Node(METHOD, "KSamplerSelect", 3, (310, 70), {"sampler_name": "euler"}),
        Node(SIGMAS, "Flux2Scheduler", 3, (310, 120), {"steps": 20, "width": 1024, "height": 1024}),
        Node(GUIDER, "BasicGuider", 3, (310, 60), {"model": From(EDITOR), "conditioning": From(GUIDANCE)}),
        Node(
            SAMPLER,
            "SamplerCustomAdvanced",
            3,
            (310, 130),
            {**parts, "sigmas": From(SIGMAS), "latent_image": From(LATENT)},
        ),
    )


def videos() -> tuple[Node, ...]:
    """The pair's latents, decoded and saved one by one: a batch of videos decodes to one row of frames."""
    moving = {"fps": 16, "lossless": False, "quality": 80, "method": "default"}
    nodes: list[Node] = [
        Node(SPLIT, "P2PSplitPair", 3, (310, 140), {"prompts": From(PAIR), "latent": From(SAMPLER)})
    ]
    for frames, file, half, name in ((DECODE, SAVE, 2, "source"), (DECODE_EDIT, SAVE_EDIT, 3, "edit")):
        latent_of = {"samples": From(SPLIT, half), "vae": DECODER}
        nodes.append(Node(frames, "VAEDecode", 3, (310, 70), latent_of, f"Decode {name}"))
        inputs = {"images": From(frames), "filename_prefix": f"prompt-to-prompt/{name}", **moving}
        nodes.append(Node(file, "SaveAnimatedWEBP", 4, (460, 430), inputs, name.capitalize()))
    return tuple(nodes)


def image(
    name: str, model: str, loaders: tuple[Node, ...], pair: Node, *sampled: Node,
    windows: str = MANY_STEPS, more: str = "",
) -> Workflow:  # fmt: skip
    """A workflow of one pair of images under Compare."""
    first = start(f"Edit a prompt with {model}", ONE_RUN + more, *loaders)
    about = note(STEPS_NOTE, 1, "Windows", windows, (340, 330))
    return Workflow(name, COLUMNS, (*loaders, first, pair, *sampled, about, *compared()))
