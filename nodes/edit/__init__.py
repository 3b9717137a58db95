"""Nodes that edit: pairs of prompts, edits, local blend."""

from . import (
    local_blend,
    pair_conditioning,
    prompt_edit,
    prompt_pair,
    refine,
    remember_source,
    reweight,
    split_pair,
    word_swap,
)

_FILES = (
    prompt_pair,
    pair_conditioning,
    prompt_edit,
    word_swap,
    refine,
    reweight,
    local_blend,
    split_pair,
    remember_source,
)
NODES = [node for file in _FILES for node in file.NODES]
