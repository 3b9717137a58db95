"""Real pictures: reconstruction and edits by method."""
