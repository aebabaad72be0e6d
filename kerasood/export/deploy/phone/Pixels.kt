/**
 * Pixels of a photo as the network saw them in training. Plain Kotlin, no Android.
 *
 * An Image is rgb of width x height pixels, row by row, three bytes 0..255 a pixel.
 */
class Image(val rgb: ByteArray, val width: Int, val height: Int)

/** Turns and mirrors an image as the EXIF orientation 1..8 of its file says. */
fun upright(image: Image, orientation: Int): Image {
    val isTurned = orientation in 5..8
    val isMirrored = orientation in setOf(2, 3, 6, 7)
    val isUpsideDown = orientation in setOf(3, 4, 7, 8)
    val width = if (isTurned) image.height else image.width
    val height = if (isTurned) image.width else image.height
    val rgb = ByteArray(image.rgb.size)
    for (y in 0 until height) {
        for (x in 0 until width) {
            val column = if (isMirrored) width - 1 - x else x
            val row = if (isUpsideDown) height - 1 - y else y
            val at = if (isTurned) column * image.width + row else row * image.width + column
            for (c in 0..2) rgb[3 * (y * width + x) + c] = image.rgb[3 * at + c]
        }
    }
    return Image(rgb, width, height)
}

/** Makes a square of side `size` by "crop", "stretch" or "pad", with or without antialiasing. */
fun square(image: Image, size: Int, resizing: String, antialias: Boolean): Image {
    val (short, long) = listOf(image.width, image.height).sorted()
    val side = if (resizing == "pad") long else short
    val width = if (resizing == "stretch") size else maxOf(1, image.width * size / side)
    val height = if (resizing == "stretch") size else maxOf(1, image.height * size / side)
    val resized = resampled(image, width, height, antialias)
    val rgb = ByteArray(3 * size * size) // what "pad" leaves stays black
    val left = (width - size) / 2
    val top = (height - size) / 2
    for (y in maxOf(0, -top) until minOf(size, height - top)) {
        for (x in maxOf(0, -left) until minOf(size, width - left)) {
            val from = 3 * ((y + top) * width + x + left)
            for (c in 0..2) rgb[3 * (y * size + x) + c] = resized.rgb[from + c]
        }
    }
    return Image(rgb, size, size)
}

private fun resampled(image: Image, width: Int, height: Int, antialias: Boolean): Image {
    val columns = taps(image.width, width, antialias)
    val rows = taps(image.height, height, antialias)
    val narrow = FloatArray(3 * width * image.height)
    for (y in 0 until image.height) for (x in 0 until width) for (c in 0..2) {
        val from = y * image.width + columns[x].first
        narrow[3 * (y * width + x) + c] =
            columns[x].sum { image.rgb[3 * (from + it) + c].toInt() and 255 }
    }
    val rgb = ByteArray(3 * width * height)
    for (y in 0 until height) for (x in 0 until width) for (c in 0..2) {
        val value = rows[y].sum { narrow[3 * ((rows[y].first + it) * width + x) + c] }
        rgb[3 * (y * width + x) + c] = (value + 0.5f).toInt().coerceIn(0, 255).toByte()
    }
    return Image(rgb, width, height)
}

/** Pixels from `first` on that one new pixel is made of, each with its weight. */
private class Taps(val first: Int, val weights: FloatArray) {
    inline fun sum(value: (Int) -> Number): Float {
        var sum = 0f
        for (i in weights.indices) sum += weights[i] * value(i).toFloat()
        return sum
    }
}

/** For each of `to` pixels its taps among `from`: a triangle, as wide as the shrink or one pixel. */
private fun taps(from: Int, to: Int, antialias: Boolean): List<Taps> {
    val scale = from.toDouble() / to
    val reach = if (antialias) maxOf(scale, 1.0) else 1.0
    return List(to) { index ->
        val centre = (index + 0.5) * scale - 0.5
        val first = maxOf(0, Math.floor(centre - reach).toInt() + 1)
        val last = minOf(from - 1, Math.ceil(centre + reach).toInt() - 1)
        val raw = DoubleArray(last - first + 1) { 1 - Math.abs(first + it - centre) / reach }
        val sum = raw.sum()
        Taps(first, FloatArray(raw.size) { (raw[it] / sum).toFloat() })
    }
}
