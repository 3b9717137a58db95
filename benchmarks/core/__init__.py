"""What the method itself costs, without any host."""
