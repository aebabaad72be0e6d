"""What the exported graph is made of."""
