"""Captions of varied form, written as tensors of words so that a whole batch costs a few look-ups.

"a cat next to a red car on the beach", "in the snow, a panda", "a watercolor of a small owl and a tree".
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor

from .layout import SLOTS, Layout
from .sprites import NO_LOOK, SIZES, Sprites
from .vocabulary import (
    COLORS,
    FOG,
    JOINTS,
    KINDS,
    LARGE,
    LOOKS,
    OTHER_WORDS,
    PLACES,
    SMALL,
    STYLES,
)

NAMED_LOOK, NAMED_SIZE = 0.85, 0.35  # share of looks, and of extreme sizes, that the caption names
PLACE_FIRST, PICTURE_OF = 0.12, 0.06
NONE = -1
_TEXTS = (
    *KINDS,
    *LOOKS,
    *COLORS,
    *PLACES.values(),
    FOG,
    *STYLES.values(),
    SMALL,
    LARGE,
    *JOINTS,
    *OTHER_WORDS,
)
WORDS: tuple[str, ...] = tuple(sorted({word for text in _TEXTS for word in text.split()}))


def captions(layout: Layout, sprites: Sprites, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Words [B, L]: indices into WORDS, NONE after a caption's end. Named [B, 3]: whose looks are in it."""
    write = _Writer(layout, sprites, generator)
    prefix = write.style()
    place_first = write.chance(PLACE_FIRST) & (layout.place > 0) & (prefix[:, 0] == NONE)
    place = write.rows(PLACES.values(), layout.place)
    count = layout.present.sum(1)
    parts = [
        prefix,
        _only(place_first, place),
        _only(place_first, write.rows([","], torch.zeros_like(layout.place))),
    ]
    written = torch.zeros_like(count)
    named = (write.chances(NAMED_LOOK, SLOTS) & layout.present) & (sprites.looks[layout.variant] != NO_LOOK)
    for slot in range(SLOTS):
        present = layout.present[:, slot]
        parts.append(_only(present & (written > 0), write.joint(last=written + 1 == count)))
        parts.append(_only(present, write.thing(slot, named[:, slot])))
        written = written + present
    parts += [
        _only(~place_first, place),
        _only(layout.fog > 0, write.rows([FOG], torch.zeros_like(layout.place))),
    ]
    return compact(torch.cat(parts, dim=1)), named


def texts(words: Tensor) -> list[str]:
    """The captions as people read them."""
    lines = (" ".join(WORDS[i] for i in row if i != NONE) for row in words.tolist())
    return [line.replace(" ,", ",") for line in lines]


def compact(ids: Tensor) -> Tensor:
    """The values of every row that are not NONE moved to its front."""
    return ids.gather(1, (ids == NONE).int().argsort(dim=1, stable=True))


class _Writer:
    """Parts of the captions of one batch, each a tensor of words [B, l]."""

    def __init__(self, layout: Layout, sprites: Sprites, generator: torch.Generator) -> None:
        self.layout, self.sprites, self.generator = layout, sprites, generator
        vowel = [word[0] in "aeiou" for word in WORDS]
        self.article = torch.tensor([WORDS.index("an" if v else "a") for v in vowel], device=generator.device)

    def chance(self, share: float) -> Tensor:
        return self.chances(share, 1)[:, 0]

    def chances(self, share: float, count: int) -> Tensor:
        shape = len(self.layout.place), count
        return torch.rand(shape, generator=self.generator, device=self.generator.device) < share

    def rows(self, table: Iterable[str], index: Tensor) -> Tensor:
        """The words of the table's entries at these indices; NONE as index gives no words."""
        return _table((*table, ""), index.device)[index]

    def style(self) -> Tensor:
        plain = (self.layout.style == 0) & ~self.chance(PICTURE_OF)
        return self.rows(
            ["a picture of", *list(STYLES.values())[1:]], torch.where(plain, NONE, self.layout.style)
        )

    def thing(self, slot: int, named: Tensor) -> Tensor:
        """Article, size, look where it is named, and kind."""
        variant, size = self.layout.variant[:, slot].clamp(min=0), self.layout.size[:, slot]
        look = torch.where(named, self.sprites.looks[variant], NONE)
        extreme = torch.where(size == 0, 0, torch.where(size == len(SIZES) - 1, 1, NONE))
        extreme = torch.where(self.chance(NAMED_SIZE), extreme, NONE)
        words = compact(
            torch.cat(
                [
                    self.rows([SMALL, LARGE], extreme),
                    self.rows(LOOKS, look),
                    self.rows(KINDS, self.sprites.kinds[variant]),
                ],
                dim=1,
            )
        )
        return torch.cat([self.article[words[:, :1]], words], dim=1)

    def joint(self, last: Tensor) -> Tensor:
        """What stands before every thing but the first: a comma, or a joining word before the last one."""
        drawn = torch.rand(len(last), generator=self.generator, device=last.device)
        word = torch.where(drawn < 0.6, 1, torch.where(drawn < 0.8, 2, 3))
        return self.rows([",", *JOINTS], torch.where(last, word, 0))


@cache
def _table(entries: tuple[str, ...], device: torch.device) -> Tensor:
    """The words of every entry, padded with NONE, [entries, l]."""
    rows = [[WORDS.index(word) for word in text.split()] for text in entries]
    longest = max(1, *(len(row) for row in rows))
    return torch.tensor([row + [NONE] * (longest - len(row)) for row in rows], device=device)


def _only(chosen: Tensor, words: Tensor) -> Tensor:
    return torch.where(chosen[:, None], words, NONE)
