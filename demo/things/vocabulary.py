"""The words of the world: kinds of things, their colors and sizes, places, weather and styles.

Every table maps a name to what captions and drawing need. A table's order is the index used in tensors.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of thing.

    code: its picture's file name. looks: the colors or toppings it comes in; () keeps its own.
    floats: whether it may hang in the air instead of standing on the ground.
    """

    code: str
    looks: tuple[str, ...] = ()
    floats: bool = False


@dataclass(frozen=True)
class Paint:
    """Hue 0..1, and the saturation and value that the brightest parts of a painted thing get."""

    hue: float
    saturation: float
    value: float


COLORS: dict[str, Paint] = {
    "red": Paint(0.99, 0.85, 0.92),
    "orange": Paint(0.075, 0.90, 1.0),
    "yellow": Paint(0.14, 0.85, 1.0),
    "green": Paint(0.36, 0.75, 0.75),
    "blue": Paint(0.60, 0.80, 0.95),
    "purple": Paint(0.76, 0.65, 0.75),
    "pink": Paint(0.91, 0.50, 1.0),
}
TOPPINGS: dict[str, str] = {"lemon": "1f34b", "apple": "1f34e", "strawberry": "1f353"}  # on a cake
LOOKS: tuple[str, ...] = (*COLORS, *TOPPINGS)

_ALL = tuple(COLORS)
KINDS: dict[str, Kind] = {
    "cat": Kind("1f431"),
    "dog": Kind("1f436"),
    "lion": Kind("1f981"),
    "tiger": Kind("1f405"),
    "fox": Kind("1f98a"),
    "bear": Kind("1f43b"),
    "panda": Kind("1f43c"),
    "rabbit": Kind("1f407"),
    "owl": Kind("1f989"),
    "penguin": Kind("1f427"),
    "turtle": Kind("1f422"),
    "frog": Kind("1f438"),
    "elephant": Kind("1f418"),
    "horse": Kind("1f40e"),
    "fish": Kind("1f420", ("red", "green", "blue", "purple", "pink"), floats=True),
    "butterfly": Kind("1f98b", _ALL, floats=True),
    "dinosaur": Kind("1f996", ("red", "orange", "green", "blue", "purple")),
    "apple": Kind("1f34e", ("red", "yellow", "green")),
    "lemon": Kind("1f34b"),
    "orange": Kind("1f34a"),
    "cake": Kind("1f382", tuple(TOPPINGS)),
    "pizza": Kind("1f355"),
    "burger": Kind("1f354"),
    "car": Kind("1f697", _ALL),
    "bus": Kind("1f68c"),
    "bicycle": Kind("1f6b2"),
    "rocket": Kind("1f680", floats=True),
    "house": Kind("1f3e0", _ALL),
    "castle": Kind("1f3f0"),
    "tree": Kind("1f333"),
    "fir tree": Kind("1f332"),
    "cactus": Kind("1f335"),
    "sunflower": Kind("1f33b"),
    "rose": Kind("1f339", ("red", "orange", "yellow", "purple", "pink")),
    "mushroom": Kind("1f344", ("red", "orange", "green", "blue", "purple")),
    "football": Kind("26bd", floats=True),
    "guitar": Kind("1f3b8", _ALL),
    "umbrella": Kind("2602", _ALL),
    "balloon": Kind("1f388", _ALL, floats=True),
    "star": Kind("2b50", floats=True),
    "hat": Kind("1f452", _ALL),
    "cup": Kind("2615"),
    "snowman": Kind("26c4"),
    "robot": Kind("1f916"),
}

PLACES: dict[str, str] = {
    "plain": "",
    "sky": "in the sky",
    "beach": "on the beach",
    "meadow": "in a meadow",
    "forest": "in a forest",
    "snow": "in the snow",
    "night": "at night",
    "brick": "in front of a brick wall",
    "table": "on a wooden table",
    "sea": "under water",
    "sunset": "at sunset",
}
FOG = "in the fog"
STYLES: dict[str, str] = {
    "render": "",
    "watercolor": "a watercolor of",
    "pencil": "a pencil drawing of",
    "pixel": "pixel art of",
}
FOGGY = ("beach", "meadow", "forest", "night", "sunset")  # places that fog may lie on
SMALL, LARGE = "small", "large"
JOINTS = ("and", "with", "next to")
OTHER_WORDS = ("a", "an", "a picture of", ",", ".", "the", "one", "two", "three")
