"""What reproduces published results with kerasood; no part of the package."""
