"""`python -m export` from a checkout; the library is `kerasood.export`."""
