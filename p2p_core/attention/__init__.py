"""Editing attention and computing maps, in value space: algebra that knows no words (paper section 3)."""
