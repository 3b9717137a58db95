"""The families of diffusion transformers that the host has: one row each.

A new family is a row here, a tiny model in tests/host/dit/transformer_table.py and a line in
docs/compatibility.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...p2p_core.architecture.dit import Side, Tokens
from ...p2p_core.architecture.layers import Layer
from ...p2p_core.errors import P2PError
from .unet import cross_attention_layers

ONE_LIST = (("transformer_blocks", "block"),)
DOUBLE_SINGLE = (("double_blocks", "double"), ("single_blocks", "single"))
SEPARATE, LEFT = Tokens(joint=False), Tokens(side="left")
IMAGE_FIRST = Tokens(order=("image", "reference", "text"))


@dataclass(frozen=True)
class Family:
    """How one class of models lays out its tokens and names its blocks.

    blocks: lists of blocks of the diffusion model and what its layers are called, in the order of a call.
    patch: latent cells on the side of an image token, None where the model says it. named: whether calls
    outside of the blocks look like calls of a block, and only the host's name of the block tells them apart.
    more_text: another text encoding that a call of the model is given, and how often its tokens follow.
    text_blocks: the list of blocks in which text attends to itself, before all others. unequal: the most text
    columns of prompts of different lengths, None for any number; above, padding would change the image.
    pictures: whether the text may begin with tokens of pictures, before the prompt.
    """

    name: str
    tokens: Tokens = field(default_factory=Tokens)
    blocks: tuple[tuple[str, str], ...] = DOUBLE_SINGLE
    patch: int | None = None
    named: bool = False
    more_text: tuple[str, int] | None = None
    text_blocks: str = ""
    unequal: int | None = None
    pictures: bool = False

    def of(self, transformer: Any) -> Family:
        """The row with what this model says of itself."""
        patch = getattr(transformer, "patch_size", 1) if self.patch is None else self.patch
        side = patch if isinstance(patch, int) else patch[-1]
        multiple = getattr(transformer, "pad_tokens_multiple", None) or 1
        padding: Side = self.tokens.side if multiple == 1 else "right"  # of learned tokens, after the text
        tokens = replace(self.tokens, patch=side, multiple=multiple, side=padding)
        block = next(getattr(transformer, self.blocks[0][0]).children(), None)
        if getattr(block, "flipped_img_txt", False):  # Hunyuan on 0.3.64
            tokens = replace(tokens, order=("image", "text"))
        return replace(self, tokens=tokens)

    def layers(self, transformer: Any) -> tuple[Layer, ...]:
        scale = self.tokens.patch
        return tuple(
            Layer(stage, number, 0, scale)
            for attribute, stage in self.blocks
            for number in range(len(getattr(transformer, attribute)))
        )

    def text_calls(self, transformer: Any) -> int:
        """How many calls of text alone a call of the model starts with."""
        return len(transformer.get_submodule(self.text_blocks)) if self.text_blocks else 0

    def text_columns(self, text: Any, others: Mapping[str, Any]) -> int:
        """The text columns of a call of the model. text: [B, T, C]; others: what else it is given."""
        name, times = self.more_text or ("", 0)
        more = others.get(name)
        columns = 0 if text is None else text.shape[1]
        return columns if more is None else columns + times * more.shape[-2]

    def stage(self, block_type: str | None) -> str:
        """What this family's layers are called in a block that the host calls so."""
        stages = [stage for _, stage in self.blocks]
        return stages[0] if len(stages) == 1 or block_type not in stages else str(block_type)


# By the class of the host's model (for those that share a diffusion model) or of its diffusion model.
FAMILIES: dict[str, Family] = {
    # separate cross-attention
    "Anima": Family("Anima", SEPARATE, (("blocks", "block"),), patch=2),
    "MiniTrainDIT": Family("Cosmos-Predict2", SEPARATE, (("blocks", "block"),), patch=2),
    "WanModel": Family("Wan", SEPARATE, (("blocks", "block"),)),
    "VaceWanModel": Family("Wan VACE", SEPARATE, (("blocks", "block"),)),
    "CameraWanModel": Family("Wan Camera", SEPARATE, (("blocks", "block"),)),
    "LTXVModel": Family("LTXV", SEPARATE, ONE_LIST, patch=1),
    "Kandinsky5": Family(
        "Kandinsky 5",
        SEPARATE,
        (("visual_transformer_blocks", "block"),),
        named=True,
        text_blocks="text_transformer_blocks",
    ),
    "GeneralDIT": Family("Cosmos 1", SEPARATE, (("blocks", "block"),), patch=2),
    # joint attention
    "NextDiT": Family("Lumina 2, Z-Image", LEFT, (("layers", "block"),), text_blocks="context_refiner"),
    "SingleStreamDiT": Family(
        "Krea 2", blocks=(("blocks", "block"),), patch=2, text_blocks="txtfusion.refiner_blocks"
    ),
    "QwenImageTransformer2DModel": Family("Qwen-Image", blocks=ONE_LIST, pictures=True),
    "Flux2": Family("Flux.2", LEFT, unequal=512),
    "LongCatImage": Family("LongCat", LEFT),
    "Flux": Family("Flux"),
    "Chroma": Family("Chroma"),
    "ChromaRadiance": Family("Chroma Radiance"),
    "OpenAISignatureMMDITWrapper": Family("SD3", blocks=(("joint_blocks", "block"),)),
    "MMDiT": Family(
        "AuraFlow", Tokens(registers=8), (("double_layers", "double"), ("single_layers", "single"))
    ),
    "LensTransformer2DModel": Family("Lens", IMAGE_FIRST, ONE_LIST, patch=1),
    "JoyImageTransformer3DModel": Family("JoyImage", IMAGE_FIRST, (("double_blocks", "block"),)),
    "Ideogram4Transformer2DModel": Family("Ideogram 4", blocks=(("layers", "block"),), patch=1),
    "MageFlowTransformer2DModel": Family("MageFlow", blocks=ONE_LIST),
    "OmniGen2Transformer2DModel": Family(
        "Omnigen 2", Tokens(order=("text", "reference", "image")), (("layers", "block"),), unequal=0
    ),
    "HunyuanVideo": Family("Hunyuan", more_text=("txt_byt5", 1), unequal=0),
    "HiDreamImageTransformer2DModel": Family(
        "HiDream",
        Tokens(order=("image", "text")),
        (("double_stream_blocks", "double"), ("single_stream_blocks", "single")),
        more_text=("encoder_hidden_states_llama3", 2),
    ),
    "CogVideoXTransformer3DModel": Family("CogVideoX", blocks=(("blocks", "block"),)),
}


def family_of(model: Any) -> Family | None:
    """The row of a MODEL, None for a U-Net and for classes that are not in the table."""
    transformer = getattr(model.model, "diffusion_model", None)
    names = type(model.model).__name__, type(transformer).__name__
    row = next((FAMILIES[name] for name in names if name in FAMILIES), None)
    return None if row is None else row.of(transformer)


def layers_of(model: Any) -> tuple[Layer, ...]:
    """The layers of a MODEL that attend to text. Raises P2PError for one that is not supported."""
    family = family_of(model)
    if family is not None:
        return family.layers(model.model.diffusion_model)
    if not (layers := cross_attention_layers(model)):
        names = ", ".join(row.name for row in FAMILIES.values())
        raise P2PError(
            f"a U-Net (SD1.x, SD2.x, SDXL) or one of the supported transformers ({names})",
            f"{type(model.model).__name__}, which is not supported",
            "Load a checkpoint of a supported model.",
        )
    return layers


def require_null_text(model: Any) -> None:
    """Raises P2PError for a transformer: null-text inversion is for U-Nets with classifier-free guidance."""
    family = family_of(model)
    if family is not None:
        raise P2PError(
            "a U-Net (SD1.x, SD2.x, SDXL) for null-text inversion",
            f"a MODEL of the {family.name} family",
            "Leave Null Text out and pin the source in Real Image, which needs no null text.",
        )


def require_self_attention(model: Any) -> None:
    """Raises P2PError for a MODEL whose image tokens never attend to themselves alone."""
    family = family_of(model)
    if family is not None and family.tokens.joint:
        raise P2PError(
            "a MODEL with self-attention apart from text",
            f"{family.name}, whose image and text attend to each other in one call",
            "Set self_attention to none.",
        )
