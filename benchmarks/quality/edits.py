"""Edits with known ground truth, drawn from a seed: a scene, its expected result, the thing that changes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from demo.world.scenes import BACKGROUNDS, COLORS, HIDDEN, KINDS, Scene, Thing, random_scene, recaption
from p2p_core.words.weights import WordWeight

AWAY = (0.0, -1.0)  # weights that remove what a word says from the picture


@dataclass(frozen=True)
class Edit:
    """One edit. `target` has the layout of `source`; only the words differ.

    index: the thing of `source` that changes, None if the background does.
    thing: its replacement in `target`, None if it is removed (or if the background changes).
    blend: the words for local blend, of the source prompt and of the edit prompt.
    """

    type: str
    source: Scene
    target: Scene
    index: int | None = None
    thing: Thing | None = None
    weights: tuple[WordWeight, ...] = ()
    blend: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    @property
    def texts(self) -> tuple[str, str]:
        """Source prompt and edit prompt, which are the same for re-weighting."""
        return self.source.caption, self.source.caption if self.weights else self.target.caption


def draw_edit(type_name: str, rng: random.Random) -> Edit:
    """A random edit of a type: tries scenes until one allows it."""
    while True:
        edit = TYPES[type_name](random_scene(rng), rng)
        if edit is not None:
            return replace(edit, type=type_name)


def _object(scene: Scene, rng: random.Random) -> Edit | None:
    return _other_kind(scene, rng, lambda old, new: _words(old) == _words(new) == 1)


def _unequal_object(scene: Scene, rng: random.Random) -> Edit | None:
    return _other_kind(scene, rng, lambda old, new: _words(old) != _words(new))


def _other_kind(scene: Scene, rng: random.Random, fits: Callable[[str, str], bool]) -> Edit | None:
    index = rng.randrange(len(scene.things))
    old = scene.things[index].kind
    taken = [thing.kind for i, thing in enumerate(scene.things) if i != index]
    kinds = [new for new in KINDS if new != old and fits(old, new) and not _confused([*taken, new])]
    return _changed(scene, index, kind=rng.choice(kinds)) if kinds and not _confused([*taken, old]) else None


def _color(scene: Scene, rng: random.Random) -> Edit | None:
    index = rng.randrange(len(scene.things))
    thing = scene.things[index]
    return _changed(scene, index, color=_new_color(scene, index, rng)) if thing.names_color else None


def _added_color(scene: Scene, rng: random.Random) -> Edit | None:
    index = rng.randrange(len(scene.things))
    plain = recaption(scene, index, names_color=False)
    return _changed(plain, index, color=_new_color(scene, index, rng), names_color=True)


def _new_color(scene: Scene, index: int, rng: random.Random) -> str:
    return rng.choice([c for c in COLORS if c != scene.things[index].color and not _hidden(c, scene)])


def _changed(scene: Scene, index: int, **changes: object) -> Edit | None:
    """A thing changed in place. Local blend gets the kinds, because they name the whole thing."""
    target = recaption(scene, index, **changes)
    old, new = scene.things[index], target.things[index]
    if _confused([thing.kind for thing in scene.things]):
        return None
    return Edit("", scene, target, index, new, blend=((old.kind,), (new.kind,)))


def _removal(scene: Scene, rng: random.Random) -> Edit | None:
    index = rng.randrange(len(scene.things))
    if len(scene.things) < 2 or _confused([thing.kind for thing in scene.things]):
        return None
    order = tuple(i - (i > index) for i in scene.order if i != index)
    target = replace(scene, things=scene.things[:index] + scene.things[index + 1 :], order=order)
    return Edit("", scene, target, index, blend=((scene.things[index].kind,), ()))


def _weight(scene: Scene, rng: random.Random) -> Edit | None:
    """All words of a thing weighted down: it need not disappear, but must no longer be what they say."""
    edit = _removal(scene, rng)
    if edit is None or edit.index is None:
        return None
    thing = scene.things[edit.index]
    words = thing.phrase.split(" ", 1)[1]
    weights = (WordWeight(words, rng.choice(AWAY)),)
    return replace(edit, weights=weights, blend=((thing.kind,), (thing.kind,)))


def _background(scene: Scene, rng: random.Random) -> Edit | None:
    return _other_background(scene, rng, lambda old, new: _words(old) == _words(new) > 0)


def _unequal_background(scene: Scene, rng: random.Random) -> Edit | None:
    return _other_background(scene, rng, lambda old, new: 0 < _words(old) != _words(new) > 0)


def _added_background(scene: Scene, rng: random.Random) -> Edit | None:
    return _other_background(scene, rng, lambda old, new: _words(old) == 0 < _words(new))


def _other_background(scene: Scene, rng: random.Random, fits: Callable[[str, str], bool]) -> Edit | None:
    names = [
        name
        for name in BACKGROUNDS
        if name != scene.background
        and fits(BACKGROUNDS[scene.background], BACKGROUNDS[name])
        and not any((thing.color, name) in HIDDEN for thing in scene.things)
    ]
    return Edit("", scene, replace(scene, background=rng.choice(names))) if names else None


def _hidden(color: str, scene: Scene) -> bool:
    return (color, scene.background) in HIDDEN


def _words(text: str) -> int:
    return len(text.split())


def _confused(kinds: Sequence[str]) -> bool:
    """Whether one kind's name is part of another's, so that a word would be ambiguous."""
    return len(set(kinds)) < len(kinds) or {"tree", "fir tree"} <= set(kinds)


TYPES: dict[str, Callable[[Scene, random.Random], Edit | None]] = {
    "object swap": _object,
    "colour swap": _color,
    "background swap": _background,
    "unequal swap, object": _unequal_object,
    "unequal swap, background": _unequal_background,
    "refine, colour added": _added_color,
    "refine, background added": _added_background,
    "removal": _removal,
    "re-weight": _weight,
}
