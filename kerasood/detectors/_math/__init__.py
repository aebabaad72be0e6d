"""The arithmetic that detectors share."""
