"""Random workflows for a server: the pack's nodes in plausible orders, with any widget values."""

from __future__ import annotations

from random import Random
from typing import Any

from random_prompts import COMMON, Case, case

Nodes = dict[str, Any]  # the server's description of its nodes
Workflow = dict[str, dict[str, Any]]

EDITS = ("P2PPromptEdit", "P2PWordSwap", "P2PRefine")
WORDS = {"word_windows", "weights", "words", "source_words", "edit_words", "subtract_words"}
SAMPLERS = ["euler", "euler_ancestral", "dpmpp_2m", "dpmpp_sde", "heun", "lcm", "ddim", "uni_pc"]


def workflow(seed: int, nodes: Nodes, wild: bool) -> Workflow:
    """Demo model, prompts, one edit and its followers, a sampler, views. wild: any widget values."""
    random = Random(seed)
    made = case(random) if wild else _readable(random)
    graph: Workflow = {}

    def add(kind: str, **links: Any) -> str:
        name = str(len(graph) + 1)
        widgets = _widgets(random, nodes[kind], made, wild) if kind.startswith("P2P") else {}
        graph[name] = {"class_type": kind, "inputs": {**widgets, **links}}
        return name

    model, views = add("P2PDemoModel"), []
    pair = add("P2PPromptPair", clip=[model, 1], source=made.source, edit=made.edit)
    negative = add("CLIPTextEncode", clip=[model, 1], text=random.choice(COMMON))
    size = {side: 8 * random.randrange(8, 17) for side in ("width", "height")}
    latent = add("EmptyLatentImage", **size, batch_size=random.choice([1, 1, 2]))
    last, prompts = [model, 0], [pair, 0]
    more = [k for k in ("P2PReweight", "P2PLocalBlend", "P2PAttentionStore") if random.random() < 0.35]
    for kind in random.sample([random.choice(EDITS), *more], len(more) + 1):
        name = add(kind, model=last, prompts=prompts)
        last = [name, 0]
        views += [("P2PBlendMask", name)] * (kind == "P2PLocalBlend")
        views += [("P2PAttentionMaps", name)] * (kind == "P2PAttentionStore")
    settings = {
        "seed": random.randrange(2**32), "steps": random.randint(2, 4), "cfg": random.choice([1.0, 4.0]),
        "sampler_name": random.choice(SAMPLERS), "scheduler": random.choice(["simple", "karras", "beta"]),
        "denoise": random.choice([1.0, 1.0, 0.5]),
    }  # fmt: skip
    conds = {"positive": [pair, 1], "negative": [negative, 0]}
    sampler = add("KSampler", model=last, latent_image=[latent, 0], **conds, **settings)
    add("PreviewImage", images=[add("VAEDecode", samples=[sampler, 0], vae=[model, 2]), 0])
    for kind, store in views:
        view = [add(kind, store=[store, 1], latent=[sampler, 0]), 0]
        picture = view if kind == "P2PAttentionMaps" else [add("MaskToImage", mask=view), 0]
        add("PreviewImage", images=picture)
    return graph


def _readable(random: Random) -> Case:
    """A realistic edit that nothing rejects."""
    words = random.sample([word for word in COMMON if word.isalpha()], 6)
    edit = [*words[:2], random.choice(["house", "tower", "fluffy cat"]), *words[3:]]
    return Case(" ".join(words), " ".join(edit), f"{edit[0]}: 0.7", f"{edit[0]}: 2", words[0])


def _widgets(random: Random, node: Any, made: Case, wild: bool) -> dict[str, Any]:
    sockets = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
    widgets: dict[str, Any] = {}
    for name, (kind, *rest) in sockets.items():
        options = rest[0] if rest else {}
        choices = kind if isinstance(kind, list) else options.get("options")
        if name in WORDS:
            fields = {"word_windows": made.word_windows, "weights": made.weights}
            widgets[name] = fields.get(name, "" if name == "subtract_words" and not wild else made.blend)
        elif choices is not None or kind in ("INT", "FLOAT", "BOOLEAN", "STRING"):
            value = _value(random, kind, choices, options) if wild and random.random() < 0.4 else None
            widgets[name] = options.get("default", (choices or [""])[0]) if value is None else value
    if not wild and "cross_end" in widgets:
        widgets |= {end: round(random.random(), 2) for end in ("cross_end", "self_end")}
    return widgets


def _value(random: Random, kind: Any, choices: Any, options: dict[str, Any]) -> Any:
    """A value of its kind; occasionally one out of bounds or of another kind."""
    if random.random() < 0.05:
        return random.choice([None, "x", -1, 1e9, [], {}, True])
    if choices is not None:
        return random.choice(choices)
    if kind == "BOOLEAN":
        return random.random() < 0.5
    if kind == "STRING":
        return random.choice(
            ["", "all", "auto", "middle", "1/2", "1/4, 1/8", "output 3", "input 0-99", "0", "🐈"]
        )
    low, high = options.get("min", 0), options.get("max", 1)
    value = random.choice([low, high, random.uniform(low, high), random.uniform(low, high)])
    return int(value) if kind == "INT" else round(value, 3)
