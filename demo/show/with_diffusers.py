"""The demo's pictures through diffusers."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

from p2p_core.edits.steps import Reweight, TokenEdit
from p2p_core.maps.blending import Blend
from p2p_core.maps.recording import Record
from p2p_core.maps.store import MapStore, word_channel
from p2p_core.pictures.drawing import draw
from p2p_core.pictures.sheets import word_sheet
from p2p_core.plan import EditPlan
from p2p_core.words.fields import entries
from p2p_core.words.prompts import PromptSet
from p2p_core.words.weights import parse_weights
from p2p_core.words.windows import Window

from ..diffusers_host.pipeline import DemoPipeline, load, start_noise
from .pairs import Artist, DemoMaps, DemoPair, Drawn


def artist(steps: int, cfg: float) -> Artist:
    pipeline = load()
    return Artist(
        lambda pair: draw_pair(pipeline, pair, steps, cfg), lambda maps: draw_maps(pipeline, maps, steps, cfg)
    )


def draw_pair(pipeline: DemoPipeline, pair: DemoPair, steps: int, cfg: float) -> Drawn:
    """The first edit prompt alone, then all prompts with control, from the noise of one seed."""
    prompts, noise = pipeline.prompts(pair.source, *pair.edits), start_noise(pair.seed)
    alone = pipeline.sample(pair.edits[:1], noise, steps, cfg)
    paired = pipeline.sample(prompts.texts, noise, steps, cfg, plan_of(pair, prompts))
    source, *edits = (to_picture(pixels) for pixels in pipeline.decode(paired))
    return Drawn(source, to_picture(pipeline.decode(alone)[0]), tuple(edits))


def draw_maps(pipeline: DemoPipeline, maps: DemoMaps, steps: int, cfg: float) -> Image.Image:
    """The sheet that Attention Store and Attention Maps give for a prompt."""
    prompts, store = pipeline.prompts(maps.source), MapStore()
    record = Record(tuple(word_channel(word, prompts) for word in maps.words), store)
    plan = EditPlan(prompts).then(prompts, record)
    latents = pipeline.sample(prompts.texts, start_noise(maps.seed), steps, cfg, plan)
    pictures = pipeline.decode(latents).permute(0, 2, 3, 1)  # [1, H, W, 3]
    (sheet,) = draw(word_sheet(store.read(latents), "words"), pictures)
    return to_picture(sheet.permute(2, 0, 1))


def plan_of(pair: DemoPair, prompts: PromptSet) -> EditPlan:
    """The plan that Prompt Edit, Reweight and Local Blend make for a pair."""
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
