"""What stands where: random layouts, drawn for a whole batch at once. The layout is in no caption."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .canvas import PIXELS
from .sprites import Sprites
from .vocabulary import FOGGY, KINDS, PLACES, STYLES

SLOTS = 3
ABSENT = -1
COUNTS = (0.45, 0.40, 0.15)  # shares of pictures with one, two and three things
SIZE_RANGES = ((1, 5), (0, 4), (0, 2))  # of SIZES, for pictures with one, two and three things
STYLED = 0.06  # share of each style but the first
FOG_SHARE, FOG_RANGE = 0.15, (0.3, 0.75)
TRIES = 24
MARGIN = 4  # pixels that stay free along the border
FEET = 0.06  # how far below the ground line things stand at least, as a share of the side
GAP = 0.52  # two things' centers are apart by this share of the sum of their sides, across or down


@dataclass(frozen=True)
class Layout:
    """B scenes. place, backdrop (which variant of it), style [B]: indices. flipped [B]: backdrop mirrored.
    fog [B]: 0..1, 0 for none.

    Of up to three things each, in the order in which the caption names them, all [B, 3]:
    variant: which sprite, or ABSENT. size: index into SIZES. left, top: pixels of 256. mirrored: bool.
    shaded: whether it throws a shadow on the ground it stands on.
    """

    place: Tensor
    backdrop: Tensor
    flipped: Tensor
    style: Tensor
    fog: Tensor
    variant: Tensor
    size: Tensor
    left: Tensor
    top: Tensor
    mirrored: Tensor
    shaded: Tensor

    def __getitem__(self, chosen: Tensor) -> Layout:
        return Layout(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    @property
    def present(self) -> Tensor:
        return self.variant != ABSENT

    def boxes(self, sprites: Sprites, scale: int) -> Tensor:
        """Left, top, right and bottom in pixels of 256, [B, 3, 4]; zeros for absent things."""
        index = self.variant.clamp(min=0), self.size
        width, height = sprites.widths[index] * scale, sprites.heights[index] * scale
        box = torch.stack([self.left, self.top, self.left + width, self.top + height], dim=2)
        return box * self.present.unsqueeze(2)


def random_layouts(
    count: int, sprites: Sprites, ground: Tensor, scale: int, generator: torch.Generator
) -> Layout:
    """ground [places, variants]: as backgrounds gives it. Positions are multiples of `scale`."""
    draw = _Draw(generator)
    place, backdrop = draw.index(count, len(PLACES)), draw.index(count, ground.shape[1])
    line = ground[place, backdrop]
    number = torch.multinomial(draw.table(COUNTS), count, replacement=True, generator=generator)
    variant, size = _variants(count, sprites, draw), _sizes(number, draw)
    floats = draw.table([kind.floats for kind in KINDS.values()]).bool()[sprites.kinds[variant]]
    grounded = ~floats & (line >= 0)[:, None]
    sides = sprites.widths[variant, size] * scale, sprites.heights[variant, size] * scale
    wanted = torch.arange(SLOTS, device=line.device) <= number[:, None]
    left, top, placed = _placed(sides, torch.where(grounded, line[:, None], -1), wanted, scale, draw)
    return Layout(
        place=place,
        backdrop=backdrop,
        flipped=draw.uniform(count) < 0.5,
        style=_styles(draw.uniform(count)),
        fog=_fog(place, draw),
        variant=torch.where(placed, variant, ABSENT),
        size=size,
        left=left,
        top=top,
        mirrored=draw.uniform(count, SLOTS) < 0.5,
        shaded=grounded & placed,
    )


def _variants(count: int, sprites: Sprites, draw: _Draw) -> Tensor:
    """Of different kinds, [B, 3]."""
    kind = draw.uniform(count, len(KINDS)).topk(SLOTS, dim=1).indices
    return sprites.first[kind] + (draw.uniform(count, SLOTS) * sprites.count[kind]).long()


def _sizes(number: Tensor, draw: _Draw) -> Tensor:
    """The fewer things, the larger; [B, 3]."""
    low, high = draw.table(SIZE_RANGES)[number].unbind(1)
    return (low[:, None] + draw.uniform(len(number), SLOTS) * (high - low)[:, None]).long()


def _fog(place: Tensor, draw: _Draw) -> Tensor:
    foggy = draw.table([name in FOGGY for name in PLACES]).bool()[place]
    density = FOG_RANGE[0] + (FOG_RANGE[1] - FOG_RANGE[0]) * draw.uniform(len(place))
    return density * (foggy & (draw.uniform(len(place)) < FOG_SHARE))


def _styles(u: Tensor) -> Tensor:
    """Each style but the first for a share STYLED of the numbers, which are uniform in 0..1."""
    style = (u / STYLED).long() + 1
    return torch.where(style < len(STYLES), style, 0)


def _placed(
    sides: tuple[Tensor, Tensor], line: Tensor, wanted: Tensor, scale: int, draw: _Draw
) -> tuple[Tensor, Tensor, Tensor]:
    """Left, top and whether there was room, all [B, 3].

    sides: widths and heights. line: 0..1, below which the feet are. Both [B, 3].
    """
    wide, high = sides
    left, top = torch.zeros_like(line), torch.zeros_like(line)
    placed = torch.zeros_like(wanted)
    for i in range(SLOTS):
        w, h = wide[:, i, None], high[:, i, None]
        x = MARGIN + draw.uniform(len(line), TRIES) * (PIXELS - 2 * MARGIN - w)
        highest = torch.maximum(h + MARGIN, (line[:, i, None] + FEET) * PIXELS)
        bottom = highest + draw.uniform(len(line), TRIES) * (PIXELS - MARGIN - highest)
        x, y = (v // scale * scale for v in (x, bottom - h))
        free = torch.ones_like(x, dtype=torch.bool)
        for j in range(i):
            across = _apart(x, w, left[:, j, None], wide[:, j, None])
            down = _apart(y, h, top[:, j, None], high[:, j, None])
            free &= across | down | ~placed[:, j, None]
        first = free.int().argmax(1, keepdim=True)
        left[:, i], top[:, i] = x.gather(1, first)[:, 0], y.gather(1, first)[:, 0]
        placed[:, i] = free.gather(1, first)[:, 0] & wanted[:, i]
    return left.long(), top.long(), placed


def _apart(start: Tensor, side: Tensor, other_start: Tensor, other_side: Tensor) -> Tensor:
    """Whether two intervals have a gap between them."""
    return (start + side / 2 - other_start - other_side / 2).abs() > GAP * (side + other_side)


def held_out(layout: Layout) -> Tensor:
    """Whether a combination of things, looks and place belongs to the 2 % that training never sees, [B]."""
    things = ((layout.variant + 1) * 2654435761 % 2**31 * layout.present).sum(1)
    return (things + (layout.place + 1) * 40503) // 64 % 50 == 0


@dataclass(frozen=True)
class _Draw:
    """Random numbers on the generator's device."""

    generator: torch.Generator

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)

    def index(self, count: int, below: int) -> Tensor:
        return torch.randint(below, (count,), generator=self.generator, device=self.generator.device)

    def table(self, values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.generator.device)
