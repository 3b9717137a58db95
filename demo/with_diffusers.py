"""The demo's pictures through diffusers."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image
from torch import Tensor

from p2p_core.blend import Blend
from p2p_core.fields import entries
from p2p_core.plan import EditPlan, Reweight, TokenEdit
from p2p_core.prompts import PromptSet
from p2p_core.schedule import Window
from p2p_core.store import MapStore
from p2p_core.weights import parse_weights

from .__main__ import Drawn
from .pairs import DemoPair
from .pipeline import DemoPipeline, load, start_noise


def artist(steps: int, cfg: float) -> Callable[[DemoPair], Drawn]:
    pipeline = load()
    return lambda pair: draw_pair(pipeline, pair, steps, cfg)


def draw_pair(pipeline: DemoPipeline, pair: DemoPair, steps: int, cfg: float) -> Drawn:
    """The first edit prompt alone, then all prompts under control, from the noise of one seed."""
    prompts, noise = pipeline.prompts(pair.source, *pair.edits), start_noise(pair.seed)
    alone = pipeline.sample(pair.edits[:1], noise, steps, cfg)
    paired = pipeline.sample(prompts.texts, noise, steps, cfg, plan_of(pair, prompts))
    source, *edits = (to_picture(pixels) for pixels in pipeline.decode(paired))
    return Drawn(source, to_picture(pipeline.decode(alone)[0]), tuple(edits))


def plan_of(pair: DemoPair, prompts: PromptSet) -> EditPlan:
    """What Prompt Edit, Reweight and Local Blend make of a pair."""
    edit = TokenEdit("edit", Window(0, pair.cross_end), Window(0, pair.self_end))
    plan = EditPlan(prompts).then(prompts, edit)
    if pair.weights:
        plan = plan.then(prompts, Reweight(parse_weights(pair.weights)))
    if pair.blend:
        source, edited = (entries(words) for words in pair.blend)
        plan = plan.then(prompts, Blend(source, edited, (), MapStore()))
    return plan


def to_picture(pixels: Tensor) -> Image.Image:
    """[3, H, W] in 0..1 → RGB picture."""
    return Image.fromarray(pixels.mul(255).round().byte().permute(1, 2, 0).numpy())
