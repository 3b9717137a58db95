"""`make bench` in miniature: every case on tiny models of each kind, and the shapes of real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.host import overhead
from benchmarks.host.cases import CASES
from benchmarks.host.devices import DEVICES
from benchmarks.host.results import PLAIN, read, text, write
from benchmarks.host.shapes import SDXL, SHAPES, Shape

pytestmark = [pytest.mark.host, pytest.mark.real_host]

NARROW_SDXL = {**SDXL, "model_channels": 32, "context_dim": 96}
TINY = {
    "tiny": SHAPES["tiny"],
    "sdxl": replace(SHAPES["sdxl-1024"], unet=NARROW_SDXL, latent=(4, 8, 8), text=(77, 96)),
}


@pytest.mark.parametrize("name", TINY)
def test_every_case_is_measured(
    pack: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setitem(SHAPES, name, TINY[name])
    device = DEVICES["cpu"]
    measured = overhead.measured_shape(device, pack, name, steps=2, rounds=1)
    assert [case.case for case in measured.cases] == [PLAIN, *CASES]
    assert all(case.step_ms > 0 and case.waits is None for case in measured.cases)
    assert capsys.readouterr().out.count("ms per step") == 2 * len(measured.cases)
    results = overhead.described(device, [measured])
    assert text(read(write(results, tmp_path))) == text(results)


@pytest.mark.parametrize(
    "shape", [shape for name, shape in SHAPES.items() if name != "tiny"], ids=lambda s: s.title
)
def test_the_host_takes_a_shape_for_its_kind(shape: Shape) -> None:
    import comfy.model_detection

    config = comfy.model_detection.model_config_from_unet_config(dict(shape.unet))
    assert type(config).__name__ == shape.kind
    assert shape.latent[0] == config.latent_format.latent_channels
