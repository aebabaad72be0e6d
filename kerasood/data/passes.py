"""Number of images that a model is given at once."""

# Of images above 96 x 96 pixels fewer, so that what a network makes of them fits into a common
# computer's memory. A gradient needs what every layer said.
IMAGES_PER_PASS = 250
PIXELS_PER_PASS = IMAGES_PER_PASS * 96 * 96
GRADIENT_COSTS = 4


def images_per_pass(pixels, gradient=False, at_most=IMAGES_PER_PASS):
    """Number of images, of so many pixels each, that a model is given at once by default.

    Args:
        pixels: int > 0, height times width.
        gradient: bool, whether the pass computes a gradient.
        at_most: int > 0, of small images.
    """
    fitting = min(at_most, PIXELS_PER_PASS // pixels)
    return max(1, fitting // GRADIENT_COSTS if gradient else fitting)
