"""The one error family."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from p2p_core.errors import P2PError, naming

ERROR = P2PError("a cat", "a dog", "Take a cat.", "Pet Shop")
FIELDS = ("expected", "got", "hint", "node", "topic")


def test_it_says_where_what_was_expected_what_came_and_how_to_fix_it() -> None:
    assert str(ERROR) == "Pet Shop: expected a cat, got a dog. Take a cat."
    assert str(P2PError("a cat", "a dog", "Take a cat.")) == "expected a cat, got a dog. Take a cat."


def test_it_is_a_value_error() -> None:
    assert isinstance(ERROR, ValueError)


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize("error", [ERROR, P2PError("a cat", "a dog", "Take a cat.", topic="pets")])
def test_it_can_be_copied_and_pickled(error: P2PError, through: object) -> None:
    assert callable(through)
    again = through(error)
    assert type(again) is P2PError and again is not error
    assert str(again) == str(error)
    assert [getattr(again, field) for field in FIELDS] == [getattr(error, field) for field in FIELDS]


def raised(error: Exception, *nodes: str) -> BaseException:
    """The error after nested `naming` contexts, innermost first."""
    with pytest.raises(type(error)) as info:
        if not nodes:
            raise error
        with naming(nodes[-1]):
            raise raised(error, *nodes[:-1])
    return info.value


def test_naming_names_the_innermost_node_once() -> None:
    unnamed = P2PError("a cat", "a dog", "Take a cat.")
    assert str(raised(unnamed, "Word Swap")) == "Word Swap: expected a cat, got a dog. Take a cat."
    assert str(raised(unnamed, "Word Swap", "Sampler")) == str(raised(unnamed, "Word Swap"))
    assert str(raised(ERROR, "Word Swap")) == str(ERROR)


def test_a_host_gives_its_own_advice_on_a_topic() -> None:
    advice = {"pets": "Connect a cat."}
    for topic, hint in [("pets", "Connect a cat."), ("plants", "Take a cat."), ("", "Take a cat.")]:
        with pytest.raises(P2PError) as info, naming("Pet Shop", advice):
            raise P2PError("a cat", "a dog", "Take a cat.", topic=topic)
        assert (info.value.hint, info.value.node, info.value.topic) == (hint, "Pet Shop", topic)
    with pytest.raises(P2PError) as info, naming("Sampler", advice):
        raise ERROR  # a node has already added its name
    assert info.value.hint == "Take a cat."


def test_naming_leaves_other_errors_and_results_alone() -> None:
    other = KeyError("cat")
    assert raised(other, "Word Swap") is other
    with naming("Word Swap"):
        result = 1
    assert result == 1


def test_a_named_error_keeps_its_cause_and_where_it_was_raised() -> None:
    def deep_inside() -> None:
        raise P2PError("a cat", "a dog", "Take a cat.") from KeyError("cat")

    with pytest.raises(P2PError) as info, naming("Word Swap"):
        deep_inside()
    assert isinstance(info.value.__cause__, KeyError)
    assert "deep_inside" in [frame.name for frame in traceback.extract_tb(info.value.__traceback__)]


@pytest.mark.parametrize("field", FIELDS[:3])
def test_long_texts_are_shortened(field: str) -> None:
    parts = {"expected": "a cat", "got": "a dog", "hint": "Take a cat."}
    error = P2PError(**{**parts, field: "start" + "x" * 10_000_000 + "end"})
    text = getattr(error, field)
    assert len(text) == (800 if field == "hint" else 400) and len(str(error)) < 900
    assert text.startswith("start") and text.endswith("end") and "(10,000,008 characters)" in text
    assert str(copy.copy(error)) == str(error) == str(error.at("Pet Shop")).removeprefix("Pet Shop: ")


def test_texts_that_a_person_reads_are_whole() -> None:
    assert P2PError("a" * 400, "b" * 400, "c" * 800).got == "b" * 400
