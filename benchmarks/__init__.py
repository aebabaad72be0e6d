"""Speed and memory, measured against limits."""
