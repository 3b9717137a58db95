"""The families of diffusion transformers that the host has: one row each.

A new family is a row here, a tiny model in tests/host/dit/transformer_table.py and a line in
docs/compatibility.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from ...p2p_core.architecture.dit import Layout, Side, Tokens
from ...p2p_core.architecture.layers import Layer
from ...p2p_core.architecture.names import Architecture
from ...p2p_core.errors import P2PError
from .unet import cross_attention_layers

ONE_LIST = (("transformer_blocks", "block"),)
DOUBLE_SINGLE = (("double_blocks", "double"), ("single_blocks", "single"))
SEPARATE, LEFT = Tokens(joint=False), Tokens(side="left")
IMAGE_LAST = Tokens(order=("text", "reference", "image"))
IMAGE_FIRST = Tokens(order=("image", "reference", "text"))


@dataclass(frozen=True)
class Family:
    """How one class of models lays out its tokens and names its blocks.

    blocks: lists of blocks of the diffusion model and what its layers are called, in the order of a call.
    patch: latent cells on the side of an image token, None where the model says it. named: whether calls
    outside of the blocks look like calls of a block, and only the host's name of the block tells them apart.
    more_text: another text encoding of the prompt that a call of the model is given, and how often its tokens
    follow. before, after: encodings by other encoders, around the prompt's columns. text_blocks: the list of
    blocks in which text attends to itself, before all others. passes_options: whether the model gives its
    attention the options of the call; if not, patches do. audio: whether it may sample audio with the video.
    pictures: whether the text may begin with tokens of pictures, before the prompt. reference_method: how the
    model places reference latents by default, None where it leaves them out.
    """

    name: str
    tokens: Tokens = field(default_factory=Tokens)
    blocks: tuple[tuple[str, str], ...] = DOUBLE_SINGLE
    patch: int | None = None
    named: bool = False
    more_text: tuple[str, int] | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    text_blocks: str = ""
    passes_options: bool = True
    audio: bool = False
    pictures: bool = False
    reference_method: str | None = "index"

    def of(self, transformer: Any) -> Family:
        """The row with what this model says of itself."""
        patch = getattr(transformer, "patch_size", 1) if self.patch is None else self.patch
        side = patch if isinstance(patch, int) else patch[-1]
        multiple = getattr(transformer, "pad_tokens_multiple", None) or 1
        padding: Side = self.tokens.side if multiple == 1 else "right"  # of learned tokens, after the text
        tokens = replace(self.tokens, patch=side, multiple=multiple, side=padding)
        method = getattr(transformer, "default_ref_method", self.reference_method)
        block = next(getattr(transformer, self.blocks[0][0]).children(), None)
        if getattr(block, "flipped_img_txt", False):  # Hunyuan on 0.3.64
            tokens = replace(tokens, order=("image", "text"))
        if getattr(transformer, "cond_type_embedding", None) is not None:  # HunyuanVideo 1.5
            return replace(self, tokens=tokens, before=("clip_fea", *self.after), after=())
        return replace(self, tokens=tokens, reference_method=method)

    def layers(self, transformer: Any) -> tuple[Layer, ...]:
        scale = self.tokens.patch
        return tuple(
            Layer(stage, number, 0, scale)
            for attribute, stage in self.blocks
            for number, _ in enumerate(getattr(transformer, attribute).children())
        )

    def text_calls(self, transformer: Any) -> int:
        """How many calls of text alone a call of the model starts with."""
        return len(transformer.get_submodule(self.text_blocks)) if self.text_blocks else 0

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of what a call of the model is given of the prompt, apart from its conditioning."""
        own = () if self.more_text is None else self.more_text[:1]
        return (*own, *self.before, *self.after)

    def layout(
        self, text: Any, latent: Sequence[int], others: Mapping[str, Any], pictures: int = 0
    ) -> Layout:
        """Of a call of the model. text: [B, T, C]; latent: its shape; others: what else the call is given.

        Where several latents are packed into one, the first is the image's or the video's. pictures: how many
        columns of the text hold pictures.
        """
        latent = (others.get("latent_shapes") or [latent])[0]
        name, times = self.more_text or ("", 0)
        columns = (0 if text is None else text.shape[1]) + times * _columns(others, [name])
        method = others.get("ref_latents_method", self.reference_method)
        references = () if method is None else others.get("ref_latents") or ()
        reference = sum(prod(self.tokens.grid(latent.shape)) for latent in references)
        around = _columns(others, self.before), _columns(others, self.after)
        layout = self.tokens.layout(columns, latent, reference, *around)
        return replace(layout, before=layout.before + pictures)

    def turns(self, others: Mapping[str, Any]) -> int:
        """How many attention calls a block makes where only their order tells them apart, else 0."""
        return 0 if not self.audio else 6 if len(others.get("latent_shapes") or ()) > 1 else 2

    def stage(self, block_type: str | None) -> str:
        """What this family's layers are called in a block that the host calls so."""
        stages = [stage for _, stage in self.blocks]
        return stages[0] if len(stages) == 1 or block_type not in stages else str(block_type)


def _columns(others: Mapping[str, Any], names: Sequence[str]) -> int:
    return sum(value.shape[-2] for name in names if (value := others.get(name)) is not None)


# By the class of the host's model (for those that share a diffusion model) or of its diffusion model.
FAMILIES: dict[str, Family] = {
    # separate cross-attention
    "Anima": Family("Anima", SEPARATE, (("blocks", "block"),), patch=2),
    "MiniTrainDIT": Family("Cosmos-Predict2", SEPARATE, (("blocks", "block"),), patch=2),
    "WanModel": Family("Wan", SEPARATE, (("blocks", "block"),)),
    "VaceWanModel": Family("Wan VACE", SEPARATE, (("blocks", "block"),)),
    "CameraWanModel": Family("Wan Camera", SEPARATE, (("blocks", "block"),)),
    "LTXVModel": Family("LTXV", SEPARATE, ONE_LIST, patch=1),
    "LTXAVModel": Family("LTX-2", SEPARATE, ONE_LIST, patch=1, audio=True),
    "Kandinsky5": Family(
        "Kandinsky 5",
        SEPARATE,
        (("visual_transformer_blocks", "block"),),
        named=True,
        text_blocks="text_transformer_blocks",
    ),
    "PixArtMS": Family("PixArt", SEPARATE, (("blocks", "block"),), passes_options=False),
    "HunYuanDiT": Family(
        "HunyuanDiT",
        SEPARATE,
        (("blocks", "block"),),
        more_text=("encoder_hidden_states_t5", 1),
        passes_options=False,
    ),
    "GeneralDIT": Family("Cosmos 1", SEPARATE, (("blocks", "block"),), patch=2),
    # joint attention
    "NextDiT": Family("Lumina 2, Z-Image", LEFT, (("layers", "block"),), text_blocks="context_refiner"),
    "SingleStreamDiT": Family(
        "Krea 2", blocks=(("blocks", "block"),), patch=2, text_blocks="txtfusion.refiner_blocks"
    ),
    "QwenImageTransformer2DModel": Family("Qwen-Image", blocks=ONE_LIST, pictures=True),
    "Flux2": Family("Flux.2", Tokens(fill=512)),
    "LongCatImage": Family("LongCat", LEFT),
    "Flux": Family("Flux"),
    "Chroma": Family("Chroma"),
    "ChromaRadiance": Family("Chroma Radiance"),
    "OpenAISignatureMMDITWrapper": Family("SD3", blocks=(("joint_blocks", "block"),)),
    "MMDiT": Family(
        "AuraFlow", Tokens(registers=8), (("double_layers", "double"), ("single_layers", "single"))
    ),
    "ErnieImageModel": Family(
        "ERNIE-Image", replace(IMAGE_FIRST, side="left"), (("layers", "block"),), passes_options=False
    ),
    "LensTransformer2DModel": Family("Lens", IMAGE_FIRST, ONE_LIST, patch=1),
    "JoyImageTransformer3DModel": Family("JoyImage", IMAGE_FIRST, (("double_blocks", "block"),)),
    "Ideogram4Transformer2DModel": Family("Ideogram 4", blocks=(("layers", "block"),), patch=1),
    "MageFlowTransformer2DModel": Family("MageFlow", blocks=ONE_LIST),
    "OmniGen2Transformer2DModel": Family(
        "Omnigen 2", IMAGE_LAST, (("layers", "block"),), text_blocks="context_refiner"
    ),
    "BooguTransformer2DModel": Family(
        "Boogu",
        IMAGE_LAST,
        (("double_stream_layers", "double"), ("single_stream_layers", "single")),
        text_blocks="context_refiner",
    ),
    "HunyuanVideo": Family("Hunyuan", after=("txt_byt5",)),
    "HiDreamImageTransformer2DModel": Family(
        "HiDream",
        Tokens(order=("image", "text")),
        (("double_stream_blocks", "double"), ("single_stream_blocks", "single")),
        more_text=("encoder_hidden_states_llama3", 2),
    ),
    "CogVideoXTransformer3DModel": Family("CogVideoX", blocks=(("blocks", "block"),)),
}


# Classes of the host's models that cannot be edited, and why.
UNSUPPORTED = {
    "MiniMaxH3": "which takes one sample per model call, and a pair is two",
    "StableCascade_C": "whose attention mixes each word with an image and the pooled text",
    "StableCascade_B": "which gets the pooled text but no words",
    "HiDreamO1": "whose text and image attend to each other in calls of different kinds",
}


def family_of(model: Any) -> Family | None:
    """The row of a MODEL, None for a U-Net and for classes that are not in the table."""
    transformer = getattr(model.model, "diffusion_model", None)
    names = type(model.model).__name__, type(transformer).__name__
    row = next((FAMILIES[name] for name in names if name in FAMILIES), None)
    if row is None:
        return None
    _require_blocks(row, transformer)
    return row.of(transformer)


def _require_blocks(row: Family, transformer: Any) -> None:
    """Raises P2PError for a model whose blocks another pack replaced by its own."""
    lists = [attribute for attribute, _ in row.blocks]
    if not all(hasattr(transformer, attribute) for attribute in lists):
        raise P2PError(
            f"{row.name} with ComfyUI's blocks ({' and '.join(lists)})",
            f"{type(transformer).__name__}, which has blocks of its own",
            "Load the model with ComfyUI's own loader; models of other packs (Nunchaku) are not supported.",
        )


def architecture_of(model: Any) -> Architecture:
    family = family_of(model)
    return "unet" if family is None else "joint" if family.tokens.joint else "separate"


def layers_of(model: Any) -> tuple[Layer, ...]:
    """The layers of a MODEL that attend to text. Raises P2PError for one that is not supported."""
    family = family_of(model)
    if family is not None:
        return family.layers(model.model.diffusion_model)
    if not (layers := cross_attention_layers(model)):
        name = type(model.model).__name__
        names = ", ".join(row.name for row in FAMILIES.values())
        raise P2PError(
            f"a U-Net (SD1.x, SD2.x, SDXL) or one of the supported transformers ({names})",
            f"{name}, {UNSUPPORTED.get(name, 'a class of model whose text columns are not known')}",
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
