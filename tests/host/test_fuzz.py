"""Random prompt pairs through the nodes; `make fuzz` runs ten thousand."""

from __future__ import annotations

import pytest
from fuzz_prompts import outcome
from graphs import Graph

pytestmark = [pytest.mark.host, pytest.mark.real_host, pytest.mark.filterwarnings("ignore")]

COUNT, EVERY = 120, 12


def test_random_prompt_pairs_work_or_are_refused_with_a_mend(graph: Graph, error: type[Exception]):
    found = [outcome(graph, error, seed, sampled=seed % EVERY == 0) for seed in range(COUNT)]
    assert found.count("built") > COUNT / 2 and found.count("drawn") > COUNT / EVERY / 3
