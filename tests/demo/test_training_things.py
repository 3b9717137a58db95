"""Training on the world of things: checkpoints resume, losses teach, the checker's truth is the world's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fake_things import fake_pictures
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from demo.model.decoder import ThumbnailAutoencoder
from demo.model.shape import alphas_cumprod
from demo.things.sprites import NO_LOOK
from demo.things.vocabulary import KINDS, LOOKS, PLACES, STYLES
from demo.things.world import Scenes, World
from demo.training import sampling, shards, train_all, transformer, upsampler
from demo.training.detecting import CELLS, Targets, loss_of, softened, targets
from demo.training.detector import Detector, Maps
from demo.training.judging import seen, tally
from demo.training.latents import Latents, encoded, stratified
from demo.training.pack import pack, unpack
from demo.training.training import Recipe, Training, load_into
from demo.training.unet import TextToImage, UNetLoss

CPU = torch.device("cpu")
SURE = 20.0  # a logit


@cache
def latents() -> Latents:
    return Latents(fake_pictures(), CPU, seed=0)


def scenes_of(count: int, scale: int = 1) -> tuple[Scenes, World]:
    world = World(fake_pictures(), scale, CPU, variants=1)
    generator = torch.Generator().manual_seed(4)
    return world.scenes(world.layouts(count, generator), generator), world


# Checkpoints


def test_shards_are_small_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LIMIT", 1000)
    tensors = {name: torch.randn(100) for name in "abcde"}
    shards.save(tensors, tmp_path / "model")
    assert len(list((tmp_path / "model").iterdir())) == 3
    loaded = shards.load(tmp_path / "model")
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_an_interrupted_save_leaves_a_checkpoint(tmp_path: Path) -> None:
    shards.save({"a": torch.ones(1)}, tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "model.new")
    assert shards.load(tmp_path / "model")["a"] == 1
    shards.save({"a": torch.zeros(1)}, tmp_path / "model")
    assert shards.load(tmp_path / "model")["a"] == 0 and not (tmp_path / "model.new").exists()


def fit(model: nn.Module, target: float) -> Callable[[int], Tensor]:
    return lambda count: (model(torch.ones(count, 1)) - target).square().mean()


def test_training_lowers_the_loss_and_resumes(tmp_path: Path) -> None:
    recipe = Recipe(batch=2, rate=0.05, average=0.5)
    model = nn.Linear(1, 1)
    training = Training(model, tmp_path / "line", recipe)
    training.run(fit(model, 3.0), seconds=1.5)
    assert training.samples == 2 * training.steps > 0

    again = nn.Linear(1, 1)
    resumed = Training(again, tmp_path / "line", recipe)
    assert (resumed.steps, resumed.samples) == (training.steps, training.samples)
    assert fit(again, 3.0)(1) < 0.01
    loaded = nn.Linear(1, 1)
    load_into(loaded, tmp_path / "line")
    assert torch.equal(loaded.weight, again.weight)


def test_a_missing_checkpoint_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train that model first"):
        load_into(nn.Linear(1, 1), tmp_path / "none")


# What the models learn from


def test_latents_are_what_the_shipped_autoencoder_encodes() -> None:
    pictures = torch.rand(2, 3, 256, 256) * 2 - 1
    autoencoder = ThumbnailAutoencoder()
    autoencoder.load_state_dict(upsampler.build().state_dict())
    assert torch.allclose(encoded(pictures), autoencoder.encode(pictures), atol=1e-5)


def test_every_part_of_the_range_has_one_number() -> None:
    numbers = stratified(10, torch.Generator().manual_seed(0))
    assert sorted((numbers * 10).long().tolist()) == list(range(10))


def test_some_captions_are_empty() -> None:
    _, ids = latents().batch(200)
    share = (ids == latents().tokens.empty).all(1).float().mean()
    assert 0.04 < share < 0.2


def test_the_unet_loss_reaches_unet_and_text() -> None:
    model = TextToImage()
    UNetLoss(model, latents(), CPU)(2).backward()
    assert model.unet.conv_in.weight.grad is not None
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.text.parameters())


def test_the_flow_loss_leaves_the_text_encoder_alone() -> None:
    model, text = transformer.build(), TextToImage().text
    loss = transformer.FlowLoss(model, text, latents(), CPU)(2)
    loss.backward()
    assert loss.item() > 0.5  # a model that begins at zero predicts nothing
    assert model.proj_out.weight.grad is not None
    assert all(p.grad is None for p in text.parameters())


def test_patches_come_back_and_hold_channels_outermost() -> None:
    latents = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    tokens = transformer.patches(latents)
    assert torch.equal(transformer.unpatched(tokens, 2, 3), latents)
    assert torch.equal(tokens[0, 0], latents[0, :, :2, :2].flatten())
    assert transformer.positions(2, 3, CPU)[4].tolist() == [0, 1, 1]


def test_packed_files_hold_every_checkpoint_and_give_it_back(tmp_path: Path) -> None:
    saved = {
        "unet": {"unet.a": torch.ones(1), "text.a": torch.ones(2), "counts": torch.tensor([3, 48])},
        "decoder": {"mean": torch.ones(3), "counts": torch.tensor([1, 4])},
    }
    for name, tensors in saved.items():
        shards.save(tensors, tmp_path / name)
    (tmp_path / "tokenizer").mkdir()
    files = pack(tmp_path, tmp_path / "out")
    assert [file.name for file in files] == ["p2p_demo.safetensors"]
    assert set(load_file(files[0])) == {"unet.a", "text.a", "autoencoder.mean"}
    unpack(tmp_path / "out", tmp_path / "again")
    for name, tensors in saved.items():
        again = shards.load(tmp_path / "again" / name)
        assert set(again) == set(tensors) and all(torch.equal(again[key], tensors[key]) for key in tensors)


# Sampling


GOAL = torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)


def test_ddim_reaches_the_latent_that_the_noise_points_to() -> None:
    signal = alphas_cumprod()

    def unet(x: Tensor, t: Tensor, context: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=(x - signal[t].sqrt() * GOAL) / (1 - signal[t]).sqrt())

    model = SimpleNamespace(unet=unet, text=lambda ids: SimpleNamespace(last_hidden_state=ids))
    ids, start = torch.zeros(2, 77, dtype=torch.long), torch.randn(2, 3, 32, 32)
    drawn = sampling.with_unet(model, ids, ids[0], start, steps=6, guidance=5.0)
    assert torch.allclose(drawn, GOAL.expand_as(drawn), atol=1e-3)


def test_euler_reaches_the_latent_that_the_velocity_points_to() -> None:
    def model(hidden_states: Tensor, timestep: Tensor, **_: object) -> tuple[Tensor]:
        return ((hidden_states - transformer.patches(GOAL)) / timestep.view(-1, 1, 1),)

    encoded = SimpleNamespace(last_hidden_state=None, pooler_output=None)
    ids, start = torch.zeros(2, 77, dtype=torch.long), torch.randn(2, 3, 32, 32)
    drawn = sampling.with_transformer(model, lambda _: encoded, ids, ids[0], start, steps=4, guidance=5.0)
    assert torch.allclose(drawn, GOAL.expand_as(drawn), atol=1e-4)


def test_guidance_leads_from_the_empty_text_to_the_caption() -> None:
    def model(hidden_states: Tensor, encoder_hidden_states: Tensor, **_: object) -> tuple[Tensor]:
        return (-encoder_hidden_states.float().mean((1, 2), keepdim=True).expand_as(hidden_states),)

    def text(ids: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=ids[..., None], pooler_output=None)

    start, ids, empty = torch.zeros(1, 3, 32, 32), torch.full((1, 77), 3), torch.ones(77, dtype=torch.long)
    drawn = sampling.with_transformer(model, text, ids, empty, start, steps=2, guidance=4.0)
    assert torch.allclose(drawn, torch.full_like(drawn, 1 + 4.0 * (3 - 1)))


# The checker


class Oracle(nn.Module):
    """Maps made of the truth itself."""

    def __init__(self, scenes: Scenes, world: World) -> None:
        super().__init__()
        truth = targets(scenes, world.sprites)
        self.truth = Targets(*(getattr(truth, name).clone() for name in truth.__dataclass_fields__))

    def forward(self, pictures: Tensor) -> Maps:
        def sure(index: Tensor, count: int) -> Tensor:
            hot = nn.functional.one_hot(index.clamp(min=0), count).float() * SURE
            return hot.movedim(-1, 1)

        t = self.truth
        return Maps(
            torch.logit(t.heat.clamp(1e-6, 1 - 1e-6))[:, None],
            sure(t.kind, len(KINDS)),
            sure(t.look, len(LOOKS)),
            t.place,
            sure(t.background, len(PLACES)),
            sure(t.style, len(STYLES)),
        )


def test_the_truth_is_judged_all_right() -> None:
    scenes, world = scenes_of(30)
    counts, right = tally(scenes, seen(Oracle(scenes, world), scenes.pictures), world.sprites)  # type: ignore[arg-type]
    assert right.all() and counts.right == counts.named == counts.right_kind and counts.others == 0


def test_boxes_are_seen_where_they_are() -> None:
    scenes, world = scenes_of(30)
    box = seen(Oracle(scenes, world), scenes.pictures).box  # type: ignore[arg-type]
    present = scenes.layout.present
    kind = world.sprites.kinds[scenes.layout.variant.clamp(min=0)]
    found = box.gather(1, kind[..., None].expand(-1, -1, 4))
    assert torch.allclose(found[present], scenes.boxes[present].float(), atol=0.01)


def test_a_wrong_kind_a_wrong_look_and_a_wrong_place_are_seen() -> None:
    scenes, world = scenes_of(60)
    oracle = Oracle(scenes, world)
    colored = scenes.named & (world.sprites.looks[scenes.layout.variant.clamp(min=0)] != NO_LOOK)
    assert colored.any()
    oracle.truth.look.add_(1).remainder_(len(LOOKS))
    counts, _ = tally(scenes, seen(oracle, scenes.pictures), world.sprites)  # type: ignore[arg-type]
    assert counts.right < counts.right_kind == counts.named
    oracle.truth.background.add_(1).remainder_(len(PLACES))
    oracle.truth.kind.add_(1).remainder_(len(KINDS))
    counts, _ = tally(scenes, seen(oracle, scenes.pictures), world.sprites)  # type: ignore[arg-type]
    assert counts.background == 0 and counts.right_kind < 0.2 * counts.named and counts.others > 0


def test_targets_stand_in_the_middle_of_the_things() -> None:
    scenes, world = scenes_of(20)
    truth = targets(scenes, world.sprites)
    for b, (boxes, present) in enumerate(zip(scenes.boxes, scenes.layout.present, strict=True)):
        centers = ((boxes[:, :2] + boxes[:, 2:]) / 2)[present]
        cells = (centers // 8).long()
        assert (truth.heat[b][cells[:, 1], cells[:, 0]] == 1).all()
        assert (truth.heat[b] == 1).sum() == present.sum()
        x, y = cells[0].tolist()
        offset = truth.place[b, :2, y, x] + torch.tensor([x, y]) + 0.5
        assert torch.allclose(offset * 8, centers[0].float(), atol=1e-3)


def test_the_checkers_loss_is_least_for_the_truth() -> None:
    scenes, world = scenes_of(8)
    truth = targets(scenes, world.sprites)
    at_truth = loss_of(Oracle(scenes, world)(scenes.pictures), truth)
    at_start = loss_of(Detector().eval()(scenes.pictures), truth)
    assert at_truth < 0.2 * at_start


def test_softening_keeps_things_where_they_are() -> None:
    scenes, _ = scenes_of(12)
    soft = softened(scenes.pictures, torch.Generator().manual_seed(0))
    assert soft.shape == scenes.pictures.shape and soft.abs().max() <= 1
    averages = [nn.functional.avg_pool2d(p, 32) for p in (soft, scenes.pictures)]
    assert (averages[0] - averages[1]).abs().mean() < 0.1
    assert scenes.boxes.max() <= CELLS * 8


# All together


@pytest.mark.slow
def test_one_command_trains_every_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = {code: (picture * 255).byte() for code, picture in fake_pictures().items()}
    save_file(pictures, tmp_path / "things.safetensors")
    monkeypatch.setattr(
        "sys.argv", ["train_all", "--folder", str(tmp_path), "--minutes", "0.4", "--device", "cpu"]
    )
    train_all.main()
    for name in train_all.PARTS:
        files = list((tmp_path / name).glob("*.safetensors"))
        assert files and all(file.stat().st_size <= 16 * 2**20 for file in files)
    assert (tmp_path / "tokenizer" / "merges.txt").exists()
