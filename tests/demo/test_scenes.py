"""Scenes: the caption never gives the layout, rendering is repeatable, boxes contain the things."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from demo.world.scenes import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    Scene,
    Thing,
    draw,
    held_out,
    random_scene,
    recaption,
)


def scene_of(*things: Thing, background: str = "plain") -> Scene:
    return Scene(things, background, tuple(range(len(things))), seed=7)


def test_caption_does_not_depend_on_layout() -> None:
    rng = random.Random(1)
    for _ in range(200):
        scene = random_scene(rng)
        moved = scene
        for i in range(len(scene.things)):
            moved = recaption(moved, i, cx=rng.random(), cy=rng.random(), r=rng.uniform(0.1, 0.3))
        assert replace(moved, seed=rng.getrandbits(32)).caption == scene.caption
        assert not any(letter.isdigit() for letter in scene.caption)


def test_caption_names_things_in_its_own_order() -> None:
    circle = Thing("circle", "red", "small", 0.2, 0.2, 0.1)
    house = Thing("house", "blue", "", 0.7, 0.7, 0.2)
    fish = Thing("fish", "green", "large", 0.3, 0.7, 0.2)
    scene = replace(scene_of(circle, house, fish, background="night"), order=(2, 0, 1))
    assert scene.caption == "a large green fish, a small red circle and a blue house at night"


@pytest.mark.parametrize(
    ("thing", "phrase"),
    [
        (Thing("tree", "orange", "", 0, 0, 0), "an orange tree"),
        (Thing("tree", "red", "", 0, 0, 0), "a red tree"),
        (Thing("tree", "orange", "small", 0, 0, 0), "a small orange tree"),
        (Thing("tree", "orange", "", 0, 0, 0, names_color=False), "a tree"),
        (Thing("sailing boat", "orange", "large", 0, 0, 0, names_color=False), "a large sailing boat"),
    ],
)
def test_article(thing: Thing, phrase: str) -> None:
    assert thing.phrase == phrase


def test_drawing_repeats() -> None:
    rng = random.Random(2)
    for scene in (random_scene(rng) for _ in range(16)):
        assert draw(scene, 64).tobytes() == draw(scene, 64).tobytes()


@pytest.mark.parametrize("background", ["night", "sand", "water", "grass"])
def test_seed_changes_texture(background: str) -> None:
    scene = scene_of(background=background)
    assert draw(scene, 64).tobytes() != draw(replace(scene, seed=8), 64).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_box_holds_every_drawn_pixel(kind: str) -> None:
    pixels = 256
    for color in COLORS:
        thing = Thing(kind, color, "", 0.47, 0.52, 0.25)
        drawn = np.array(draw(scene_of(thing, background="water"), pixels, supersample=1), np.int16)
        empty = np.array(draw(scene_of(background="water"), pixels, supersample=1), np.int16)
        y, x = np.nonzero(np.abs(drawn - empty).sum(2))
        left, top, right, bottom = (edge * pixels for edge in thing.box)
        assert x.size > 0.15 * (2 * thing.r * pixels) ** 2
        assert x.min() >= left and y.min() >= top
        assert x.max() < right and y.max() < bottom


def test_things_do_not_overlap_and_stay_inside() -> None:
    rng = random.Random(3)
    for scene in (random_scene(rng) for _ in range(500)):
        assert scene.background in BACKGROUNDS
        assert 1 <= len(scene.things) <= 3
        for i, a in enumerate(scene.things):
            assert min(a.box[:2]) >= 0 and max(a.box[2:]) <= 1
            for b in scene.things[:i]:
                assert (a.cx - b.cx) ** 2 + (a.cy - b.cy) ** 2 > (a.r + b.r) ** 2
                assert a.kind != b.kind


def test_recaption_keeps_the_layout() -> None:
    scene = scene_of(Thing("tree", "red", "", 0.3, 0.4, 0.2), Thing("fish", "blue", "", 0.7, 0.7, 0.15))
    edited = recaption(scene, 1, kind="star")
    assert edited.caption == "a red tree and a blue star"
    assert edited.things[0] == scene.things[0]
    assert edited.things[1].box == scene.things[1].box


def test_held_out_share() -> None:
    rng = random.Random(4)
    captions = {random_scene(rng).caption for _ in range(20_000)}
    share = sum(map(held_out, captions)) / len(captions)
    assert 0.015 < share < 0.025
