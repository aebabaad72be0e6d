"""Any Keras classifier as a map from images to features and logits."""
