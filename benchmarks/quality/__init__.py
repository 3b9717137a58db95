"""Edit quality on scenes with known ground truth."""
