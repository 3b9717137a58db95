"""The pack writes only keys that start with `p2p.` into the host's dicts."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import EDIT, OPEN, SOURCE, Graph, drawn, own_attention, with_patch

pytestmark = pytest.mark.host

ROOT = Path(__file__).resolve().parents[2]
# The host's own keys that a MODEL or an entry can have
THEIRS = {"wrappers", "outer_sample", "sampler_sample", "predict_noise", "calc_cond_batch"}
THEIRS |= {"patches_replace", "attn1", "attn2", "model_conds"}
# Ours in the host's dicts of a MODEL, a sampling and a CONDITIONING; the others are for the front end.
HOSTS = {"p2p.plan", "p2p.sampling", "p2p.call", "p2p.rows", "p2p.pair"}
AFTERWARDS = {"p2p.windows"}  # shown after the sampling: tests/host/test_held.py


@pytest.fixture(scope="module")
def keys(pack: ModuleType) -> set[str]:
    found = vars(importlib.import_module(f"{pack.__name__}.nodes.comfyui.keys"))
    return {value for name, value in found.items() if name.isupper()}


def names(value: Any) -> set[str]:
    """All string keys in nested dicts."""
    if not isinstance(value, dict):
        return set()
    return {key for key in value if isinstance(key, str)}.union(*map(names, value.values()))


def test_all_keys_start_with_p2p(keys: set[str]):
    assert len(keys) > 5 and all(re.fullmatch(r"p2p\.[a-z]+", key) for key in keys)


def test_a_model_gets_them_alone(graph: Graph, host: Host, keys: set[str]):
    plain, patched = host.model(), graph.swapped(graph.pair()[0])
    new = names(patched.model_options) | names(patched.wrappers)
    assert new - names(plain.model_options) - names(plain.wrappers) - THEIRS == keys & {
        "p2p.plan",
        "p2p.sampling",
    }


def test_a_conditioning_gets_them_alone(graph: Graph, host: Host):
    (plain,), (pair,) = host.encode(SOURCE), graph.pair()[1]
    assert names(pair[1]) - names(plain[1]) - THEIRS == {"p2p.pair"}


def test_a_sampling_gets_them_alone_and_the_model_sees_none_of_the_conditioning(graph: Graph, host: Host):
    seen: list[set[str]] = []

    def noting(q: Any, k: Any, v: Any, extra_options: dict[str, Any]) -> Any:
        seen.append(names(extra_options))
        return own_attention(q, k, v, extra_options)

    watched = with_patch(host.model(), noting, "middle", 0)
    graph.plain(SOURCE, model=watched)
    theirs = set[str]().union(*seen)
    seen.clear()
    prompts, positive = graph.pair()
    latent = drawn(host)
    rows = host.sample(
        graph.swapped(prompts, watched, **OPEN), positive, host.encode(""), latent=latent, denoise=0.5
    )
    assert set[str]().union(*seen) - theirs - THEIRS == {"p2p.plan", "p2p.sampling"}
    assert names(rows) == names(
        host.sample(host.model(), host.encode(SOURCE), host.encode(""), latent=latent)
    )


def test_what_nodes_show_has_them_alone(graph: Graph, host: Host, keys: set[str]):
    run, node = host.result, graph.node
    prompts, positive = graph.pair()
    model, store = graph.on("LocalBlend", prompts, source_words="circle", edit_words="house")
    stored = {"store": store, "latent": {"samples": graph.sample(model, positive)}}
    picture = torch.zeros(1, 8, 8, 3)
    shown = [
        run(node["P2PPromptPair"], clip=host.clip(), source=SOURCE, edit=EDIT),
        run(node["P2PPromptEdit"], model=host.model(), prompts=prompts),
        run(node["P2PReweight"], model=host.model(), prompts=prompts, weights="star: 2"),
        run(node["P2PAttentionMaps"], **stored),
        run(node["P2PBlendMask"], **stored),
        run(node["P2PCompare"], source=picture, edits=picture),
    ]
    found = {key for result in shown for key in result.ui}
    assert found == keys - HOSTS - AFTERWARDS


def test_no_other_file_writes_such_a_key(keys: set[str]):
    files = {file.name: file.read_text("utf-8") for file in ROOT.glob("nodes/**/*.py")}
    assert [name for name, text in files.items() if re.search(r'"p2p[._]\w', text)] == ["keys.py"]
    scripts = "".join(file.read_text("utf-8") for file in ROOT.glob("web/js/*.js"))
    assert set(re.findall(r'output\["(.+?)"\]', scripts)) == keys - HOSTS
