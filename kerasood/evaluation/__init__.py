"""Models x OOD sets x detectors -> results."""
