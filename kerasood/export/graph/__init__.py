"""Parts of the exported graph."""
