"""Scenes with known ground truth, and the words for them."""
