"""Edit quality: the choice of edits, their measures, sampling and reports."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.quality.edit_quality import Settings, find_candidate, run_all
from benchmarks.quality.edits import AWAY, TYPES, Edit, draw_edit
from benchmarks.quality.measures import Measured, box, measured, shows, silhouette
from benchmarks.quality.report import GROUPS, METHODS, contact_sheet, methods_table, types_table, windows_plot
from benchmarks.quality.side_by_side import Alone, Planned, sample_ways
from benchmarks.quality.ways import (
    ALONE,
    BLENDED,
    CONTESTS,
    CROSS_ENDS,
    LITERAL,
    OURS,
    SELF_ENDS,
    methods,
    plan_of,
    with_blend,
)
from benchmarks.shared.page import fill
from benchmarks.shared.plot import COLORS, ticks
from demo.diffusers_host.pipeline import DemoPipeline, load, start_noise
from demo.training.checker import Checker, Found, Verdict, to_tensor
from demo.world.scenes import HIDDEN, Scene, Thing, recaption
from p2p_core.edits.steps import TokenEdit
from p2p_core.errors import P2PError
from p2p_core.maps.blending import Blend
from p2p_core.plan import EditPlan

THINGS = [name for name in TYPES if "background" not in name]
PLACES = [name for name in TYPES if "background" in name]


def drawn(type_name: str, count: int = 60) -> list[Edit]:
    return [draw_edit(type_name, random.Random(f"{type_name}{i}")) for i in range(count)]


# The choice of edits


@pytest.mark.parametrize("type_name", TYPES)
def test_a_seed_draws_the_same_edit(type_name: str) -> None:
    assert draw_edit(type_name, random.Random(5)) == draw_edit(type_name, random.Random(5))
    assert len({edit.texts for edit in drawn(type_name)}) > 50


@pytest.mark.parametrize("type_name", TYPES)
def test_an_edit_changes_its_prompt_and_keeps_all_other_things(type_name: str) -> None:
    for edit in drawn(type_name):
        assert (edit.texts[0] == edit.texts[1]) == (type_name == "re-weight")
        others = [t for i, t in enumerate(edit.source.things) if i != edit.index]
        assert [t for t in edit.target.things if t != edit.thing] == others
        assert edit.source.caption != edit.target.caption
        for scene in (edit.source, edit.target):
            assert not any((t.color, scene.background) in HIDDEN for t in scene.things)


@pytest.mark.parametrize("type_name", THINGS)
def test_a_thing_is_changed_where_it_stands_and_its_word_says_which(type_name: str) -> None:
    for edit in drawn(type_name):
        assert edit.index is not None
        assert edit.source.background == edit.target.background
        old = edit.source.things[edit.index]
        if edit.thing is not None:
            assert edit.thing.box == old.box
        for scene, words in zip((edit.source, edit.target), edit.blend, strict=True):
            if words and not edit.weights:
                assert sum(words[0] in t.kind for t in scene.things) == 1


@pytest.mark.parametrize("type_name", PLACES)
def test_a_background_is_changed_behind_the_same_things(type_name: str) -> None:
    for edit in drawn(type_name):
        assert edit.index is None
        assert edit.source.things == edit.target.things
        assert edit.source.background != edit.target.background != "plain"
        assert (edit.source.background == "plain") == (type_name == "refine, background added")


@pytest.mark.parametrize(
    ("type_name", "longer"),
    [
        ("object swap", {0}),
        ("colour swap", {0}),
        ("background swap", {0}),
        ("unequal swap, object", {-1, 1}),
        ("unequal swap, background", {-2, -1, 1, 2}),
        ("refine, colour added", {1}),
        ("refine, background added", {2, 3, 4}),
    ],
)
def test_prompts_have_the_word_counts_of_their_type(type_name: str, longer: set[int]) -> None:
    counts = {len(e.texts[1].split()) - len(e.texts[0].split()) for e in drawn(type_name)}
    assert counts and counts <= longer


def test_a_swap_names_another_kind_or_another_colour() -> None:
    for edit in drawn("object swap") + drawn("unequal swap, object"):
        assert edit.index is not None and edit.thing is not None
        assert replace(edit.thing, kind=edit.source.things[edit.index].kind) == edit.source.things[edit.index]
    for edit in drawn("colour swap") + drawn("refine, colour added"):
        assert edit.index is not None and edit.thing is not None
        assert edit.thing.color in edit.texts[1]
        assert edit.thing.kind == edit.source.things[edit.index].kind


def test_a_removal_takes_one_thing_out_of_the_prompt() -> None:
    for edit in drawn("removal"):
        assert edit.index is not None and edit.thing is None
        assert edit.source.things[edit.index].phrase in edit.texts[0]
        assert edit.source.things[edit.index].kind not in [t.kind for t in edit.target.things]
        assert all(t.phrase in edit.texts[1] for t in edit.target.things)


def test_reweighting_weighs_the_words_of_one_thing() -> None:
    edits = drawn("re-weight")
    assert {w.weight for e in edits for w in e.weights} == set(AWAY)
    for edit in edits:
        assert edit.index is not None
        assert edit.source.things[edit.index].phrase.endswith(" " + edit.weights[0].word)


# Measures, on rendered scenes


@pytest.fixture(scope="module")
def checker() -> Checker:
    return Checker.load()


def pair(**change: Any) -> Edit:
    """A red circle and a blue star on grass; the circle is changed."""
    circle, star = Thing("circle", "red", "", 0.27, 0.3, 0.17), Thing("star", "blue", "", 0.72, 0.7, 0.17)
    source = Scene((circle, star), "grass", (0, 1), 3)
    target = recaption(source, 0, **change)
    return Edit("", source, target, 0, target.things[0])


def on(background: str) -> Edit:
    source = pair(kind="house").source
    return Edit("", source, replace(source, background=background))


def without() -> Edit:
    edit = pair(kind="house")
    return replace(edit, target=Scene(edit.source.things[1:], "grass", (0,), 3), thing=None)


def measure(checker: Checker, edit: Edit, result: Scene) -> Measured:
    """The measures of the edit if its result were the rendered scene `result`."""
    before, after = to_tensor(edit.source), to_tensor(result)
    seen, verdict = checker(torch.stack([before, after]))
    things = shows(edit, seen)
    assert things is not None
    return measured(edit, things, (before + 1) / 2, (after + 1) / 2, verdict)


@pytest.mark.parametrize("edit", [pair(kind="house"), pair(color="white"), without(), on("sand")])
def test_the_target_itself_is_a_perfect_edit(checker: Checker, edit: Edit) -> None:
    got = measure(checker, edit, edit.target)
    assert got.done and got.in_place and all(got.others)
    assert got.mae == got.mse == 0
    assert len(got.others) == len(got.shifts) == (1 if edit.index is not None else 2)
    assert max(got.shifts) < 2


@pytest.mark.parametrize("edit", [pair(kind="house"), pair(color="white"), without(), on("sand")])
def test_the_source_again_is_no_edit(checker: Checker, edit: Edit) -> None:
    got = measure(checker, edit, edit.source)
    assert not got.done and not got.in_place and all(got.others)


def test_an_edit_elsewhere_is_done_but_not_in_place(checker: Checker) -> None:
    edit = pair(kind="house")
    got = measure(checker, edit, recaption(edit.target, 0, cx=0.72, cy=0.25))
    assert got.done and not got.in_place and got.mae > 1


def test_a_kind_without_its_colour_is_not_done(checker: Checker) -> None:
    edit = pair(kind="house")
    assert not measure(checker, edit, recaption(edit.target, 0, color="white")).done


def test_removal_is_not_in_place_while_something_stands_there(checker: Checker) -> None:
    edit = without()
    got = measure(checker, edit, recaption(edit.source, 0, kind="heart"))
    assert got.done and not got.in_place


def test_reweighting_is_done_when_the_thing_is_another(checker: Checker) -> None:
    edit = replace(without(), weights=draw_edit("re-weight", random.Random(1)).weights)
    got = measure(checker, edit, recaption(edit.source, 0, color="white"))
    assert got.done and got.in_place


@pytest.mark.parametrize(
    ("change", "shifted"), [({"color": "white"}, 0), ({"cx": 0.5}, 256 * 0.22), ({"kind": "moon"}, None)]
)
def test_another_thing_that_changes_is_not_kept(
    checker: Checker, change: dict[str, Any], shifted: float | None
) -> None:
    edit = pair(kind="house")
    got = measure(checker, edit, recaption(edit.target, 1, **change))
    assert got.done and got.others == (False,) and got.mae > 0.5
    assert got.shifts == (() if shifted is None else pytest.approx((shifted,), abs=2))


def test_the_mean_error_is_that_of_the_pixels_outside_the_box() -> None:
    edit, grey = pair(kind="house"), torch.full((3, 64, 64), 0.5)
    things = tuple(Found(t.kind, t.color, t.cx, t.cy, t.r, 0.9) for t in edit.source.things)
    inside = box(things[0], 64)
    reach = 0.17 * 1.17 + 1 / 16
    assert float(inside.float().mean()) == pytest.approx((2 * reach) ** 2, rel=0.1)
    got = measured(edit, things, grey, torch.where(inside, 1.0, grey + 10 / 255), Verdict(things, "grass"))
    assert got.mae == pytest.approx(10, abs=1e-3)
    assert got.mse == pytest.approx(100, abs=1e-2)


def test_a_silhouette_lies_within_the_drawn_thing() -> None:
    ring = Found("ring", "red", 0.5, 0.5, 0.3, 0.9)
    inside = silhouette(ring, 256)
    empty, full = (Scene(things, "sky", (), 1) for things in ((), (Thing("ring", "red", "", 0.5, 0.5, 0.3),)))
    ink = (to_tensor(full, supersample=1) != to_tensor(empty, supersample=1)).any(0)
    assert bool(ink[inside].all()) and 0.4 < inside.sum() / ink.sum() < 1


@pytest.mark.parametrize(
    "wrong",
    [
        Scene(pair(kind="house").source.things[:1], "grass", (0,), 3),
        replace(pair(kind="house").source, background="sky"),
        recaption(pair(kind="house").source, 1, color="white"),
        replace(
            pair(kind="house").source,
            things=(*pair(kind="house").source.things, Thing("moon", "pink", "", 0.7, 0.2, 0.14)),
        ),
    ],
)
def test_a_picture_that_does_not_show_its_caption_is_no_source(checker: Checker, wrong: Scene) -> None:
    assert shows(pair(kind="house"), checker(to_tensor(wrong)[None])[0]) is None


def test_a_source_that_already_shows_the_edit_is_none(checker: Checker) -> None:
    edit = pair(color="white")
    unnamed = replace(edit, source=recaption(edit.source, 0, names_color=False))
    white = checker(to_tensor(edit.target)[None])[0]
    assert shows(unnamed, white) is None
    assert shows(unnamed, checker(to_tensor(edit.source)[None])[0]) is not None


# Sampling side by side


@pytest.fixture(scope="module")
def pipe() -> DemoPipeline:
    torch.manual_seed(0)
    return load()


def side_by_side(pipe: DemoPipeline, edit: Edit) -> dict[str, Tensor]:
    ways = methods(edit, pipe, 5)
    latents = sample_ways(pipe, edit.texts, start_noise(4), 5, 5.0, list(ways.values()))
    return dict(zip(["source", *ways], latents, strict=True))


def test_every_row_comes_out_as_if_it_were_sampled_alone(pipe: DemoPipeline) -> None:
    edit = replace(pair(kind="house"), blend=(("circle",), ("house",)))
    got, plan = side_by_side(pipe, edit), plan_of(edit, pipe)
    both = pipe.sample(edit.texts, start_noise(4), 5, 5.0)
    edited = pipe.sample(edit.texts, start_noise(4), 5, 5.0, plan)
    blended = pipe.sample(edit.texts, start_noise(4), 5, 5.0, with_blend(plan, edit))
    expected = {"source": both[0], ALONE: both[1], OURS: edited[1], BLENDED: blended[1]}
    for name, latent in expected.items():
        torch.testing.assert_close(got[name], latent, atol=1e-4, rtol=0)
    distinct = [float((got[a] - got[b]).abs().max()) for a, b in [(ALONE, OURS), (OURS, BLENDED)]]
    assert min(distinct) > 0.1


def test_the_published_row_is_that_of_its_own_sampling(pipe: DemoPipeline) -> None:
    edit = replace(pair(kind="house"), blend=(("circle",), ("house",)))
    got = side_by_side(pipe, edit)[LITERAL]
    from benchmarks.reference.paper_controller import Controller, sample_literal

    controller = Controller(pipe.tokenizer, edit.texts, 5, "replace", self_cap=256)
    expected = sample_literal(pipe, edit.texts, start_noise(4), 5, 5.0, controller)
    torch.testing.assert_close(got, expected[1], atol=1e-3, rtol=0)


def test_methods_are_left_out_where_they_mean_nothing(pipe: DemoPipeline) -> None:
    assert set(methods(drawn("re-weight", 1)[0], pipe, 5)) == {LITERAL, OURS, BLENDED}
    assert set(methods(on("sand"), pipe, 5)) == {ALONE, LITERAL, OURS}


def test_the_processors_of_the_model_come_back(pipe: DemoPipeline) -> None:
    before = pipe.unet.attn_processors
    edit = pair(kind="house")
    ways = [Alone(), Planned(plan_of(edit, pipe), pipe, (32, 32))]
    sample_ways(pipe, edit.texts, start_noise(4), 1, 5.0, ways)
    assert pipe.unet.attn_processors == before


@pytest.mark.parametrize("contest", ["windows", "presets", "blends"])
def test_every_setting_of_a_curve_is_a_way_of_its_own(pipe: DemoPipeline, contest: str) -> None:
    for type_name in CONTESTS[contest].types:
        edit = drawn(type_name, 1)[0]
        ways = CONTESTS[contest].ways(edit, pipe, 5)
        plans = [way.run.plan for way in ways.values() if isinstance(way, Planned)]
        assert len({settings_of(plan) for plan in plans}) == len(plans)


def settings_of(plan: EditPlan) -> tuple[object, ...]:
    blends = ((b.rule.threshold, b.rule.pool, b.start) for b in plan.of(Blend))
    return (*plan.of(TokenEdit), *blends)


# Running


def settings(folder: Path) -> Settings:
    return Settings("methods", 0, 1, folder / "none.safetensors", folder)


def test_edits_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    for index in range(12):
        (tmp_path / f"{index:04}.json").write_text(json.dumps({"index": index}), "utf-8")
    assert run_all(settings(tmp_path), 9, 1) == [{"index": index} for index in range(9)]


@pytest.mark.parametrize(("count", "workers"), [(8, 2), (-1, 2), (9, 0)])
def test_too_few_edits_or_workers_are_refused(tmp_path: Path, count: int, workers: int) -> None:
    with pytest.raises(P2PError, match="at least 9 edits"):
        run_all(settings(tmp_path), count, workers)


def test_a_model_that_draws_nothing_is_refused(pipe: DemoPipeline, tmp_path: Path) -> None:
    blind = Checker(Checker.load().detector, threshold=2.0)
    with pytest.raises(P2PError, match="do not show them"):
        find_candidate(pipe, blind, settings(tmp_path), 0, most=2)


# Reports


def result(index: int, type_name: str, **ways: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": index, "type": type_name, "source": "a tree", "edit": "a house", "weights": {},
        "candidates": 2, "edited": None if "background" in type_name else 0, "ways": ways,
    }  # fmt: skip


def score(done: bool, mae: float, others: tuple[bool, ...] = (), in_place: bool = True) -> dict[str, Any]:
    shifts = [4.0] * len(others)
    return {"done": done, "in_place": in_place, "mae": mae, "mse": mae**2, "others": others, "shifts": shifts}


def rows_of(table: str) -> dict[tuple[str, str], list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {(row[0], row[1]): row[2:] for row in cells}


def test_methods_are_compared_on_the_same_edits() -> None:
    thing = {ALONE: score(True, 10, (True, False)), OURS: score(False, 4), BLENDED: score(True, 1)}
    place = {ALONE: score(True, 30), OURS: score(True, 6)}
    rows = rows_of(methods_table([result(0, "object swap", **thing), result(1, "background swap", **place)]))
    assert rows["a thing", BLENDED][:4] == ["1", "100.0%", "100.0%", "1.00"]
    assert rows["a thing", BLENDED][4] == "0.10"
    assert rows["a thing", ALONE][6:] == ["50.0%", "4.0 px"]
    assert rows["all but re-weighting", OURS][1:5] == ["50.0%", "100.0%", "5.00", "0.25"]
    assert ("all but re-weighting", BLENDED) not in rows
    assert {group for group, _ in rows} == set(GROUPS) - {"words re-weighted"}


def test_a_type_without_a_method_shows_a_dash() -> None:
    table = rows_of(types_table([result(0, "background swap", **{OURS: score(True, 6)})]))
    assert table["background swap", "1"] == ["–", "–", "100%", "–", "–", "–", "6.00", "–"]


def test_a_document_is_filled_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n", "utf-8")
    fill(page, {"a": "new"})
    fill(page, {"a": r"newer \1"})
    assert page.read_text("utf-8") == "before\n<!-- a -->\n\nnewer \\1\n\n<!-- /a -->\nafter\n"
    with pytest.raises(P2PError, match="<!-- b -->"):
        fill(page, {"b": "new"})


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 30, [0, 5, 10, 15, 20, 25, 30]), (61, 88, [60, 65, 70, 75, 80, 85, 90]), (5, 5, [5, 5.2])],
)
def test_ticks_are_round_and_hold_all_values(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_every_setting_has_its_mark_on_the_plot() -> None:
    ways = {f"{c:g} {s:g}": score(True, 20 - 10 * s - 5 * c) for c in CROSS_ENDS for s in SELF_ENDS}
    picture = windows_plot([result(0, "object swap", **ways)])
    seen = {color for _, color in picture.getcolors(2**20) or []}
    assert set(COLORS) <= seen


def test_the_contact_sheet_has_a_tile_for_every_method(tmp_path: Path) -> None:
    from PIL import Image

    strip = Image.new("RGB", (5 * 16, 16), "white")
    for column, color in enumerate(("red", "lime", "blue", "yellow", "fuchsia")):
        strip.paste(color, (16 * column, 0, 16 * column + 16, 16))
    strip.save(tmp_path / "0.png")
    edit = result(0, "object swap", **{m: score(True, 1) for m in METHODS})
    sheet = contact_sheet([edit], {0: tmp_path / "0.png"})
    seen = {color for _, color in sheet.getcolors(2**20) or []}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)} <= seen
