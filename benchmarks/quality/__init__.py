"""Edit quality on scenes with known truth."""
