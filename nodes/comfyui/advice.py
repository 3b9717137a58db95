"""What this host adds to the core's errors: advice about its nodes, by the topic of the error."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ...p2p_core import errors

ADVICE = {
    "batch parts": "Another node splits the batch; take it out, or put Prompt-to-Prompt after it.",
    "no whole samples": "Connect what the sampler with the paired CONDITIONING made.",
    "other columns": "Connect the CONDITIONING of the same Prompt Pair to the sampler.",
    "other prompts": "Connect all Prompt-to-Prompt nodes of one MODEL to the same Prompt Pair.",
    "no edit prompt": "Write the changed prompt into Prompt Pair's edit field, or put Reweight first.",
    "store": "Connect the LATENT of the sampler whose MODEL went through the store, and queue again.",
    "other run": "Connect the LATENT of the sampler whose MODEL went through the store, and queue again.",
    "word not recorded": "Add it to the words of Attention Store, or choose one of the recorded words.",
    "no maps": "Widen the window or the layers of Attention Store. A mask without words leaves no maps.",
    "no self-attention": "Choose a resolution that the MODEL has as self-attention of Attention Store, and "
    "queue again.",
    "many components": "Choose fewer, or a higher resolution in Attention Store.",
    "parts of the picture": "Take out what samples parts of the picture on their own (areas, tiles).",
    "precision": "Run the model in a wider precision (--force-fp32), or use another attention backend.",
    "nothing to blend": "Name the words that change, or connect a MASK.",
    "late blend": "Lower the start of Local Blend, or sample to the end.",
    "two pictures": "Keep one Real Image on a MODEL.",
}


def naming(node: str) -> AbstractContextManager[None]:
    """Give every P2PError raised inside the name of the node and this host's advice."""
    return errors.naming(node, ADVICE)
