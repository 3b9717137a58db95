"""Pictures of maps: colours, overlays, labelled pages."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont
from prompts_of import tries
from torch import Tensor

from p2p_core.errors import P2PError
from p2p_core.pictures.colours import heat_colours, overlay
from p2p_core.pictures.drawing import PAPER, Style, draw
from p2p_core.pictures.sheets import Line, Sheet, Tile

TOP, BOTTOM = heat_colours(torch.tensor([1.0, 0.0]))


def sheet_of(
    *maps: Tensor | None, latent: tuple[int, int] = (4, 4), samples: int = 1, **kwargs: str
) -> Sheet:
    """A line with these maps in each sample."""
    label, heading = kwargs.get("label", "cat"), kwargs.get("heading", "source: a cat")
    tiles = tuple(Tile(label, m, "" if m is not None else "not in this prompt") for m in maps)
    lines = [Line(heading, sample, tiles) for sample in range(samples)]
    return Sheet(tuple((line,) for line in lines), latent, samples)


def spot(h: int, w: int, y: int, x: int, value: float = 1.0) -> Tensor:
    """0 except for one cell."""
    return value * torch.zeros(h, w).index_put((torch.tensor(y), torch.tensor(x)), torch.tensor(1.0))


def tile(picture: Tensor, style: Style, n: int = 0, size: tuple[int, int] | None = None) -> Tensor:
    """The n-th tile of the first line, [h, w, 3]."""
    h, w = size or (style.tile, style.tile)
    top, left = style.gap + 2 * style.text, style.gap + n * (w + style.gap)
    return picture[top : top + h, left : left + w]


def under(picture: Tensor, style: Style, n: int = 0, size: tuple[int, int] | None = None) -> Tensor:
    """The label below it."""
    h, w = size or (style.tile, style.tile)
    top, left = style.gap + 2 * style.text + h, style.gap + n * (w + style.gap)
    return picture[top : top + 2 * style.text, left : left + w]


def blank(part: Tensor) -> bool:
    return bool((part == torch.tensor(PAPER) / 255).all())


# Colours


def lightness(colours: Tensor) -> Tensor:
    """CIE L* of sRGB colours, 0..100."""
    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    y = linear.double() @ torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.double)
    return torch.where(y > 216 / 24389, 116 * y ** (1 / 3) - 16, y * 24389 / 27)


def test_heat_grows_lighter_evenly() -> None:
    light = lightness(heat_colours(torch.linspace(0, 1, 400)))
    assert (light.diff() > 0).all()
    assert light[0] < 1 and light[-1] > 97
    assert (light - torch.linspace(float(light[0]), float(light[-1]), 400)).abs().max() < 6


def test_heat_colours_keep_the_shape_and_hold_at_the_ends() -> None:
    assert heat_colours(torch.rand(2, 3, 4)).shape == (2, 3, 4, 3)
    assert torch.equal(heat_colours(torch.tensor([-1.0, 2.0])), torch.stack([BOTTOM, TOP]))


# Overlays


def test_opacity_0_is_the_picture_and_1_the_heat() -> None:
    pictures, maps = torch.rand(2, 24, 36, 3), torch.rand(2, 1, 4, 6) / 9
    heat = overlay(torch.zeros_like(pictures), maps, 1.0)
    assert torch.equal(overlay(pictures, maps, 0.0), pictures)
    assert torch.equal(overlay(pictures, maps, 1.0), heat)
    assert torch.allclose(overlay(pictures, maps, 0.25), 0.75 * pictures + 0.25 * heat, atol=1e-6)


def test_heat_lies_where_the_map_is_hot() -> None:
    heat = overlay(torch.zeros(1, 40, 60, 3), spot(4, 6, 1, 4, 0.01)[None, None], 1.0).sum(-1)[0]
    y, x = divmod(int(heat.argmax()), 60)
    assert (y // 10, x // 10) == (1, 4)


def test_overlays_are_all_maps_of_a_picture_then_those_of_the_next() -> None:
    pictures, maps = torch.rand(2, 8, 8, 3), torch.rand(2, 3, 4, 4)
    each = [overlay(pictures[i : i + 1], maps[i, n][None, None], 0.5) for i in range(2) for n in range(3)]
    assert torch.equal(overlay(pictures, maps, 0.5), torch.cat(each))


def test_an_overlay_takes_a_picture_for_each_row_or_one_for_all() -> None:
    pictures, maps = torch.rand(3, 8, 8, 3), torch.rand(3, 1, 4, 4)
    assert torch.equal(
        overlay(pictures[:1], maps, 0.5), overlay(pictures[:1].expand(3, -1, -1, -1), maps, 0.5)
    )
    for bad in (pictures[:2], torch.rand(3, 8, 8, 4), pictures[0], torch.full_like(pictures, torch.inf)):
        with pytest.raises(P2PError):
            overlay(bad, maps, 0.5)


def test_more_overlays_than_64_megapixels_are_refused_before_they_are_drawn() -> None:
    picture = torch.zeros(1, 1, 1, 3).expand(1, 1024, 1024, 3)
    with pytest.raises(P2PError) as error:
        overlay(picture, torch.rand(1, 1, 4, 4).expand(2, 33, 4, 4), 0.5)
    assert error.value.expected == "at most 805.3 MB at once"
    assert error.value.got == "66 images of 1024 × 1024: 830.5 MB"


@pytest.mark.parametrize("opacity", [-0.1, 1.5, float("nan")])
def test_an_opacity_outside_0_to_1_is_refused(opacity: float) -> None:
    with pytest.raises(P2PError, match="an opacity within"):
        overlay(torch.rand(1, 8, 8, 3), torch.rand(1, 1, 4, 4), opacity)
    with pytest.raises(P2PError, match="an opacity within"):
        Style(opacity=opacity)


# Pages


def test_a_tile_is_hot_where_its_map_is_and_as_cold_as_can_be_elsewhere() -> None:
    style = Style(tile=128)
    drawn = tile(draw(sheet_of(spot(4, 4, 2, 1, 0.003)), style=style)[0], style)
    y, x = divmod(int(drawn.sum(-1).argmax()), 128)
    assert (y // 32, x // 32) == (2, 1)
    assert torch.allclose(drawn[y, x], TOP, atol=0.05)
    assert torch.allclose(drawn[0, -1], BOTTOM, atol=1 / 255)


@pytest.mark.parametrize("one_scale", [False, True])
@pytest.mark.parametrize("value", [0.0, -0.2])
def test_a_map_without_attention_is_drawn_in_the_lowest_colour(value: float, one_scale: bool) -> None:
    style = Style(one_scale=one_scale)
    drawn = tile(draw(sheet_of(torch.full((4, 4), value)), style=style)[0], style)
    assert torch.allclose(drawn, BOTTOM.expand_as(drawn), atol=1 / 255)


def test_maps_are_relative_to_themselves_or_to_all_of_the_sheet() -> None:
    sheet = sheet_of(torch.full((4, 4), 0.5), torch.full((4, 4), 0.1))
    own, shared = Style(tile=64), Style(tile=64, one_scale=True)
    for n in range(2):
        assert torch.allclose(tile(draw(sheet, style=own)[0], own, n).mean((0, 1)), TOP, atol=0.01)
    first, second = (tile(draw(sheet, style=shared)[0], shared, n).mean((0, 1)) for n in range(2))
    assert torch.allclose(first, TOP, atol=0.01)
    assert torch.allclose(second, heat_colours(torch.tensor(0.2)), atol=0.01)


def test_a_tile_has_the_shape_of_the_latent() -> None:
    style, size = Style(tile=120), (40, 120)
    drawn = draw(sheet_of(torch.ones(2, 6), latent=(16, 48)), style=style)[0]
    assert drawn.shape[1] == 120 + 2 * style.gap
    inside = tile(drawn, style, size=size)
    assert torch.allclose(inside, TOP.expand_as(inside), atol=0.01)
    assert blank(drawn[:, : style.gap]) and blank(drawn[-style.gap :])


def test_the_heading_and_the_labels_are_written() -> None:
    style = Style()
    drawn = draw(sheet_of(torch.ones(4, 4), None), style=style)[0]
    assert not blank(drawn[style.gap : style.gap + 2 * style.text])
    label = under(drawn, style)
    assert not blank(label[:, : style.tile // 3])
    assert not blank(label[:, -style.tile // 3 :]), "the maximum at its right"
    assert blank(under(draw(sheet_of(None, label=""), style=style)[0], style))


def test_a_tile_without_a_map_says_why() -> None:
    style = Style()
    drawn = tile(draw(sheet_of(torch.ones(4, 4), None), style=style)[0], style, 1)
    ground = drawn[0, 0]
    written = (drawn != ground).any(-1)
    assert written.any() and written.float().mean() < 0.1
    assert not torch.equal(ground, torch.ones(3)) and not torch.equal(ground, BOTTOM)


def test_components_are_grey_as_they_are() -> None:
    values = torch.tensor([[0.25]])
    lines = (Line("source", 0, (Tile("component 1", values),)),)
    style = Style()
    drawn = draw(Sheet((lines,), (4, 4), 1, heat=False), style=style)[0]
    assert torch.allclose(tile(drawn, style), torch.tensor(0.25), atol=1 / 255)
    assert blank(under(drawn, style)[:, -style.tile // 3 :]), "no maximum"


def test_samples_are_pictures_of_a_batch_as_float32() -> None:
    drawn = draw(sheet_of(torch.rand(4, 4), samples=3), style=Style(tile=40))
    assert drawn.dtype == torch.float32 and drawn.shape[0] == 3 and drawn.shape[-1] == 3
    assert drawn.min() >= 0 and drawn.max() <= 1


@pytest.mark.parametrize(("tiles", "across", "down"), [(1, 1, 1), (8, 8, 1), (9, 5, 2), (20, 7, 3)])
def test_long_lines_go_on_below_in_equal_shares(tiles: int, across: int, down: int) -> None:
    style = Style(tile=40)
    drawn = draw(sheet_of(*[torch.ones(4, 4)] * tiles), style=style)[0]
    assert drawn.shape[1] == style.gap + across * (40 + style.gap)
    assert drawn.shape[0] == 2 * style.gap + 2 * style.text + down * (40 + 2 * style.text)


# Pictures in a page


@pytest.mark.parametrize("opacity", [0.0, 0.5, 1.0])
def test_a_picture_comes_first_and_lies_under_the_heat(opacity: float) -> None:
    style = Style(tile=64, opacity=opacity)
    picture = torch.tensor([0.2, 0.6, 0.4]).expand(1, 64, 64, 3)
    drawn = draw(sheet_of(torch.full((4, 4), 0.1)), picture, style)[0]
    assert torch.allclose(tile(drawn, style), picture[0], atol=1 / 255)
    expected = torch.lerp(picture[0], TOP.expand(64, 64, 3), opacity)
    assert torch.allclose(tile(drawn, style, 1), expected, atol=2 / 255)


def test_each_row_has_its_picture_or_all_the_one() -> None:
    style = Style(tile=32)
    pictures = torch.linspace(0.1, 0.8, 3)[:, None, None, None].expand(3, 48, 48, 3)
    sheet = sheet_of(torch.rand(4, 4), samples=3)
    for drawn, picture in zip(draw(sheet, pictures, style), pictures, strict=True):
        assert torch.allclose(tile(drawn, style), picture[0, 0], atol=1 / 255)
    for drawn in draw(sheet, pictures[1:2], style):
        assert torch.allclose(tile(drawn, style), pictures[1, 0, 0], atol=1 / 255)


@pytest.mark.parametrize(
    ("pictures", "got"),
    [
        (torch.rand(2, 32, 32, 3), "images of shape"),
        (torch.rand(3, 32, 32, 4), "images of shape"),
        (torch.rand(32, 32, 3), "images of shape"),
        (torch.rand(3, 32, 48, 3), "48 × 32"),
        (torch.full((1, 32, 32, 3), torch.nan), "NaN"),
    ],
)
def test_pictures_of_another_run_are_refused(pictures: Tensor, got: str) -> None:
    with pytest.raises(P2PError) as error:
        draw(sheet_of(torch.rand(4, 4), samples=3), pictures)
    assert got in error.value.got


# Text


@pytest.fixture(params=["as installed", "one size only", "without FreeType"])
def fonts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's font now, before 10.1, and without FreeType."""
    small = ImageFont.load_default_imagefont()

    def before_10_1() -> ImageFont.ImageFont:
        return small

    def without_freetype(size: float | None = None) -> ImageFont.ImageFont:
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return small

    replaced = {"one size only": before_10_1, "without FreeType": without_freetype}
    if request.param in replaced:
        monkeypatch.setattr(ImageFont, "load_default", replaced[request.param])


@pytest.mark.parametrize(
    "text", ["cat", "café", "猫", "😀 cat", "a\nb\x00", "\ud800", "", "…", "שלום", "i" * 9999]
)
def test_any_text_can_be_written(fonts: None, text: str) -> None:
    style, heat = Style(tile=64), torch.rand(4, 4)
    drawn, without = (draw(sheet_of(heat, label=t, heading=t), style=style)[0] for t in (text, ""))
    assert torch.equal(tile(drawn, style), tile(without, style))


@tries(40)
@given(st.text(max_size=40), st.integers(32, 70))
def test_no_text_leaves_the_width_of_its_tile(text: str, side: int) -> None:
    style = Style(tile=side, across=1)
    drawn = draw(sheet_of(torch.rand(4, 4), label=text, heading=text), style=style)[0]
    assert blank(drawn[:, -style.gap // 2 :])


def labelled(text: str, side: int = 64) -> Tensor:
    """What is drawn under a tile with this label, and without a number beside it."""
    style, sheet = Style(tile=side), replace(sheet_of(torch.ones(4, 4), label=text), heat=False)
    return under(draw(sheet, style=style)[0], style)


def test_a_word_is_cut_where_it_has_no_room_and_ends_in_dots() -> None:
    word = "incomprehensibilities"
    long = labelled(word)

    def shortest(end: str) -> int:
        """The letters of the shortest beginning that looks like the word with this end."""
        return next(n for n in range(1, 99) if torch.equal(labelled(word[:n] + end), long))

    assert 3 < shortest("...") < shortest("") < len(word)
    assert not torch.equal(labelled("cat"), labelled("ca..."))


def test_accents_are_left_out_rather_than_the_letters() -> None:
    assert torch.equal(labelled("Crème  brûlée – 2 × 3", 512), labelled("Creme brulee - 2 x 3", 512))
    assert not torch.equal(labelled("Crème", 512), labelled("Crme", 512))


# Bad input


def test_pages_that_would_be_too_large_are_refused() -> None:
    with pytest.raises(P2PError, match=r"at most 805\.3 MB at once"):
        draw(sheet_of(*[torch.rand(4, 4)] * 70), style=Style(tile=1024))


@pytest.mark.parametrize(("tile", "across"), [(31, 8), (0, 8), (64, 0)])
def test_tiles_too_small_to_read_are_refused(tile: int, across: int) -> None:
    with pytest.raises(P2PError, match="tiles of at least 32 pixels"):
        Style(tile=tile, across=across)
