"""Prompts: words, their columns, alignment, weights and windows. Torch-free."""
