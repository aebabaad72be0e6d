"""The numbers behind the plots: densities, and curves thinned without visible change."""

import numpy as np

_BINS = 400


def density(scores, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed density of scores: a histogram convolved with a Gaussian.

    Scores outside the range count in its first or last bin. The width is Silverman's rule of
    thumb, at least one bin.

    Args:
        scores: (N,) finite scores.
        low: start of the range.
        high: end of the range, above `low`.

    Returns:
        Positions and densities, two float64 arrays; the densities' integral is 1 unless the
        Gaussian reaches beyond the range.
    """
    scores = np.clip(np.asarray(scores, np.float64), low, high)
    counts, edges = np.histogram(scores, _BINS, (low, high))
    bin_width = edges[1] - edges[0]
    quartiles = np.quantile(scores, (0.25, 0.75))
    spread = min(np.std(scores), np.diff(quartiles)[0] / 1.34) or np.std(scores)
    width = max(0.9 * spread * scores.size**-0.2 / bin_width, 1.0)
    reach = int(np.ceil(4 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= kernel.sum()
    smoothed = np.convolve(counts, kernel)[reach:-reach]
    return (edges[:-1] + edges[1:]) / 2, smoothed / (scores.size * bin_width)


def common_range(arrays: list[np.ndarray]) -> tuple[float, float]:
    """A range that shows all but the outermost half percent on either side of every array."""
    quantiles = [np.quantile(np.asarray(array, np.float64), (0.005, 0.995)) for array in arrays]
    low = min(quantile[0] for quantile in quantiles)
    high = max(quantile[1] for quantile in quantiles)
    margin = 0.06 * (high - low) or max(abs(low), 1.0) * 0.1
    return float(low - margin), float(high + margin)


def thin(x, y, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Leaves out points of a curve that lie within `tolerance` of the line through those kept.

    Args:
        x: (N,) positions, N >= 1.
        y: (N,) values.
        tolerance: largest allowed distance, in the common unit of `x` and `y`.

    Returns:
        The kept x and y; the first and the last point are always among them.

    Reference:
        Douglas & Peucker, "Algorithms for the reduction of the number of points", 1973.
    """
    points = np.stack([x, y], axis=1).astype(np.float64)
    kept = np.zeros(len(points), bool)
    kept[[0, -1]] = True
    pieces = [(0, len(points) - 1)]
    while pieces:
        start, end = pieces.pop()
        if end - start < 2:
            continue
        distances = _distances(points[start + 1 : end], points[start], points[end])
        farthest = int(np.argmax(distances))
        if distances[farthest] > tolerance:
            middle = start + 1 + farthest
            kept[middle] = True
            pieces += [(start, middle), (middle, end)]
    return points[kept, 0], points[kept, 1]


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    line = end - start
    length = float(np.dot(line, line))
    along = np.clip((points - start) @ line / length, 0, 1) if length else np.zeros(len(points))
    return np.linalg.norm(points - start - along[:, None] * line, axis=1)
