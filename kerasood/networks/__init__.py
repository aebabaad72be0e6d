"""Networks that kerasood builds, saves, converts and ships."""
