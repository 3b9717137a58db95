"""Every sampler, every scheduler and every sampling node, at least once; `make matrix` runs them all."""

from __future__ import annotations

import itertools
import os

import pytest
from graphs import Graph

pytestmark = [pytest.mark.host, pytest.mark.real_host, pytest.mark.filterwarnings("ignore")]


def cover() -> list[tuple[str, str, str]]:
    """(way, sampler, scheduler): the samplers in turn, each with the next of the others."""
    if not os.environ.get("P2P_HOST"):
        return []
    from comfy.samplers import SAMPLER_NAMES, SCHEDULER_NAMES
    from sampler_ways import WAYS

    return list(zip(itertools.cycle(WAYS), SAMPLER_NAMES, itertools.cycle(SCHEDULER_NAMES)))


@pytest.mark.parametrize(("way", "sampler", "scheduler"), cover())
def test_the_source_is_that_of_a_plain_run_and_the_edit_stays_in_its_mask(
    graph: Graph, way: str, sampler: str, scheduler: str
):
    from sampler_ways import trouble

    assert not trouble(graph, way, sampler, scheduler)
