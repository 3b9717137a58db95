"""The world of things: truth and picture agree, captions tell what is there and nothing of the layout."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
import torch
from fake_things import fake_pictures
from torch.nn import functional as F
from transformers import CLIPTokenizer

from demo import things
from demo.things import tokens
from demo.things.assets import CODES, load, pack
from demo.things.captions import WORDS, texts
from demo.things.layout import held_out
from demo.things.paint import hsv, painted
from demo.things.styles import styled
from demo.things.vocabulary import COLORS, KINDS, LOOKS, PLACES, STYLES
from demo.things.world import Scenes, World

CPU = torch.device("cpu")
SCALE = 4


@cache
def world() -> World:
    return World(fake_pictures(), SCALE, CPU, variants=2)


@cache
def scenes() -> Scenes:
    generator = torch.Generator().manual_seed(3)
    return world().scenes(world().layouts(200, generator), generator)


def test_boxes_hold_their_masks() -> None:
    drawn = scenes()
    for masks, boxes, present in zip(drawn.masks, drawn.boxes, drawn.layout.present, strict=True):
        for mask, box in zip(masks[present], boxes[present], strict=True):
            rows, columns = (mask > 0.5).nonzero().T
            left, top, right, bottom = (box // SCALE).tolist()
            assert left <= columns.min() and columns.max() < right
            assert top <= rows.min() and rows.max() < bottom
            assert (columns.max() - columns.min() + 1) * SCALE > 0.8 * (box[2] - box[0])


def test_things_do_not_overlap() -> None:
    drawn = scenes()
    for boxes, present in zip(drawn.boxes, drawn.layout.present, strict=True):
        for one, other in combinations(boxes[present], 2):
            shared = torch.minimum(one[2:], other[2:]) - torch.maximum(one[:2], other[:2])
            assert (shared <= 0).any()


def test_things_stand_on_the_ground() -> None:
    drawn = scenes()
    line = world().ground[drawn.layout.place, drawn.layout.backdrop] * 256
    feet = drawn.boxes[..., 3]
    assert drawn.layout.shaded.any()
    assert (feet > line[:, None])[drawn.layout.shaded].all()


def test_the_picture_shows_what_the_layout_says() -> None:
    drawn = scenes()
    plain = (drawn.layout.style == 0) & (drawn.layout.fog == 0)
    for b in plain.nonzero()[:, 0].tolist():
        for slot in drawn.layout.present[b].nonzero()[:, 0].tolist():
            inside = drawn.masks[b, slot] > 0.99
            seen = (drawn.pictures[b, :, inside].mean(1) + 1) / 2
            sprite = world().sprites.pixels[drawn.layout.variant[b, slot], drawn.layout.size[b, slot]]
            true = sprite[:3, sprite[3] > 0.99].mean(1)
            assert torch.allclose(seen, true, atol=0.05)


def test_captions_name_the_things_and_their_place() -> None:
    drawn = scenes()
    places, kinds = list(PLACES.values()), list(KINDS)
    for b, text in enumerate(texts(drawn.words)):
        variants = drawn.layout.variant[b][drawn.layout.present[b]]
        assert places[int(drawn.layout.place[b])] in text
        for kind in world().sprites.kinds[variants].tolist():
            assert kinds[kind] in text
        assert ("in the fog" in text) == bool(drawn.layout.fog[b] > 0)


def test_captions_are_well_formed() -> None:
    for text in texts(scenes().words):
        first_letters = [
            (a, b[0]) for a, b in zip(text.split(), text.split()[1:], strict=False) if a in ("a", "an")
        ]
        assert all((article == "an") == (letter in "aeiou") for article, letter in first_letters)
        assert "  " not in text and not text.startswith((" ", ","))


def test_token_ids_are_those_of_the_written_tokenizer(tmp_path: Path) -> None:
    tokens.write(tmp_path)
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    expected = tokenizer(
        texts(scenes().words), padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    assert torch.equal(tokens.Tokens(CPU)(scenes().words), expected)
    assert tokenizer("").input_ids == tokens.Tokens(CPU).empty[:2].tolist()
    assert tokenizer.tokenize("a mushroom") == ["a</w>", "mush", "room</w>"]


def test_training_never_sees_the_held_out_combinations() -> None:
    generator = torch.Generator().manual_seed(0)
    assert not held_out(world().layouts(500, generator)).any()
    held = world().layouts(50, generator, held=True)
    assert held_out(held).all() and len(held.place) == 50


def test_every_kind_look_place_and_style_occurs() -> None:
    layout = world().layouts(4000, torch.Generator().manual_seed(1))
    variants = layout.variant[layout.present]
    assert len(variants.unique()) == len(world().sprites.kinds)
    assert len(layout.place.unique()) == len(PLACES)
    assert len(layout.style.unique()) == len(STYLES)
    assert layout.present.sum(1).unique().tolist() == [1, 2, 3]


def test_the_same_seed_draws_the_same_scenes() -> None:
    def drawn(seed: int) -> Scenes:
        generator = torch.Generator().manual_seed(seed)
        return world().scenes(world().layouts(4, generator), generator)

    assert torch.equal(drawn(5).pictures, drawn(5).pictures)
    assert not torch.equal(drawn(5).pictures, drawn(6).pictures)


def test_changing_one_thing_keeps_the_rest_of_picture_and_caption() -> None:
    layout = world().layouts(40, torch.Generator().manual_seed(7))
    kinds = world().sprites.kinds[layout.variant.clamp(min=0)]
    lion, panda = (list(KINDS).index(name) for name in ("lion", "panda"))
    free = layout[(layout.style == 0) & (kinds != panda).all(1)]
    variants = (world().sprites.first[torch.tensor([lion, panda])]).tolist()
    before, after = (
        world().scenes(
            replace(
                free, variant=torch.cat([torch.full_like(free.variant[:, :1], v), free.variant[:, 1:]], 1)
            ),
            torch.Generator().manual_seed(8),
        )
        for v in variants
    )
    for one, other in zip(texts(before.words), texts(after.words), strict=True):
        assert one.replace("lion", "panda", 1) == other
    around = 12  # pixels of 64: where a shadow ends
    for b, box in enumerate(before.boxes[:, 0] // SCALE):
        left, top, right, bottom = box.tolist()
        outside = torch.ones(64, 64, dtype=torch.bool)
        outside[max(0, top - 1) : bottom + around, max(0, left - around) : right + around] = False
        assert (before.pictures[b] - after.pictures[b]).abs()[:, outside].max() < 0.02


def test_small_and_full_pictures_have_the_same_latents() -> None:
    full = World(fake_pictures(), 1, CPU, variants=1)
    small = World(fake_pictures(), SCALE, CPU, variants=1)
    layout = small.layouts(20, torch.Generator().manual_seed(2))
    layout = layout[layout.style == 0]
    one, other = (w.scenes(layout, torch.Generator().manual_seed(0)).pictures for w in (full, small))
    assert (F.avg_pool2d(one, 8) - F.avg_pool2d(other, 8 // SCALE)).abs().mean() < 0.02


@pytest.mark.parametrize("name", list(COLORS))
def test_painting_gives_the_color_and_keeps_the_shading(name: str) -> None:
    shaded = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.1 + torch.tensor(
        [0.1, 0.3, 0.7]
    ).view(3, 1, 1)
    picture = torch.cat([shaded, torch.ones(1, 16, 16)])
    hue, _, value = hsv(painted(picture, COLORS[name])[:3])
    assert ((hue - COLORS[name].hue + 0.5) % 1 - 0.5).abs().max() < 0.01
    assert value.std() > 0.01


def test_styles_change_only_the_pictures_that_have_them() -> None:
    pictures = scenes().pictures[: len(STYLES)] / 2 + 0.5
    style = torch.arange(len(STYLES))
    result = styled(pictures, style, torch.Generator().manual_seed(0))
    assert torch.equal(result[0], pictures[0])
    assert all((result[i] - pictures[i]).abs().mean() > 0.02 for i in range(1, len(STYLES)))


def test_assets_come_back_as_they_were_read(tmp_path: Path) -> None:
    from PIL import Image

    for i, code in enumerate(CODES):
        Image.new("RGBA", (8, 8), (i, 0, 255, 255)).save(tmp_path / f"{code}.png")
    pack(tmp_path, tmp_path / "things.safetensors")
    loaded = load(tmp_path / "things.safetensors")
    assert list(loaded[CODES[3]][:, 0, 0] * 255) == [3, 0, 255, 255]
    (tmp_path / f"{CODES[0]}.png").unlink()
    with pytest.raises(FileNotFoundError, match=CODES[0]):
        pack(tmp_path, tmp_path / "again.safetensors")


def test_every_look_has_a_word() -> None:
    assert all(word in WORDS for look in LOOKS for word in look.split())


def test_the_world_stands_alone_and_draws_on_tensors() -> None:
    for file in Path(things.__file__).parent.glob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        names |= {node.module or "" for node in froms if node.level == 0}
        allowed = {*sys.stdlib_module_names, "torch", "safetensors"}
        allowed |= {"numpy", "PIL"} if file.name == "assets.py" else set()
        assert {name.split(".")[0] for name in names} <= allowed, file.name
        assert all(node.level <= 1 for node in froms), file.name
