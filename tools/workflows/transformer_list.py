"""Example workflows for diffusion transformers.

Loaders, files, samplers and settings are those of ComfyUI's own templates for these models
(comfyui_workflow_templates), with P2P Prompt Pair in place of CLIP Text Encode, P2P Prompt Edit and P2P Compare.
"""

from __future__ import annotations

from .edit_model_list import EDIT_MODEL_WORKFLOWS
from .parts import From, Workflow, note
from .transformer_models import (
    ANIMA,
    ANIMA_BAD,
    FLUX1,
    FLUX2,
    KREA2,
    QWEN,
    QWEN_BAD,
    SD3,
    UNET,
    WAN,
    WAN_BAD,
    Z_IMAGE,
)
from .transformer_parts import (
    COLUMNS,
    DECODE,
    FEW_STEPS,
    MANY_STEPS,
    SHIFT,
    STEPS_NOTE,
    custom_sampler,
    decode,
    edit,
    image,
    ksampler,
    latent,
    negative,
    pair,
    save,
    shift,
    start,
    videos,
)

Z_SAMPLED = (
    negative(None),
    latent("EmptySD3LatentImage", 1024, 1024),
    shift("ModelSamplingAuraFlow", 3),
    edit(SHIFT),
    ksampler(8, 1, "res_multistep"),
    decode(),
)
DEFAULT_GRAPH = Workflow(
    "p2p_default_graph",
    COLUMNS,
    (
        *Z_IMAGE,
        start(
            "The default graph plus two nodes",
            "*P2P Prompt Pair* stands in place of CLIP Text Encode, *P2P Prompt Edit* before the sampler. Everything "
            "else is ComfyUI's default graph. One run saves two images from the same noise: the source and its edit.",
            *Z_IMAGE,
        ),
        pair(
            "A quiet street in an old town after the rain, a red bicycle leaning against a yellow wall, morning light.",
            "A quiet street in an old town after the rain, a blue bicycle leaning against a yellow wall, morning light.",
        ),
        *Z_SAMPLED,
        save(From(DECODE), "Source and edit"),
    ),
)
WAN_VIDEO = Workflow(
    "p2p_wan_video",
    COLUMNS,
    (
        *WAN,
        start(
            "Edit the prompt of a video with Wan 2.1",
            "One run gives two videos from the same noise: the source and its edit. *P2P Split Pair* splits the latent, "
            "and each half is decoded on its own.",
            *WAN,
        ),
        pair(
            "a fox running through a winter forest, snow, daytime, tracking camera",
            "a wolf running through a winter forest, snow, daytime, tracking camera",
        ),
        negative(WAN_BAD),
        latent("EmptyHunyuanLatentVideo", 832, 480, length=33),
        shift("ModelSamplingSD3", 8),
        edit(SHIFT),
        ksampler(30, 6, "uni_pc"),
        note(STEPS_NOTE, 1, "Windows", MANY_STEPS, (340, 330)),
        *videos(),
    ),
)
TRANSFORMER_WORKFLOWS = (
    DEFAULT_GRAPH,
    image(
        "p2p_z_image",
        "Z-Image Turbo",
        Z_IMAGE,
        pair(
            "Close-up portrait of a woman with red curly hair in a harbor, boats behind her, breezy seaside light.",
            "Close-up portrait of a woman with short black hair in a harbor, boats behind her, breezy seaside light.",
        ),
        *Z_SAMPLED,
        windows=FEW_STEPS,
    ),
    image(
        "p2p_krea2",
        "Krea 2 Turbo",
        KREA2,
        pair(
            "A surreal drawing of a hand holding a glass with a goldfish in it, ink lines, muted colors.",
            "A surreal drawing of a hand holding a glass with a sailing boat in it, ink lines, muted colors.",
        ),
        negative(None),
        latent("EmptyLatentImage", 1024, 1024),
        edit(UNET),
        ksampler(8, 1, "euler"),
        decode(),
        windows=FEW_STEPS,
    ),
    image(
        "p2p_qwen_image",
        "Qwen-Image",
        QWEN,
        pair(
            "An alley at dusk, a model in a long green coat walking towards the camera, neon signs, wet ground.",
            "An alley at dusk, a model in a long white coat walking towards the camera, neon signs, wet ground.",
        ),
        negative(QWEN_BAD),
        latent("EmptySD3LatentImage", 1328, 1328),
        shift("ModelSamplingAuraFlow", 3.1),
        edit(SHIFT),
        ksampler(50, 4, "euler"),
        decode(),
    ),
    image(
        "p2p_flux2",
        "Flux.2",
        FLUX2,
        pair(
            "Street photography of a woman in a vintage yellow dress in front of a concrete building.",
            "Street photography of a woman in a vintage yellow dress in front of a brick building.",
        ),
        latent("EmptyFlux2LatentImage", 1024, 1024),
        edit(UNET),
        *custom_sampler(),
        decode(),
        more=" The guidance goes between *P2P Prompt Pair* and the guider.",
    ),
    image(
        "p2p_flux1",
        "Flux.1",
        FLUX1,
        pair(
            "A fairy tale scene of a girl in a white dress among crystal butterflies and glowing glass roses.",
            "A fairy tale scene of a girl in a white dress among crystal birds and glowing glass roses.",
        ),
        negative(None),
        latent("EmptySD3LatentImage", 1024, 1024),
        edit(UNET),
        ksampler(20, 1, "euler"),
        decode(),
    ),
    image(
        "p2p_sd35",
        "Stable Diffusion 3.5",
        SD3,
        pair(
            "a bottle with a red galaxy inside it on a wooden table in a modern kitchen",
            "a bottle with a green forest inside it on a wooden table in a modern kitchen",
            From(UNET, 1),
        ),
        negative("", From(UNET, 1)),
        latent("EmptySD3LatentImage", 1024, 1024),
        edit(UNET),
        ksampler(20, 4.01, "euler", "sgm_uniform"),
        decode(From(UNET, 2)),
    ),
    image(
        "p2p_anima",
        "Anima",
        ANIMA,
        pair(
            "anime portrait of a girl with long silver hair and a red scarf, snowy street, soft light",
            "anime portrait of a girl with long silver hair and a blue scarf, snowy street, soft light",
        ),
        negative(ANIMA_BAD),
        latent("EmptyLatentImage", 1024, 1024),
        edit(UNET),
        ksampler(30, 4, "euler"),
        decode(),
    ),
    WAN_VIDEO,
    *EDIT_MODEL_WORKFLOWS,
)
