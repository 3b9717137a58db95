"""Progress by noise level: the inverse of the host's `percent_to_sigma`, from a table made once per run."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch
from adapter import Host

pytestmark = pytest.mark.host


def test_the_table_is_the_hosts_percent(pack: ModuleType, host: Host) -> None:
    """Of the levels of a schedule and of levels in between, within 1e-4."""
    schedule = host.model().get_model_object("model_sampling")
    percents = [0.02 + 0.96 * i / 40 for i in range(41)]
    sigmas = [float(schedule.percent_to_sigma(percent)) for percent in percents]
    table_of = importlib.import_module(f"{pack.__name__}.nodes.comfyui.state").ProgressTable
    table = table_of(schedule, torch.tensor([*sigmas[::2], 0.0], dtype=torch.float64))
    assert table.levels == pytest.approx(percents[::2], abs=1e-4)
    assert [table.at(sigma) for sigma in sigmas] == pytest.approx(percents, abs=1e-4)


def test_a_level_is_searched_for_once(pack: ModuleType, host: Host) -> None:
    class Counting:
        asked = 0

        def percent_to_sigma(self, percent: float) -> float:
            self.asked += 1
            return 1 - percent

    schedule = Counting()
    table_of = importlib.import_module(f"{pack.__name__}.nodes.comfyui.state").ProgressTable
    table, asked = table_of(schedule, torch.tensor([0.75, 0.25, 0.0])), schedule.asked
    assert [table.at(0.75), table.at(0.25)] == pytest.approx([0.25, 0.75], abs=1e-4)
    assert asked and schedule.asked == asked
