"""Published archives: downloaded, checked, unpacked, prepared for TFDS."""
