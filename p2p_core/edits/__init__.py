"""Steps that edit attention, and the column mixing that they compute (paper section 3.2)."""
