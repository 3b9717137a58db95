"""The picture pairs of `make demo`: what is swapped, the two prompts, the seed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoPair:
    """Two prompts and the seed of their common noise; the windows end at these parts of the sampling."""

    name: str
    title: str
    source: str
    edit: str
    seed: int
    cross_end: float = 0.8
    self_end: float = 0.4


PAIRS = (
    DemoPair("object", "object swap", "an orange circle in the sky", "an orange house in the sky", 6),
    DemoPair(
        "object_of_two",
        "object swap, one of two",
        "a red circle and a blue star on grass",
        "a red house and a blue star on grass",
        28,
    ),
    DemoPair("color", "colour swap", "a red house in the sky", "a blue house in the sky", 5),
    DemoPair("color_star", "colour swap", "a yellow star at night", "a pink star at night", 3),
    DemoPair("background", "background swap", "a blue fish on sand", "a blue fish on snow", 5),
    DemoPair(
        "words",
        "another number of words",
        "a green tree in the sky",
        "a green tree on a brick wall",
        1,
    ),
    DemoPair("water", "another number of words", "a yellow star in the sky", "a yellow star in water", 5),
)
