"""Example workflows for real checkpoints, under their usual file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .parts import From, Node, Workflow

SDXL, SD15 = "sd_xl_base_1.0.safetensors", "v1-5-pruned-emaonly-fp16.safetensors"
INPAINTING = "512-inpainting-ema.safetensors"
CANNY = "control_v11p_sd15_canny_fp16.safetensors"
PICTURE = "example.png"  # in the input folder of a new ComfyUI

CHECKPOINT, PAIR, NEGATIVE, LATENT, EDITOR, SAMPLER, DECODE, SPLIT, SOURCE, EDIT, NOTE = range(1, 12)
IMAGE, MIDDLE, SECOND_NOTE, CONTROL, EDGES, UPSCALE, SEEDS, HIRES = range(12, 20)
BAD = "blurry, low quality, watermark, text"


def _start(checkpoint: str, source: str, edit: str, note: str) -> tuple[Node, ...]:
    return (
        Node(CHECKPOINT, "CheckpointLoaderSimple", 0, (330, 110), {"ckpt_name": checkpoint}),
        Node(NOTE, "MarkdownNote", 0, (330, 360), title="Start here", text=note),
        Node(PAIR, "P2PPromptPair", 1, (340, 380), {"clip": From(CHECKPOINT, 1), "source": source, "edit": edit}),
        Node(
            NEGATIVE, "CLIPTextEncode", 1, (340, 130), {"clip": From(CHECKPOINT, 1), "text": BAD}, "Negative prompt"
        ),
    )  # fmt: skip


def _edit(windows: Mapping[str, Any], kind: str = "P2PPromptEdit") -> Node:
    inputs = {"model": From(CHECKPOINT), "prompts": From(PAIR), **windows}
    return Node(EDITOR, kind, 2, (330, 540), inputs)


def _empty(width: int, height: int) -> Node:
    return Node(
        LATENT, "EmptyLatentImage", 1, (340, 150), {"width": width, "height": height, "batch_size": 1}
    )


def _sampler(
    latent: From, positive: From | None = None, negative: From | None = None, number: int = SAMPLER,
    title: str = "", **settings: Any,
) -> Node:  # fmt: skip
    sides = {"positive": positive or From(PAIR, 1), "negative": negative or From(NEGATIVE)}
    usual = {
        "seed": 7,
        "steps": 25,
        "cfg": 7,
        "sampler_name": "dpmpp_2m",
        "scheduler": "karras",
        "denoise": 1,
    }
    inputs = {"model": From(EDITOR), **sides, "latent_image": latent, **usual, **settings}
    return Node(number, "KSampler", 3, (310, 330), inputs, title)


def _end(sampler: int = SAMPLER) -> tuple[Node, ...]:
    vae = From(CHECKPOINT, 2)
    return (
        Node(DECODE, "VAEDecode", 3, (310, 70), {"samples": From(sampler), "vae": vae}),
        Node(SPLIT, "P2PSplitPair", 3, (310, 140), {"prompts": From(PAIR), "images": From(DECODE)}),
        Node(SOURCE, "PreviewImage", 4, (420, 440), {"images": From(SPLIT)}, "Source"),
        Node(EDIT, "PreviewImage", 4, (420, 440), {"images": From(SPLIT, 1)}, "Edit"),
    )


def _needs(*files: tuple[str, str]) -> str:
    lines = [f"- `models/{folder}/{name}`" for folder, name in files]
    return "\n### Files\n\n" + "\n".join(lines) + "\n\nOr choose others of the same kind.\n"


def _columns(third: str = "Edit") -> dict[int, str]:
    return {0: "Model", 1: "Prompts and size", 2: third, 3: "Sample", 4: "Images"}


def _loaded(column: int, size: tuple[int, int] = (330, 330)) -> Node:
    return Node(IMAGE, "LoadImage", column, size, {"image": PICTURE})


def _note(title: str, text: str, column: int, size: tuple[int, int]) -> Node:
    return Node(SECOND_NOTE, "MarkdownNote", column, size, title=title, text=text)


def _workflow(name: str, nodes: Sequence[Node], third: str = "Edit") -> Workflow:
    return Workflow(name, _columns(third), tuple(nodes))


CHECKPOINT_WORKFLOWS = (
    _workflow(
        "p2p_sdxl",
        (
            *_start(
                SDXL,
                "photo of a fox sitting in a forest, autumn leaves, soft light",
                "photo of a wolf sitting in a forest, autumn leaves, soft light",
                "### Edit a prompt with SDXL\n\nOne run gives two images from the same noise: the source and its edit. "
                "Change words of the **edit** prompt.\n" + _needs(("checkpoints", SDXL)),
            ),
            _empty(1024, 1024),
            _edit({}),
            _note(
                "Turbo and Lightning",
                "### Few steps\n\nFor SDXL Turbo, Lightning or an LCM LoRA, set **steps** to 4 to 8 and **cfg** to 1, and "
                "use the sampler that the model needs. The windows of the edit are fractions of the sampling, so they "
                "stay the same.\n",
                2,
                (330, 200),
            ),
            _sampler(From(LATENT)),
            *_end(),
        ),
    ),
    _workflow(
        "p2p_inpainting",
        (
            *_start(
                INPAINTING,
                "a red sofa in a bright living room",
                "a blue sofa in a bright living room",
                "### Inpaint an image with two prompts\n\n1. Choose your image in *Load Image* and paint the part to "
                "replace: right click, **Open in Mask Editor**.\n2. **Run.** The source prompt and the edit prompt are "
                "both inpainted into the mask, with the same layout.\n" + _needs(("checkpoints", INPAINTING)),
            ),
            _loaded(0),
            _edit({}),
            Node(
                MIDDLE,
                "InpaintModelConditioning",
                2,
                (330, 190),
                {
                    **{"positive": From(PAIR, 1), "negative": From(NEGATIVE), "vae": From(CHECKPOINT, 2)},
                    **{"pixels": From(IMAGE), "mask": From(IMAGE, 1), "noise_mask": True},
                },
            ),
            _sampler(From(MIDDLE, 2), From(MIDDLE), From(MIDDLE, 1)),
            *_end(),
        ),
        "Edit and mask",
    ),
    _workflow(
        "p2p_controlnet",
        (
            *_start(
                SD15,
                "photo of a woman with red hair in a garden",
                "photo of a woman with black hair in a garden",
                "### ControlNet and an edit\n\nThe ControlNet makes source and edit follow the lines of your image; "
                "Prompt-to-Prompt keeps everything else like the source.\n\nApply the ControlNet **after** *P2P "
                "Prompt Pair*. With a batch of images, each sample gets its own.\n"
                + _needs(("checkpoints", SD15), ("controlnet", CANNY)),
            ),
            _empty(512, 512),
            _edit({}),
            Node(CONTROL, "ControlNetLoader", 1, (340, 70), {"control_net_name": CANNY}),
            _loaded(0),
            Node(
                EDGES,
                "Canny",
                2,
                (330, 100),
                {"image": From(IMAGE), "low_threshold": 0.4, "high_threshold": 0.8},
            ),
            Node(
                MIDDLE,
                "ControlNetApplyAdvanced",
                2,
                (330, 220),
                {
                    **{"positive": From(PAIR, 1), "negative": From(NEGATIVE), "control_net": From(CONTROL)},
                    **{"image": From(EDGES), "strength": 0.8, "start_percent": 0.0, "end_percent": 0.8},
                },
            ),
            _sampler(From(LATENT), From(MIDDLE), From(MIDDLE, 1)),
            *_end(),
        ),
        "Edit and ControlNet",
    ),
    _workflow(
        "p2p_hires",
        (
            *_start(
                SD15,
                "a watercolor painting of a lighthouse on a cliff, stormy sea",
                "a watercolor painting of a castle on a cliff, stormy sea",
                "### A second pass at a larger size\n\nThe first sampler draws source and edit, *Upscale Latent By* "
                "enlarges both, and the second sampler adds detail.\n\n*Latent Batch Seed Behavior* (**fixed**) tells "
                "the second pass that the latent is a pair already. Without it, the second pass would make an edit of "
                "each row.\n" + _needs(("checkpoints", SD15)),
            ),
            _empty(512, 512),
            _edit({}),
            _sampler(From(LATENT), title="First pass"),
            Node(
                UPSCALE,
                "LatentUpscaleBy",
                2,
                (330, 110),
                {"samples": From(SAMPLER), "upscale_method": "nearest-exact", "scale_by": 1.5},
            ),
            Node(
                SEEDS,
                "LatentBatchSeedBehavior",
                2,
                (330, 80),
                {"samples": From(UPSCALE), "seed_behavior": "fixed"},
            ),
            _sampler(From(SEEDS), number=HIRES, title="Second pass", steps=20, denoise=0.5),
            *_end(HIRES),
        ),
        "Edit, then upscale",
    ),
)
