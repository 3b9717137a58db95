"""Windows of the sampling, and their syntax for words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompts_of import tries

from p2p_core.errors import P2PError
from p2p_core.words.windows import Window, WordWindow, parse_word_windows

unit = st.floats(0, 1)


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        (Window(), [0, 0.5, 1], []),
        (Window(0, 0.8), [0, 0.79999], [0.8, 1]),
        (Window(0.2, 0.8), [0.2, 0.5], [0, 0.19999, 0.8, 1]),
        (Window(0.5, 1), [0.5, 0.9, 1], [0, 0.49999]),
        (Window(0, 0), [], [0, 0.5, 1]),
        (Window(0.5, 0.5), [], [0, 0.5, 1]),
        (Window(1, 1), [], [0, 0.5, 1]),
    ],
)
def test_a_window_holds_its_start_and_not_its_end_but_for_the_last_step(
    window: Window, inside: list[float], outside: list[float]
) -> None:
    assert [window.active(progress) for progress in inside + outside] == [True] * len(inside) + [False] * len(
        outside
    )
    assert window.empty == (not inside)


@tries(60)
@given(st.tuples(unit, unit).map(sorted), unit, unit)
def test_windows_that_meet_act_one_at_a_time(bounds: list[float], between: float, progress: float) -> None:
    start, end = bounds
    middle = min(max(start + (end - start) * between, start), end)
    parts = Window(start, middle).active(progress) + Window(middle, end).active(progress)
    assert parts == Window(start, end).active(progress)


@pytest.mark.parametrize(
    "bounds", [(-0.1, 0.5), (0.5, 1.1), (2, 3), (math.nan, 1), (0, math.nan), (0, math.inf)]
)
def test_a_window_lies_within_0_and_1(bounds: tuple[float, float]) -> None:
    with pytest.raises(P2PError, match=r"within 0\.\.1") as error:
        Window(*bounds)
    assert error.value.got == f"{bounds[0]:g}-{bounds[1]:g}"


def test_a_window_does_not_end_before_it_starts() -> None:
    with pytest.raises(P2PError, match=r"end is not before its start, got 0\.8-0\.2\. Swap"):
        Window(0.8, 0.2)


# Words


@pytest.mark.parametrize(
    ("text", "word", "start", "end"),
    [
        ("lion: 0.4", "lion", 0, 0.4),
        ("lion:0.4", "lion", 0, 0.4),
        ("  lion  :  .4  ", "lion", 0, 0.4),
        ("lion: 0", "lion", 0, 0),
        ("lion: 1.", "lion", 0, 1),
        ("lion: 1e-2", "lion", 0, 0.01),
        ("lion: 0.2-0.8", "lion", 0.2, 0.8),
        ("lion: 0.2 - 0.8", "lion", 0.2, 0.8),
        ("lion: 0.2–0.8", "lion", 0.2, 0.8),
        ("lion: 0.2..0.8", "lion", 0.2, 0.8),
        ("lion: 0.2 to 0.8", "lion", 0.2, 0.8),
        ("lion: 1e-2-1", "lion", 0.01, 1),
        ("red car: 0.2-0.8", "red car", 0.2, 0.8),
        ("cat[2]: 0.1-0.3", "cat[2]", 0.1, 0.3),
        ("embedding:foo: 0.4", "embedding:foo", 0, 0.4),
        ("embedding:foo-2: 0.1-0.4", "embedding:foo-2", 0.1, 0.4),
        ("(red car:1.2): 0.4", "(red car:1.2)", 0, 0.4),
        ("it's 10:30: 0.4", "it's 10:30", 0, 0.4),
        ("café 😀: 0.4", "café 😀", 0, 0.4),
    ],
)
def test_spellings_of_a_word_window(text: str, word: str, start: float, end: float) -> None:
    assert parse_word_windows(text) == (WordWindow(word, Window(start, end)),)


@pytest.mark.parametrize("separator", ["\n", "\r\n", ",", ";", ", ", ";\n", "\n\n", " ,\n "])
def test_several_word_windows(separator: str) -> None:
    text = separator.join(["lion: 0.4", "red car: 0.2-0.8", ""])
    assert [entry.word for entry in parse_word_windows(text)] == ["lion", "red car"]


@pytest.mark.parametrize("text", ["", " \n ", ",;\n"])
def test_no_word_windows(text: str) -> None:
    assert parse_word_windows(text) == ()


@pytest.mark.parametrize(
    "entry",
    ["lion", "lion:", ": 0.4", "lion 0.4", "lion: x", "lion: 0.4x", "lion: 1.2.3", "lion: 40%", "(lion:0.4)"],
)
def test_what_is_no_word_window_is_shown(entry: str) -> None:
    with pytest.raises(P2PError, match="word windows such as") as error:
        parse_word_windows(f"cat: 0.4\n {entry}\n")
    assert error.value.got == repr(entry)


@pytest.mark.parametrize("entry", ["lion: 1.5", "lion: -0.5", "lion: 0.8-0.2", "lion: 0.2-1.5"])
def test_a_window_of_a_word_that_cannot_be_is_shown_with_the_word(entry: str) -> None:
    with pytest.raises(P2PError, match="a window w") as error:
        parse_word_windows(f"cat: 0.4, {entry}")
    assert error.value.got == repr(entry)
