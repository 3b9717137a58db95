"""Hostile inputs of every kind: each is accepted, refused with a hint, or the host's own to raise about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import fuzz_files
import fuzz_inputs
import fuzz_texts
import pytest
from graphs import Graph

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]

Kind = Callable[[Graph, type[Exception], Random], str]
KINDS: dict[str, tuple[Kind, int]] = {
    "tensors": (fuzz_inputs.tensors, 200),
    "names": (fuzz_files.names, 100),
    "headers": (fuzz_files.headers, 300),
    "dtypes": (fuzz_files.dtypes, 100),
    "truncation": (fuzz_files.truncation, 50),
    "growth": (fuzz_texts.growth, 60),
    "numbers": (fuzz_texts.numbers, 100),
    "kills": (fuzz_files.kills, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_inputs(graph: Graph, error: type[Exception], kind: str) -> None:
    call, count = KINDS[kind]
    counts = Counter(call(graph, error, Random(seed)) for seed in range(count))
    print(f"{kind}: seeds 0 to {count - 1}: {dict(counts)}")
    assert counts["refused"] > count / 5 or kind == "kills"
