"""Prompt-to-Prompt (Hertz et al. 2022, arXiv 2208.01626) in value space, independent of any host.

Shapes used throughout: B batch rows, N image tokens, T prompt columns, K key columns (a multiple of T),
C channels (heads × head width). Progress runs from 0 (pure noise) to 1 (finished picture).
"""
