"""The demo model in ComfyUI itself: the stock nodes accept it as any other checkpoint."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

pytestmark = pytest.mark.real_host

CAPTION = "a red circle and a small blue star on grass"
MEAN, STD = (0.1, -0.2, 0.3), 0.5


class Loaded(NamedTuple):
    model: Any
    clip: Any
    vae: Any


@pytest.fixture(scope="module", autouse=True)
def inference_mode() -> Iterator[None]:
    """As ComfyUI runs its nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def demo(pack: ModuleType) -> ModuleType:
    return importlib.import_module(f"{pack.__name__}.nodes.comfyui.demo_model")


@pytest.fixture(scope="module")
def error(pack: ModuleType) -> type[Exception]:
    return importlib.import_module(f"{pack.__name__}.p2p_core.errors").P2PError


@pytest.fixture(scope="module")
def stock(pack: ModuleType) -> ModuleType:
    """ComfyUI's own nodes.py."""
    return importlib.import_module("nodes")


@pytest.fixture(scope="module")
def weights(demo: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights in the model's shapes: these tests do not depend on training."""
    generator = torch.Generator().manual_seed(0)
    shapes = demo.expected_shapes(demo.vocabulary_size())
    state = {name: _random(name, shape, generator) for name, shape in shapes.items()}
    state["autoencoder.mean"], state["autoencoder.std"] = torch.tensor(MEAN), torch.tensor([STD])
    path = tmp_path_factory.mktemp("demo") / "random.safetensors"
    save_file({name: value.half() for name, value in state.items()}, path)
    return path


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Norms near identity, the rest scaled by the fan-in, so that signals keep their size."""
    value = torch.randn(shape, generator=generator)
    if len(shape) > 1:
        return value / value[0].numel() ** 0.5
    return 0.1 * value + float("norm" in name and name.endswith("weight"))


@pytest.fixture(scope="module")
def loaded(demo: ModuleType, weights: Path) -> Loaded:
    return Loaded(*demo.load(weights))


def encoded(stock: ModuleType, clip: Any, text: str) -> Tensor:
    """[1, 77 n, 128], by the stock node."""
    return stock.CLIPTextEncode().encode(clip, text)[0][0][0]


def sampled(stock: ModuleType, loaded: Loaded, latent: dict[str, Any], **changes: Any) -> Tensor:
    encode = stock.CLIPTextEncode().encode
    positive, negative = encode(loaded.clip, CAPTION)[0], encode(loaded.clip, "")[0]
    options = {"seed": 1, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal"} | changes
    options |= {"positive": positive, "negative": negative, "latent_image": latent}
    return stock.KSampler().sample(loaded.model, **options)[0]["samples"]


def picture(height: int, width: int) -> Tensor:
    """[1, height, width, 3] in 0..1."""
    return torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(3))


def thumbnail(image: Tensor) -> Tensor:
    """[B, H, W, 3] in 0..1 to the thumbnail [B, 3, H/8, W/8] in -1..1."""
    return F.avg_pool2d(image.movedim(-1, 1) * 2 - 1, 8)


# Files


def test_every_tensor_of_the_file_has_its_place(demo: ModuleType, weights: Path, loaded: Loaded) -> None:
    state = demo.read(weights)
    unet = demo.unet_weights(state, torch.float32)
    text = {name for name in loaded.clip.cond_stage_model.state_dict() if ".text_model." in name}
    assert unet.keys() == loaded.model.model.diffusion_model.state_dict().keys()
    assert len(unet) == len(demo.part(state, "unet."))
    assert len(text) == len(demo.part(state, "text."))
    assert demo.part(state, "autoencoder.").keys() == loaded.vae.first_stage_model.state_dict().keys()
    assert sum(value.numel() for value in state.values()) * 2 <= 25_000_000


def test_names_with_text_model_are_the_same_model(demo: ModuleType, weights: Path, tmp_path: Path) -> None:
    state = load_file(weights)
    older = {name.replace("text.", "text.text_model.", 1): value for name, value in state.items()}
    save_file(older, tmp_path / "older.safetensors")
    assert demo.read(tmp_path / "older.safetensors").keys() == state.keys()


def test_bundled_weights_load(demo: ModuleType) -> None:
    for value in demo.read(demo.WEIGHTS).values():
        assert value.isfinite().all()
    assert len(demo.load()) == 3


@pytest.mark.parametrize("damage", ["missing", "folder", "empty", "truncated", "text"])
def test_a_damaged_file_is_named(
    demo: ModuleType, error: type[Exception], weights: Path, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "p2p_demo.safetensors"
    whole = weights.read_bytes()
    parts = {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "text": b"version https://git-lfs.github.com/spec/v1",
    }
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(parts[damage])
    with pytest.raises(error, match=r"p2p_demo\.safetensors.*git checkout -- demo/model"):
        demo.load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unet.conv_in.weight": None}, "missing: unet.conv_in.weight"),
        ({"text.final_layer_norm.bias": None}, "missing: text.final_layer_norm.bias"),
        ({"autoencoder.std": None}, "missing: autoencoder.std"),
        (
            {"unet.conv_in.bias": torch.zeros(49)},
            r"wrong shape: unet.conv_in.bias \[49\] instead of \[48\]",
        ),
        ({"unet.more": torch.zeros(1)}, "unknown: unet.more"),
        (
            {"a": torch.zeros(1), "b": torch.zeros(1), "c": torch.zeros(1), "d": torch.zeros(1)},
            "a, b, c and 1 more",
        ),
    ],
)
def test_another_models_file_is_refused(
    demo: ModuleType,
    error: type[Exception],
    weights: Path,
    tmp_path: Path,
    change: dict[str, Any],
    words: str,
) -> None:
    state = load_file(weights) | change
    save_file(
        {name: value for name, value in state.items() if value is not None}, tmp_path / "other.safetensors"
    )
    with pytest.raises(error, match=f"other.safetensors.*{words}"):
        demo.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("file", "content"), [("merges.txt", None), ("vocab.json", None), ("vocab.json", '{"a": 1')]
)
def test_a_damaged_tokenizer_is_named(
    demo: ModuleType, error: type[Exception], tmp_path: Path, file: str, content: str | None
) -> None:
    for source in demo.TOKENIZER.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / file).unlink()
    if content:
        (tmp_path / file).write_text(content)
    with pytest.raises(error, match=f"{file}.*git checkout -- demo/model"):
        demo.vocabulary_size(tmp_path)


# CLIP


def test_clip_is_the_trained_encoder(
    demo: ModuleType, weights: Path, stock: ModuleType, loaded: Loaded
) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(demo.TOKENIZER)
    config = demo.text_config(len(tokenizer))
    reference = transformers.CLIPTextModel(transformers.CLIPTextConfig(**config)).eval()
    state = demo.part(demo.read(weights), "text.")
    prefix = "text_model." if any(name.startswith("text_model.") for name in reference.state_dict()) else ""
    reference.load_state_dict({prefix + name: value.float() for name, value in state.items()}, strict=False)
    for text in (CAPTION, "", "a purple mushroom, and the large diamond on snow."):
        ids = tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
        expected = reference(ids).last_hidden_state
        assert [token for token, _ in loaded.clip.tokenize(text)["l"][0]] == ids[0].tolist()
        torch.testing.assert_close(encoded(stock, loaded.clip, text), expected, atol=1e-5, rtol=0)


def test_prompt_weights_are_the_hosts(stock: ModuleType, loaded: Loaded) -> None:
    plain = encoded(stock, loaded.clip, CAPTION)
    empty = encoded(stock, loaded.clip, "")
    heavier = encoded(stock, loaded.clip, CAPTION.replace("red", "(red:1.5)"))
    expected = plain.clone()
    expected[0, 2] += 0.5 * (plain - empty)[0, 2]  # start, "a", "red"
    torch.testing.assert_close(heavier, expected, atol=1e-5, rtol=0)


def test_long_prompts_are_several_chunks(stock: ModuleType, loaded: Loaded) -> None:
    chunks = loaded.clip.tokenize(" ".join(["a red circle and"] * 40))["l"]
    assert [len(chunk) for chunk in chunks] == [77, 77, 77]
    assert encoded(stock, loaded.clip, " ".join(["a red circle and"] * 40)).shape == (1, 231, 128)


def test_embeddings_take_their_place(
    demo: ModuleType, weights: Path, stock: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_paths = importlib.import_module("folder_paths")
    monkeypatch.setattr(folder_paths, "get_folder_paths", lambda _: [str(tmp_path)])
    clip = demo.build_clip(demo.read(weights))
    table = demo.read(weights)["text.embeddings.token_embedding.weight"]
    red = clip.tokenize("red")["l"][0][1][0]
    save_file({"emb_params": table[red : red + 1].float()}, tmp_path / "crimson.safetensors")
    named = encoded(stock, clip, "a embedding:crimson circle")
    torch.testing.assert_close(named, encoded(stock, clip, "a red circle"), atol=1e-5, rtol=0)


# MODEL


@pytest.mark.parametrize(("width", "height", "batch"), [(64, 64, 1), (128, 64, 2), (72, 104, 1)])
def test_the_stock_graph_draws(
    stock: ModuleType, loaded: Loaded, width: int, height: int, batch: int
) -> None:
    empty = stock.EmptyLatentImage().generate(width, height, batch)[0]
    samples = sampled(stock, loaded, empty)
    assert samples.shape == (batch, 3, height // 8, width // 8)
    images = stock.VAEDecode().decode(loaded.vae, {"samples": samples})[0]
    assert images.shape == (batch, height, width, 3)
    assert samples.isfinite().all()
    assert 0 <= images.min() <= images.max() <= 1
    assert torch.equal(samples, sampled(stock, loaded, empty))


def test_schedule_and_prediction_are_stable_diffusions(loaded: Loaded) -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    signal = torch.cumprod(1 - betas, 0)
    sampling = loaded.model.get_model_object("model_sampling")
    torch.testing.assert_close(sampling.sigmas.double(), ((1 - signal) / signal).sqrt(), atol=0, rtol=1e-5)
    noisy, sigma = torch.full((1, 3, 2, 2), 7.0), torch.tensor([2.0])
    assert torch.equal(sampling.calculate_denoised(sigma, torch.ones(1, 3, 2, 2), noisy), noisy - 2)


def test_previews_show_the_thumbnail(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    preview = importlib.import_module("latent_preview")
    methods = importlib.import_module("comfy.cli_args").LatentPreviewMethod
    monkeypatch.setattr(preview.args, "preview_method", methods.Auto)
    image = picture(64, 96)
    previewer = preview.get_previewer(torch.device("cpu"), loaded.model.model.latent_format)
    shown = previewer.decode_latent_to_preview(loaded.vae.encode(image))
    assert shown.size == (12, 8)
    pixels = torch.from_numpy(np.array(shown)).float()
    expected = (thumbnail(image)[0].movedim(0, -1) + 1) * 127.5
    assert (pixels - expected).abs().max() <= 1.5


def test_inpainting_keeps_what_is_not_masked(stock: ModuleType, loaded: Loaded) -> None:
    image, mask = picture(64, 64), torch.zeros(1, 64, 64)
    mask[:, :, 32:] = 1
    latent = stock.VAEEncodeForInpaint().encode(loaded.vae, image, mask, grow_mask_by=0)[0]
    samples = sampled(stock, loaded, latent)
    torch.testing.assert_close(samples[..., :4], latent["samples"][..., :4], atol=1e-5, rtol=0)
    assert not torch.equal(samples[..., 4:], latent["samples"][..., 4:])


def test_a_second_copy_is_the_same_model(loaded: Loaded) -> None:
    for patcher in (loaded.model, loaded.clip.patcher, loaded.vae.patcher):
        factory, arguments = patcher.cached_patcher_init
        copy, own = factory(*arguments).model, patcher.model  # as deepclone_multigpu does
        assert copy is not own
        mine = own.state_dict()
        assert all(torch.equal(value, mine[name]) for name, value in copy.state_dict().items())


def test_layers_that_are_empty_until_loaded_are_filled(
    demo: ModuleType, weights: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As built by newer hosts with dynamic VRAM."""
    memory = pytest.importorskip("comfy.memory_management")
    monkeypatch.setattr(memory, "aimdo_enabled", True)
    model, clip, _ = demo.load(weights)
    for made, usual in (
        (model.model, loaded.model.model),
        (clip.cond_stage_model, loaded.clip.cond_stage_model),
    ):
        expected = usual.state_dict()
        for name, value in made.state_dict().items():
            assert value.dtype == expected[name].dtype
            assert torch.equal(value, expected[name])


# VAE


def test_encode_is_the_thumbnail(stock: ModuleType, loaded: Loaded) -> None:
    image = picture(64, 96)
    latent = stock.VAEEncode().encode(loaded.vae, image)[0]["samples"]
    mean, std = (torch.tensor(v).half().float() for v in (MEAN, STD))
    torch.testing.assert_close(latent, (thumbnail(image) - mean.view(1, 3, 1, 1)) / std, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (70, 45), (8, 129)])
def test_other_sizes_are_cropped_like_a_stock_vae(
    stock: ModuleType, loaded: Loaded, height: int, width: int
) -> None:
    image = picture(height, width)
    latent = stock.VAEEncode().encode(loaded.vae, image)[0]["samples"]
    top, left = (height % 8) // 2, (width % 8) // 2
    inner = image[:, top : top + height // 8 * 8, left : left + width // 8 * 8]
    assert torch.equal(latent, stock.VAEEncode().encode(loaded.vae, inner)[0]["samples"])
    assert stock.VAEDecode().decode(loaded.vae, {"samples": latent})[0].shape == inner.shape


def test_tiles_make_the_whole_picture(stock: ModuleType, loaded: Loaded) -> None:
    image = picture(192, 128)
    latent = stock.VAEEncode().encode(loaded.vae, image)[0]
    tiled = stock.VAEEncodeTiled().encode(loaded.vae, image, tile_size=64, overlap=16)[0]
    torch.testing.assert_close(tiled["samples"], latent["samples"], atol=1e-4, rtol=0)
    whole = stock.VAEDecode().decode(loaded.vae, latent)[0]
    pieces = stock.VAEDecodeTiled().decode(loaded.vae, latent, tile_size=64, overlap=16)[0]
    assert pieces.shape == whole.shape
    assert (pieces - whole).abs().mean() < 0.05


def test_it_comes_back_after_unloading(stock: ModuleType, loaded: Loaded) -> None:
    management = importlib.import_module("comfy.model_management")
    latent = torch.zeros(1, 3, 8, 8)
    before = loaded.vae.decode(latent)
    management.unload_all_models()
    assert torch.equal(before, loaded.vae.decode(latent))


# Node


def test_the_node_stands_where_load_checkpoint_stands(pack: ModuleType) -> None:
    node = importlib.import_module(f"{pack.__name__}.nodes.demo.demo_model").P2PDemoModel
    schema = node.GET_SCHEMA()
    assert (schema.node_id, schema.category, schema.inputs) == ("P2PDemoModel", "Prompt-to-Prompt/Demo", [])
    assert [output.display_name for output in schema.outputs] == ["MODEL", "CLIP", "VAE"]


def test_the_node_gives_model_clip_and_vae(pack: ModuleType) -> None:
    node = importlib.import_module(f"{pack.__name__}.nodes.demo.demo_model").P2PDemoModel
    model, clip, vae = node.execute().result
    assert all(hasattr(model, name) for name in ("clone", "model_options"))
    assert hasattr(clip, "encode_from_tokens_scheduled")
    assert hasattr(vae, "decode_tiled")


def test_the_node_names_itself_in_errors(
    pack: ModuleType,
    demo: ModuleType,
    error: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = importlib.import_module(f"{pack.__name__}.nodes.demo.demo_model").P2PDemoModel
    load = demo.load
    monkeypatch.setattr(demo, "load", lambda: load(tmp_path / "p2p_demo.safetensors"))
    with pytest.raises(error, match=r"^Demo Model: .*p2p_demo\.safetensors, got a missing file"):
        node.execute()
