"""What prompts say: words, their columns, alignment, weights and windows. Torch-free."""
