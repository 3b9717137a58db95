"""The picture pairs of `make demo`: what is swapped, the two prompts, the seed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoPair:
    name: str
    title: str
    source: str
    edit: str
    seed: int
    cross_end: float = 0.8
    self_end: float = 0.4


PAIRS = (
    DemoPair(
        "object",
        "object swap",
        "a red circle and a blue star on grass",
        "a red house and a blue star on grass",
        1,
    ),
    DemoPair(
        "object_small",
        "object swap",
        "a yellow star and a pink heart on snow",
        "a yellow star and a pink fish on snow",
        2,
    ),
    DemoPair("color", "colour swap", "a red house in the sky", "a blue house in the sky", 1),
    DemoPair(
        "color_two",
        "colour swap",
        "a purple flower and a white ring on sand",
        "an orange flower and a white ring on sand",
        3,
    ),
    DemoPair(
        "background",
        "background swap",
        "a yellow flower and a red heart on grass",
        "a yellow flower and a red heart on snow",
        1,
    ),
    DemoPair(
        "background_words",
        "another number of words",
        "a green tree and a white moon at night",
        "a green tree and a white moon on a brick wall",
        1,
    ),
    DemoPair("phrase", "another number of words", "a blue fish on sand", "a blue sailing boat on sand", 1),
)
