"""Scenes with known truth, and the words for them."""
