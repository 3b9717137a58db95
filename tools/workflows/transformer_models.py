"""The model files of the transformers in the example workflows, and their loaders, as in ComfyUI's templates."""

from __future__ import annotations

from .parts import File, Node

UNET, CLIP, VAE = 1, 2, 3
HUB = "https://huggingface.co"


def _file(directory: str, path: str) -> File:
    """A file by its place on the hub: owner/repository/resolve/main/…/name."""
    return File(path.rpartition("/")[2], f"{HUB}/{path}", directory)


def _unet(path: str) -> Node:
    file = _file("diffusion_models", path)
    return Node(UNET, "UNETLoader", 0, (340, 90), {"unet_name": file.name, "weight_dtype": "default"}, files=(file,))  # fmt: skip


def _clip(kind: str, *paths: str) -> Node:
    files = tuple(_file("text_encoders", path) for path in paths)
    names = ("clip_name",) if len(files) == 1 else ("clip_name1", "clip_name2")
    inputs = {
        **dict(zip(names, (file.name for file in files), strict=True)),
        "type": kind,
        "device": "default",
    }
    loader = "CLIPLoader" if len(files) == 1 else "DualCLIPLoader"
    return Node(CLIP, loader, 0, (340, 130), inputs, files=files)


def _vae(path: str) -> Node:
    file = _file("vae", path)
    return Node(VAE, "VAELoader", 0, (340, 70), {"vae_name": file.name}, files=(file,))


Z_FILES = "Comfy-Org/z_image_turbo/resolve/main/split_files"
Z_IMAGE = (
    _unet(f"{Z_FILES}/diffusion_models/z_image_turbo_bf16.safetensors"),
    _clip("lumina2", f"{Z_FILES}/text_encoders/qwen_3_4b.safetensors"),
    _vae(f"{Z_FILES}/vae/ae.safetensors"),
)
KREA2 = (
    _unet("Comfy-Org/Krea-2/resolve/main/diffusion_models/krea2_turbo_fp8_scaled.safetensors"),
    _clip("krea2", "Comfy-Org/Krea-2/resolve/main/text_encoders/qwen3vl_4b_fp8_scaled.safetensors"),
    _vae("Comfy-Org/Krea-2/resolve/main/vae/qwen_image_vae.safetensors"),
)
QWEN_FILES = "Comfy-Org/Qwen-Image_ComfyUI/resolve/main/split_files"
QWEN = (
    _unet(f"{QWEN_FILES}/diffusion_models/qwen_image_2512_fp8_e4m3fn.safetensors"),
    _clip("qwen_image", f"{QWEN_FILES}/text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors"),
    _vae(f"{QWEN_FILES}/vae/qwen_image_vae.safetensors"),
)
QWEN_EDIT_FILES = "Comfy-Org/Qwen-Image-Edit_ComfyUI/resolve/main/split_files"
QWEN_EDIT = (
    _unet(f"{QWEN_EDIT_FILES}/diffusion_models/qwen_image_edit_2511_fp8mixed.safetensors"),
    *QWEN[1:],
)
QWEN_BAD = "低分辨率，低画质，肢体畸形，手指畸形，画面过饱和，蜡像感，人脸无细节，过度光滑，画面具有AI感。构图混乱。文字模糊，扭曲"
FLUX2_FILES = "Comfy-Org/flux2-dev/resolve/main/split_files"
FLUX2 = (
    _unet(f"{FLUX2_FILES}/diffusion_models/flux2_dev_fp8mixed.safetensors"),
    _clip("flux2", f"{FLUX2_FILES}/text_encoders/mistral_3_small_flux2_bf16.safetensors"),
    _vae("black-forest-labs/FLUX.2-small-decoder/resolve/main/full_encoder_small_decoder.safetensors"),
)
FLUX1_TEXT = "comfyanonymous/flux_text_encoders/resolve/main"
FLUX1 = (
    _unet("Comfy-Org/flux1-dev/resolve/main/flux1-dev.safetensors"),
    _clip("flux", f"{FLUX1_TEXT}/clip_l.safetensors", f"{FLUX1_TEXT}/t5xxl_fp16.safetensors"),
    _vae("Comfy-Org/Lumina_Image_2.0_Repackaged/resolve/main/split_files/vae/ae.safetensors"),
)
SD35 = _file(
    "checkpoints",
    "Comfy-Org/stable-diffusion-3.5-fp8/resolve/main/sd3.5_large_fp8_scaled.safetensors",
)
SD3 = (Node(UNET, "CheckpointLoaderSimple", 0, (340, 110), {"ckpt_name": SD35.name}, files=(SD35,)),)
ANIMA_FILES = "circlestone-labs/Anima/resolve/main/split_files"
ANIMA = (
    _unet(f"{ANIMA_FILES}/diffusion_models/anima-base-v1.0.safetensors"),
    _clip("stable_diffusion", f"{ANIMA_FILES}/text_encoders/qwen_3_06b_base.safetensors"),
    _vae(f"{ANIMA_FILES}/vae/qwen_image_vae.safetensors"),
)
ANIMA_BAD = "worst quality, low quality, score_1, score_2, score_3, blurry, jpeg artifacts, sepia"
WAN_FILES = "Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"
WAN = (
    _unet(f"{WAN_FILES}/diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors"),
    _clip("wan", f"{WAN_FILES}/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors"),
    _vae(f"{WAN_FILES}/vae/wan_2.1_vae.safetensors"),
)
WAN_BAD = "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"  # fmt: skip
