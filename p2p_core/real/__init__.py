"""Real pictures as sources: inversion, trajectories, pinned rows (paper section 5)."""
