"""What the node files share: socket types, inputs of token edits, what nodes show."""
