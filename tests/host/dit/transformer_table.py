"""Diffusion transformers as tiny models of ComfyUI's own classes: one row a family, data only.

Widths are narrow and blocks few; everything else is as the host describes the family's models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Shape:
    """A tensor of a conditioning; "T" stands for its tokens.

    kind: normal values, the same for all prompts, ids of tokens, ones, a whole mask, one that hides the last
    two tokens, or what CLIP Vision gives for a picture.
    """

    sizes: tuple[int | str, ...]
    kind: str = "normal"


@dataclass(frozen=True)
class Family:
    """kind: the host's class in supported_models. model: its description of the diffusion model.

    latent: the shape of one. width: of the text encoding. options: what else a conditioning holds.
    parameters: a class whose parameters are all that a version of the host takes of `model`. since: the first
    version that has the family, where its class is older. short, long: lengths of prompts, equal where the
    encoder always gives as many tokens.
    """

    kind: str
    model: Mapping[str, Any]
    latent: tuple[int, ...]
    width: int = 12
    options: Mapping[str, Shape] = field(default_factory=lambda: NOTHING)
    parameters: str = ""
    since: tuple[int, int, int] = (0, 3, 64)
    short: int = 5
    long: int = 8


HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}
ROPE = {"axes_dims_rope": (4, 6, 6)}
POOLED = {"pooled_output": Shape((8,))}

FLUX = {
    **{"image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 8, "context_in_dim": 12},
    **{"hidden_size": 32, "mlp_ratio": 2.0, "num_heads": 2, "depth": 2, "depth_single_blocks": 2},
    **{"axes_dim": [4, 6, 6], "theta": 10000, "patch_size": 2, "qkv_bias": True, "guidance_embed": True},
    **{"txt_ids_dims": [], "use_x0": False, "use_sequential_txt_ids": False, "global_modulation": False},
}
FLUX2 = {
    **{**FLUX, "image_model": "flux2", "axes_dim": [4, 4, 4, 4], "vec_in_dim": None, "theta": 2000},
    **{"patch_size": 1, "in_channels": 128, "out_channels": 128, "qkv_bias": False, "txt_ids_dims": [3]},
    **{"global_modulation": True, "mlp_silu_act": True, "ops_bias": False, "default_ref_method": "index"},
    **{"ref_index_scale": 10.0},
}
NO_VECTOR = {"vec_in_dim": None, "guidance_embed": False}
CHROMA = {
    **{**FLUX, "image_model": "chroma", "in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 32},
    **{"hidden_dim": 32, "n_layers": 2},
}
RADIANCE = {
    **{**CHROMA, "image_model": "chroma_radiance", "in_channels": 3, "out_channels": 3, "patch_size": 4},
    **{
        "nerf_hidden_size": 8,
        "nerf_mlp_ratio": 2,
        "nerf_depth": 1,
        "nerf_max_freqs": 4,
        "nerf_tile_size": 64,
    },
    **{"nerf_final_head_type": "conv", "nerf_embedder_dtype": "float32"},
}
SD3 = {
    **{"input_size": None, "pos_embed_max_size": 16, "patch_size": 2, "in_channels": 16, "depth": 3},
    **{"adm_in_channels": 8, "num_patches": 256, "qk_norm": "rms", "pos_embed_scaling_factor": None},
    "context_embedder_config": {
        **{"target": "torch.nn.Linear", "params": {"in_features": 12, "out_features": 192}},
    },
}
QWEN = {
    **{"image_model": "qwen_image", "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 2},
    **{**HEADS, **ROPE, "joint_attention_dim": 12, "pooled_projection_dim": 8},
}
LUMINA = {
    **{"image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 32, "n_layers": 2},
    **{"n_refiner_layers": 2, "n_heads": 2, "n_kv_heads": 1, "multiple_of": 8, "ffn_dim_multiplier": 2.0},
    **{"qk_norm": True, "cap_feat_dim": 12, "axes_dims": [4, 6, 6], "axes_lens": [64, 32, 32]},
    **{"rope_theta": 256.0},
}
Z_IMAGE = {
    **{**LUMINA, "dim": 256, "n_kv_heads": 2, "axes_dims": [32, 48, 48], "z_image_modulation": True},
    **{"time_scale": 1000.0, "pad_tokens_multiple": 32, "axes_lens": [256, 32, 32]},
}
HUNYUAN = {
    **{"image_model": "hunyuan_video", "in_channels": 16, "out_channels": 16, "vec_in_dim": 8},
    **{"context_in_dim": 12, "hidden_size": 32, "mlp_ratio": 2.0, "num_heads": 2, "depth": 2},
    **{"depth_single_blocks": 2, "axes_dim": [4, 6, 6], "theta": 256, "patch_size": [1, 2, 2]},
    **{"qkv_bias": True, "guidance_embed": True, "byt5": False, "meanflow": False, "vision_in_dim": None},
    **{"use_cond_type_embedding": False, "meanflow_sum": False},
}
HUNYUAN_IMAGE = {
    **{**HUNYUAN, **NO_VECTOR, "in_channels": 64, "out_channels": 64, "axes_dim": [8, 8]},
    **{"patch_size": [1, 1], "byt5": True},
}
HUNYUAN_15 = {
    **{**HUNYUAN, **NO_VECTOR, "in_channels": 65, "out_channels": 32, "patch_size": [1, 1, 1]},
    **{"byt5": True, "use_cond_type_embedding": True, "vision_in_dim": 24, "meanflow_sum": True},
}
WAN = {
    **{"image_model": "wan2.1", "model_type": "t2v", "in_dim": 16, "dim": 32, "ffn_dim": 64, "freq_dim": 16},
    **{"text_dim": 12, "out_dim": 16, "num_heads": 2, "num_layers": 2, "text_len": 16},
}
COSMOS = {
    **{"image_model": "cosmos_predict2", "max_img_h": 16, "max_img_w": 16, "max_frames": 8},
    **{"in_channels": 16, "out_channels": 16, "patch_spatial": 2, "patch_temporal": 1, "num_blocks": 2},
    **{"concat_padding_mask": True, "model_channels": 64, "num_heads": 2, "crossattn_emb_channels": 12},
    **{"pos_emb_cls": "rope3d", "use_adaln_lora": True, "adaln_lora_dim": 8},
}
COSMOS1 = {
    **{**COSMOS, "image_model": "cosmos", "block_x_format": "THWBD", "affline_emb_norm": True},
    **{"extra_per_block_abs_pos_emb": True, "extra_per_block_abs_pos_emb_type": "learnable"},
}
LTXV = {
    **{**HEADS, "image_model": "ltxv", "in_channels": 128, "cross_attention_dim": 32},
    **{"caption_channels": 12, "num_layers": 2},
}
KANDINSKY = {
    **{"image_model": "kandinsky5", "in_visual_dim": 16, "out_visual_dim": 16, "in_text_dim": 12},
    **{"in_text_dim2": 8, "time_dim": 16, "model_dim": 32, "ff_dim": 64, "visual_embed_dim": 132},
    **{"patch_size": (1, 2, 2), "num_text_blocks": 2, "num_visual_blocks": 2, "axes_dims": (4, 6, 6)},
}
OMNIGEN = {
    **{"image_model": "omnigen2", "patch_size": 2, "in_channels": 16, "out_channels": 16, "hidden_size": 32},
    **{"num_layers": 2, "num_refiner_layers": 2, "num_attention_heads": 2, "num_kv_heads": 1},
    **{"multiple_of": 8, "axes_dim_rope": (4, 6, 6), "axes_lens": (64, 32, 32), "text_feat_dim": 12},
}
BOOGU = {
    **{"image_model": "boogu", "patch_size": 2, "in_channels": 16, "out_channels": 16, "hidden_size": 32},
    **{"num_layers": 3, "num_double_stream_layers": 1, "num_refiner_layers": 2, "num_kv_heads": 1},
    **{"num_attention_heads": 2, "multiple_of": 8, "axes_dim_rope": (4, 6, 6), "axes_lens": (64, 32, 32)},
    **{"instruction_feat_dim": 12},
}
KREA2 = {
    **{"image_model": "krea2", "features": 64, "tdim": 16, "txtdim": 12, "heads": 4, "kvheads": 2},
    **{"multiplier": 2, "layers": 2, "patch": 2, "channels": 16, "txtlayers": 3, "txtheads": 2},
    **{"txtkvheads": 2},
}
AURA = {
    **{"in_channels": 4, "out_channels": 4, "patch_size": 2, "dim": 32, "n_layers": 3, "n_double_layers": 1},
    **{"n_heads": 2, "global_conddim": 32, "cond_seq_dim": 12, "max_seq": 64},
}
HIDREAM = {
    **{**HEADS, **ROPE, "image_model": "hidream", "patch_size": 2, "in_channels": 16, "out_channels": 16},
    **{"num_layers": 2, "num_single_layers": 2, "caption_channels": [12, 12], "text_emb_dim": 8},
    **{"num_routed_experts": 2, "num_activated_experts": 1, "max_resolution": (16, 16)},
    **{"llama_layers": [0, 1, 1, 1]},
}
LENS = {
    **{**HEADS, **ROPE, "image_model": "lens", "patch_size": 2, "in_channels": 128, "out_channels": 32},
    **{"num_layers": 2, "enc_hidden_dim": 12, "selected_layer_index": (0, 1)},
}
JOY = {
    **{"image_model": "joyimage", "patch_size": [1, 2, 2], "in_channels": 16, "hidden_size": 32},
    **{"num_attention_heads": 2, "text_dim": 12, "mlp_width_ratio": 2.0, "num_layers": 2},
    **{"rope_dim_list": [4, 6, 6], "theta": 10000},
}
IDEOGRAM = {
    **{**HEADS, "image_model": "ideogram4", "in_channels": 128, "num_layers": 2, "intermediate_size": 64},
    **{"adaln_dim": 16, "llm_features_dim": 12, "mrope_section": (2, 3, 3)},
}
COGVIDEO = {
    **{**HEADS, "image_model": "cogvideox", "in_channels": 16, "out_channels": 16, "time_embed_dim": 16},
    **{"text_embed_dim": 12, "num_layers": 2, "sample_width": 8, "sample_height": 8, "sample_frames": 5},
    **{"max_text_seq_length": 7, "use_rotary_positional_embeddings": True},
}
ERNIE = {
    **{"image_model": "ernie", "hidden_size": 32, "num_attention_heads": 2, "num_layers": 2},
    **{"ffn_hidden_size": 64, "in_channels": 128, "out_channels": 128, "patch_size": 1},
    **{"text_in_dim": 12, "rope_axes_dim": (4, 6, 6)},
}
PIXART = {
    **{"image_model": "pixart_sigma", "input_size": None, "patch_size": 2, "in_channels": 4, "depth": 2},
    **{"hidden_size": 32, "num_heads": 2, "caption_channels": 12, "model_max_length": 16},
    **{"pe_interpolation": 1.0, "micro_condition": False},
}
HYDIT = {
    **{"image_model": "hydit", "input_size": (32, 32), "patch_size": 2, "in_channels": 4},
    **{"hidden_size": 32, "depth": 2, "num_heads": 2, "text_states_dim": 12, "text_states_dim_t5": 16},
    **{"text_len": 7, "text_len_t5": 7, "mlp_ratio": 2.0},
}
LLAMA = {"conditioning_llama3": Shape((2, "T", 12))}
MASKED = {"attention_mask": Shape((1, "T"), "mask")}
UNMASKED = {"attention_mask": Shape((1, "T"), "whole mask")}
GLYPHS = {"conditioning_byt5small": Shape(("T", 1472))}
T5_IDS = {"t5xxl_ids": Shape(("T",), "ids"), "t5xxl_weights": Shape(("T",), "ones")}

SEPARATE = {
    "Anima": Family(
        "Anima",
        {**COSMOS, "image_model": "anima", "crossattn_emb_channels": 1024},
        (16, 1, 8, 12),
        1024,
        T5_IDS,
    ),
    "Cosmos-Predict2": Family("CosmosT2IPredict2", COSMOS, (16, 1, 8, 12), short=7, long=7),
    "Wan 2.1": Family("WAN21_T2V", WAN, (16, 2, 8, 12), short=7, long=7),
    "Wan 2.2": Family("WAN22_T2V", {**WAN, "in_dim": 48, "out_dim": 48}, (48, 2, 8, 12), short=7, long=7),
    "Wan 2.1 I2V": Family(
        "WAN21_I2V",
        {**WAN, "model_type": "i2v", "in_dim": 36},
        (16, 2, 8, 12),
        short=7,
        long=7,
        options={"clip_vision_output": Shape((257, 1280), "picture")},
    ),
    "Wan VACE": Family(
        "WAN21_Vace",
        {**WAN, "model_type": "vace", "vace_layers": 2, "vace_in_dim": 96},
        (16, 2, 8, 12),
        short=7,
        long=7,
        since=(0, 33, 0),
    ),
    "Wan Camera": Family(
        "WAN21_Camera",
        {**WAN, "model_type": "camera", "in_dim": 32},
        (16, 1, 8, 12),
        short=7,
        long=7,
        options={
            "camera_conditions": Shape((24, 1, 64, 96), "shared"),
            "clip_vision_output": Shape((257, 1280), "picture"),
        },
    ),
    "LTXV": Family("LTXV", LTXV, (128, 2, 4, 6), options=MASKED),
    "Kandinsky 5": Family("Kandinsky5", KANDINSKY, (16, 2, 8, 12), options=POOLED),
    "PixArt": Family("PixArtSigma", PIXART, (4, 32, 40)),
    "HunyuanDiT": Family(
        "HunyuanDiT",
        HYDIT,
        (4, 8, 12),
        short=7,
        long=7,
        options={
            "conditioning_mt5xl": Shape(("T", 16)),
            "attention_mask": Shape((1, "T"), "whole mask"),
            "attention_mask_mt5xl": Shape((1, "T"), "whole mask"),
        },
    ),
    "Cosmos 1": Family("CosmosT2V", COSMOS1, (16, 1, 8, 12), short=7, long=7),
}
JOINT = {
    "Z-Image": Family("ZImage", Z_IMAGE, (16, 8, 12), short=7, long=40),
    "Krea 2": Family("Krea2", KREA2, (16, 1, 8, 12), 36),
    "Qwen-Image": Family("QwenImage", QWEN, (16, 1, 8, 12)),
    "Flux.2": Family("Flux2", FLUX2, (128, 4, 6), parameters="flux.model.FluxParams"),
    "Flux.2, long": Family(
        "Flux2", FLUX2, (128, 4, 6), parameters="flux.model.FluxParams", short=20, long=520
    ),
    "Flux.1": Family("Flux", FLUX, (16, 8, 12), options=POOLED, parameters="flux.model.FluxParams"),
    "Flux.1 Fill": Family(
        "FluxInpaint", {**FLUX, "in_channels": 96}, (16, 8, 12), options=POOLED,
        parameters="flux.model.FluxParams",
    ),
    "Flux.1 schnell": Family(
        "FluxSchnell", {**FLUX, "guidance_embed": False}, (16, 8, 12), options=POOLED,
        parameters="flux.model.FluxParams",
    ),
    "LongCat": Family(
        "LongCatImage", {**FLUX, **NO_VECTOR, "txt_ids_dims": [1, 2]}, (16, 8, 12),
        parameters="flux.model.FluxParams", short=7, long=7,
    ),
    "Ovis": Family(
        "Flux", {**FLUX, **NO_VECTOR, "txt_norm": True, "yak_mlp": True, "txt_ids_dims": [1, 2]}, (16, 8, 12),
        parameters="flux.model.FluxParams", since=(0, 33, 0),
    ),
    "Chroma": Family("Chroma", CHROMA, (16, 8, 12), options=POOLED, parameters="chroma.model.ChromaParams"),
    "Chroma Radiance": Family(
        "ChromaRadiance", RADIANCE, (3, 16, 24), options=POOLED,
        parameters="chroma_radiance.model.ChromaRadianceParams"
    ),
    "SD3.5 large": Family("SD3", SD3, (16, 8, 12), options=POOLED),
    "SD3.5 medium": Family(
        "SD3", {**SD3, "x_block_self_attn": True, "x_block_self_attn_layers": [0, 1]}, (16, 8, 12),
        options=POOLED,
    ),
    "Lumina 2": Family(
        "Lumina2", LUMINA, (16, 8, 12), options=UNMASKED, parameters="lumina.model.NextDiT"
    ),
    "NewBie": Family(
        "Lumina2", {**LUMINA, "clip_text_dim": 8}, (16, 8, 12), options=POOLED,
        since=(0, 33, 0),
    ),
    "AuraFlow": Family("AuraFlow", AURA, (4, 8, 12)),
    "HunyuanVideo": Family(
        "HunyuanVideo", HUNYUAN, (16, 2, 8, 12), options=POOLED,
        parameters="hunyuan_video.model.HunyuanVideoParams",
    ),
    "HunyuanImage": Family(
        "HunyuanImage21", HUNYUAN_IMAGE, (64, 4, 6), parameters="hunyuan_video.model.HunyuanVideoParams",
    ),
    "HunyuanImage, quoted text": Family(
        "HunyuanImage21", HUNYUAN_IMAGE, (64, 4, 6), options=GLYPHS,
        parameters="hunyuan_video.model.HunyuanVideoParams",
    ),
    "HunyuanVideo 1.5": Family(
        "HunyuanVideo15", HUNYUAN_15, (32, 2, 4, 6), options=POOLED,
        parameters="hunyuan_video.model.HunyuanVideoParams",
    ),
    "HunyuanVideo 1.5, quoted text": Family(
        "HunyuanVideo15", HUNYUAN_15, (32, 1, 4, 6), options={**POOLED, **GLYPHS},
        parameters="hunyuan_video.model.HunyuanVideoParams",
    ),
    "HiDream-I1": Family("HiDream", HIDREAM, (16, 8, 12), options={**POOLED, **LLAMA}, short=7, long=7),
    "Lens": Family("Lens", LENS, (128, 4, 6), 24),
    "ERNIE-Image": Family("ErnieImage", ERNIE, (128, 4, 6)),
    "JoyImage": Family("JoyImage", JOY, (16, 1, 8, 12)),
    "Ideogram 4": Family("Ideogram4", IDEOGRAM, (128, 4, 6)),
    "MageFlow": Family(
        "MageFlow",
        {**HEADS, **ROPE, "image_model": "mage_flow", "in_channels": 128, "out_channels": 128,
         "num_layers": 2, "joint_attention_dim": 12},
        (128, 4, 6),
    ),
    "Omnigen 2": Family("Omnigen2", OMNIGEN, (16, 8, 12), options=UNMASKED),
    "Boogu": Family("Boogu", BOOGU, (16, 8, 12), options=UNMASKED),
    "CogVideoX": Family("CogVideoX_T2V", COGVIDEO, (16, 2, 8, 12), short=7, long=7),
}  # fmt: skip
LTX2 = {
    **{"image_model": "ltxav", "in_channels": 8, "audio_in_channels": 128, "cross_attention_dim": 32},
    **{"audio_cross_attention_dim": 16, "attention_head_dim": 16, "audio_attention_head_dim": 8},
    **{"num_attention_heads": 2, "audio_num_attention_heads": 2, "caption_channels": 12, "num_layers": 2},
    **{"connector_num_attention_heads": 2, "connector_attention_head_dim": 6},
    **{"audio_connector_num_attention_heads": 2, "audio_connector_attention_head_dim": 6},
}
NESTED = {"LTX-2": Family("LTXAV", LTX2, (8, 2, 4, 4), 24, since=(0, 33, 0))}
FAMILIES = {**SEPARATE, **JOINT, **NESTED}
