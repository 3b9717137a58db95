"""Nodes that visualise: attention maps, masks, components, comparison."""

from . import (
    attention_maps,
    attention_store,
    blend_mask,
    compare,
    self_attention_components,
)

_FILES = (
    attention_store,
    attention_maps,
    self_attention_components,
    blend_mask,
    compare,
)
NODES = [node for file in _FILES for node in file.NODES]
