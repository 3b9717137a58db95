"""This host's advice for the core's errors, in terms of its nodes, by the topic of the error."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ...p2p_core import errors

ADVICE = {
    "batch parts": "Another node splits the batch. Remove it, or put Prompt-to-Prompt after it.",
    "no whole samples": "Connect the result of the sampler that has the paired CONDITIONING.",
    "unknown text encoder": "{hint} Load it with the loader and type that the model's template uses.",
    "other columns": "Connect the CONDITIONING of the same Prompt Pair to the sampler.",
    "other prompts": "Connect all Prompt-to-Prompt nodes of one MODEL to the same Prompt Pair.",
    "no edit prompt": "Write the changed prompt into Prompt Pair's edit field, or put Reweight first.",
    "store": "Connect the LATENT of the sampler whose MODEL has the store's node, and queue again.",
    "other run": "Connect the LATENT of the sampler whose MODEL has the store's node, and queue again.",
    "word not recorded": "{hint} Attention Store selects them.",
    "no maps": "Widen the window or the layers of Attention Store. A mask without words leaves no maps.",
    "no self-attention": "Set self_attention of Attention Store to a resolution that the MODEL has, and "
    "queue again.",
    "many components": "Choose fewer, or a higher resolution in Attention Store.",
    "parts of the picture": "Remove nodes that sample parts of the image separately (areas, tiles).",
    "broken latent": "Use smaller weights in Reweight. If the source has them too, run the model in a higher "
    "precision (--force-fp32).",
    "precision": "Run the model in a higher precision (--force-fp32), or use another attention backend.",
    "nothing to blend": "List the words that change, or connect a MASK.",
    "mask": "Paint the part of the image that may change, or leave the mask unconnected.",
    "number of masks": "Connect one of these numbers of masks.",
    "pictures": "Connect the decoded images of the sampling that filled the store, or none.",
    "one part": "Set the step groups of Attention Store to 2 or more, and queue again.",
    "sizes": "Connect both from one sampling.",
    "no null texts": "Put Null Text after Invert.",
    "other source": "Use the same source prompt for Invert and Prompt Pair.",
    "other size": "Connect the latent output of Real Image to the sampler.",
    "other encoding": "Use the same source prompt and CLIP for Invert and Prompt Pair.",
    "not finite": "Check the image's latent, try the method euler, or a MODEL and VAE in float32.",
    "other sigmas": "Use the steps, scheduler and denoise of Invert in the sampler, and a sampler that skips "
    "no step (euler, euler_ancestral, heun, dpmpp_2m).",
    "sigmas": "Connect a scheduler's complete SIGMAS, not flipped or split.",
    "no reference": "Connect the image to the edit model's encoder or Reference Latent, or set region of "
    "Local Blend to words.",
    "late blend": "Lower the start of Local Blend, or sample to the end.",
    "two pictures": "Keep one Real Image on a MODEL.",
}


def naming(node: str) -> AbstractContextManager[None]:
    """Add the name of the node and this host's advice to every P2PError raised inside."""
    return errors.naming(node, ADVICE)
