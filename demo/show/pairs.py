"""The edits of `make demo`: titles, prompts and seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class DemoPair:
    """A source prompt, its edits, the seed of their common noise, and the ends of the windows.

    weights: as in Reweight. blend: words of the source and of the edit for Local Blend.
    """

    name: str
    title: str
    source: str
    edits: tuple[str, ...]
    seed: int
    cross_end: float = 0.4
    self_end: float = 0.6
    weights: str = ""
    blend: tuple[str, str] | None = None


@dataclass(frozen=True)
class DemoMaps:
    """A prompt, the words whose attention maps are drawn, and the seed of its noise."""

    source: str
    words: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Drawn:
    """The pictures of a pair, from the same noise; alone: the first edit's prompt without control."""

    source: Image.Image
    alone: Image.Image
    edits: tuple[Image.Image, ...]


@dataclass(frozen=True)
class Artist:
    """A host that draws the demo's pictures."""

    pair: Callable[[DemoPair], Drawn]
    maps: Callable[[DemoMaps], Image.Image]


MAPS = DemoMaps("a red circle and a blue star on grass", ("circle", "star", "grass"), 6)
PAIRS = (
    DemoPair("object", "object swap", "an orange circle in the sky", ("an orange house in the sky",), 6),
    DemoPair(
        "object_of_two",
        "object swap, one of two",
        "a red circle and a blue star on grass",
        ("a red house and a blue star on grass",),
        6,
    ),
    DemoPair("color", "colour swap", "a red house in the sky", ("a blue house in the sky",), 5),
    DemoPair("background", "background swap", "a blue fish on sand", ("a blue fish on snow",), 2),
    DemoPair(
        "words",
        "another number of words",
        "a green tree in the sky",
        ("a green tree on a brick wall",),
        3,
    ),
    DemoPair("refine", "added word", "a house on sand", ("a purple house on sand",), 10),
    DemoPair(
        "removal", "removed words", "a red circle and a blue star on grass", ("a blue star on grass",), 6
    ),
    DemoPair(
        "reweight",
        "re-weighted word",
        "a blue house on sand",
        ("a blue house on sand", "a blue house on sand"),
        0,
        weights="blue: 3\n---\nblue: -1",
    ),
    DemoPair(
        "local_blend",
        "local blend",
        "a red circle and a blue star on grass",
        ("a red house and a blue star on grass",),
        6,
        blend=("circle", "house"),
    ),
    DemoPair(
        "several",
        "several edits of one picture",
        "a red house in the sky",
        ("a blue house in the sky", "a red fish in the sky", "a red house at night"),
        5,
    ),
)
