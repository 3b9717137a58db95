"""What this host adds to the core's errors: advice about its nodes, by the topic of the error."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ...p2p_core import errors

ADVICE = {
    "batch parts": "Another node splits the batch; take it out, or put Prompt-to-Prompt after it.",
    "no whole samples": "Connect the result of the sampler that has the paired CONDITIONING.",
    "unknown text encoder": "{hint} Load it with the loader and the type that the model's own template has.",
    "other columns": "Connect the CONDITIONING of the same Prompt Pair to the sampler.",
    "other prompts": "Connect all Prompt-to-Prompt nodes of one MODEL to the same Prompt Pair.",
    "no edit prompt": "Write the changed prompt into Prompt Pair's edit field, or put Reweight first.",
    "store": "Connect the LATENT of the sampler whose MODEL went through the store, and queue again.",
    "other run": "Connect the LATENT of the sampler whose MODEL went through the store, and queue again.",
    "word not recorded": "{hint} Attention Store chooses them.",
    "no maps": "Widen the window or the layers of Attention Store. A mask without words leaves no maps.",
    "no self-attention": "Choose a resolution that the MODEL has as self-attention of Attention Store, and "
    "queue again.",
    "many components": "Choose fewer, or a higher resolution in Attention Store.",
    "parts of the picture": "Take out what samples parts of the picture on their own (areas, tiles).",
    "precision": "Run the model in a wider precision (--force-fp32), or use another attention backend.",
    "nothing to blend": "Name the words that change, or connect a MASK.",
    "mask": "Paint the part of the picture that may change, or leave the mask unconnected.",
    "number of masks": "Connect one of these numbers of masks.",
    "pictures": "Connect the decoded pictures of the sampling that filled the store, or none.",
    "one part": "Set the step groups of Attention Store to 2 or more, and queue again.",
    "sizes": "Connect both of one sampling.",
    "no null texts": "Put Null Text after Invert.",
    "other source": "Give Invert and Prompt Pair the same source prompt.",
    "other size": "Connect the latent output of Real Image to the sampler.",
    "other encoding": "Give Invert and Prompt Pair the same source prompt and CLIP.",
    "not finite": "Look at the picture's latent, try the method euler, or a MODEL and VAE in float32.",
    "other sigmas": "Set steps, scheduler and denoise of the sampler to those of Invert, and a "
    "sampler that leaves no step out (euler, euler_ancestral, heun, dpmpp_2m).",
    "sigmas": "Connect a scheduler's SIGMAS as they are, without flipping or splitting them.",
    "late blend": "Lower the start of Local Blend, or sample to the end.",
    "two pictures": "Keep one Real Image on a MODEL.",
}


def naming(node: str) -> AbstractContextManager[None]:
    """Give every P2PError raised inside the name of the node and this host's advice."""
    return errors.naming(node, ADVICE)
