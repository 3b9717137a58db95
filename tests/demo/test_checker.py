"""The checker with its committed weights, and its comparison with captions."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from demo.training.checker import (
    Checker,
    Found,
    Verdict,
    held_out_scenes,
    locate,
    match,
    thumbnails,
    to_tensor,
    without_doubles,
)
from demo.world.scenes import BACKGROUNDS, COLORS, HIDDEN, KINDS, Scene, Thing, recaption
from p2p_core.errors import P2PError


@pytest.fixture(scope="module")
def checker() -> Checker:
    return Checker.load()


def look(checker: Checker, *scenes: Scene) -> list[Verdict]:
    return checker(torch.stack([to_tensor(scene) for scene in scenes]))


def other(names: list[str], than: str) -> str:
    return names[(names.index(than) + 5) % len(names)]


def named(kind: str, color: str, names_color: bool = True) -> Thing:
    return Thing(kind, color, "", 0.5, 0.5, 0.2, names_color)


def found(kind: str, color: str, cx: float = 0.5, score: float = 0.9) -> Found:
    return Found(kind, color, cx, 0.5, 0.2, score)


# What pictures show


def test_finds_what_was_drawn(checker: Checker) -> None:
    scenes = list(islice(held_out_scenes(seed=11), 60))
    verdicts = look(checker, *scenes)
    places = [
        place for scene, verdict in zip(scenes, verdicts, strict=True) for place in locate(scene, verdict)
    ]
    assert sum(place is not None for place in places) >= 0.98 * len(places)
    assert sum(len(verdict.things) for verdict in verdicts) <= len(places) + 2
    assert all(s.background == v.background for s, v in zip(scenes, verdicts, strict=True))


def test_finds_what_thumbnails_show(checker: Checker) -> None:
    scenes = list(islice(held_out_scenes(seed=12), 40))
    verdicts = checker(thumbnails(torch.stack([to_tensor(scene) for scene in scenes])))
    places = [
        place for scene, verdict in zip(scenes, verdicts, strict=True) for place in locate(scene, verdict)
    ]
    assert sum(place is not None for place in places) >= 0.95 * len(places)


@pytest.mark.parametrize("field", ["color", "kind"])
def test_a_changed_thing_is_not_the_named_one(checker: Checker, field: str) -> None:
    scenes = [s for s in islice(held_out_scenes(seed=13), 40) if all(t.names_color for t in s.things)]
    changed = []
    for scene in scenes:
        names = list(COLORS if field == "color" else KINDS)
        value = other(names, getattr(scene.things[0], field))
        if (value, scene.background) not in HIDDEN and value not in {t.kind for t in scene.things}:
            changed.append((scene, recaption(scene, 0, **{field: value})))
    assert len(changed) > 10
    for (scene, drawn), verdict in zip(changed, look(checker, *(d for _, d in changed)), strict=True):
        assert match(scene.things, verdict)[0] is None
        assert match(drawn.things, verdict)[0] is not None


def test_a_missing_thing_is_not_found(checker: Checker) -> None:
    scenes = [scene for scene in islice(held_out_scenes(seed=14), 30) if len(scene.things) > 1]
    without = [Scene(s.things[1:], s.background, tuple(range(len(s.things) - 1)), s.seed) for s in scenes]
    for scene, verdict in zip(scenes, look(checker, *without), strict=True):
        assert match(scene.things, verdict)[0] is None


def test_an_empty_background_shows_nothing(checker: Checker) -> None:
    empty = [Scene((), background, (), seed) for background in BACKGROUNDS for seed in (1, 2)]
    for scene, verdict in zip(empty, look(checker, *empty), strict=True):
        assert verdict == Verdict((), scene.background)


def test_other_sizes(checker: Checker) -> None:
    """Two pictures side by side are one of 384 × 192 with the same contents in its halves."""
    left = Scene((Thing("house", "yellow", "", 0.5, 0.5, 0.22),), "sky", (0,), 1)
    right = Scene((Thing("fish", "red", "", 0.5, 0.5, 0.22),), "sky", (0,), 1)
    wide = torch.cat([to_tensor(left, 192), to_tensor(right, 192)], dim=2)[None]
    things = sorted(checker(wide)[0].things, key=lambda thing: thing.cx)
    assert [(t.color, t.kind) for t in things] == [("yellow", "house"), ("red", "fish")]
    for thing, cx in zip(things, (0.25, 0.75), strict=True):
        assert thing.cx == pytest.approx(cx, abs=0.02)
        assert thing.cy == pytest.approx(0.5, abs=0.02)
        assert thing.r == pytest.approx(0.22, rel=0.15)


@pytest.mark.parametrize("shape", [(3, 256, 256), (1, 3, 250, 256), (1, 4, 256, 256)])
def test_a_wrong_shape_is_refused(checker: Checker, shape: tuple[int, ...]) -> None:
    with pytest.raises(P2PError, match="multiples of 16"):
        checker(torch.zeros(shape))


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(P2PError, match=r"gone\.safetensors"):
        Checker.load(tmp_path / "gone.safetensors")


# Comparing with a caption


def test_match_gives_a_found_thing_once() -> None:
    star = found("star", "red")
    assert match([named("star", "red")] * 2, Verdict((star,), "sky")) == (star, None)


def test_match_leaves_the_coloured_thing_to_who_needs_it() -> None:
    red, blue = found("star", "red"), found("star", "blue", score=0.7)
    any_star = named("star", "green", names_color=False)
    assert match([any_star, named("star", "red")], Verdict((red, blue), "sky")) == (blue, red)


def test_match_judges_color_only_where_named() -> None:
    verdict = Verdict((found("star", "red"),), "sky")
    assert match([named("star", "blue")], verdict) == (None,)
    assert match([named("star", "blue")], verdict, colors=False) == verdict.things
    assert match([named("star", "blue", names_color=False)], verdict) == verdict.things
    assert match([], verdict) == ()


def test_doubles_are_dropped() -> None:
    sure, double, apart = found("star", "red"), found("heart", "red", 0.55, 0.6), found("star", "red", 0.8)
    assert without_doubles([double, sure, apart]) == (sure, apart)
