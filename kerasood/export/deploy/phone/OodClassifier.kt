import android.content.Context
import android.graphics.BitmapFactory
import androidx.exifinterface.media.ExifInterface
import java.io.ByteArrayInputStream
import java.io.Closeable
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONObject
import org.tensorflow.lite.Interpreter

/** The model's class, its probability, and whether to believe it. */
data class Answer(val label: String, val probability: Float, val score: Float, val isOod: Boolean)

/**
 * {MODEL}, with model.tflite, model.tflite.json and labels.txt among the app's assets.
 *
 * Build with com.google.ai.edge.litert:litert:1.4.2 and androidx.exifinterface:exifinterface.
 */
class OodClassifier(private val context: Context) : Closeable {
    private val metadata = JSONObject(String(asset("model.tflite.json")))
    private val labels = String(asset("labels.txt")).trimEnd('\n').split("\n")
    private val interpreter = Interpreter(direct(asset("model.tflite")))

    /** Classifies a JPEG or PNG file; null where it is none. One call at a time. */
    fun classify(file: ByteArray): Answer? {
        val size = metadata.getJSONArray("image_shape").getInt(0)
        val preprocessing = metadata.getJSONObject("preprocessing")
        val orientation = ExifInterface(ByteArrayInputStream(file))
            .getAttributeInt(ExifInterface.TAG_ORIENTATION, 1)
        val image = upright(decoded(file) ?: return null, orientation)
        val resizing = preprocessing.getString("resizing")
        return answer(square(image, size, resizing, preprocessing.getBoolean("antialias")))
    }

    /** Answers for pixels 0..255 of the network's size: uint8 (1, H, W, 3), not scaled. */
    fun answer(image: Image): Answer {
        val probabilities = FloatArray(labels.size)
        val score = FloatArray(1)
        val isOod = BooleanArray(1)
        val outputs = mutableMapOf<String, Any>(
            "probabilities" to arrayOf(probabilities), "score" to score, "is_ood" to isOod
        )
        interpreter.runSignature(mapOf("images" to direct(image.rgb)), outputs, "serving_default")
        val best = labels.indices.reduce { a, b -> if (probabilities[b] > probabilities[a]) b else a }
        return Answer(labels[best], probabilities[best], score[0], isOod[0])
    }

    override fun close() = interpreter.close()

    private fun asset(name: String) = context.assets.open(name).use { it.readBytes() }

    private fun direct(bytes: ByteArray): ByteBuffer =
        ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder()).apply { put(bytes); rewind() }

    /** The pixels of a file as they are stored, transparent ones on black. */
    private fun decoded(file: ByteArray): Image? {
        val bitmap = BitmapFactory.decodeByteArray(file, 0, file.size) ?: return null
        val argb = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(argb, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        val rgb = ByteArray(3 * argb.size)
        for (i in argb.indices) for (c in 0..2) {
            val alpha = argb[i] ushr 24
            val value = argb[i] ushr (16 - 8 * c) and 255
            rgb[3 * i + c] = ((value * alpha + 127) / 255).toByte()
        }
        return Image(rgb, bitmap.width, bitmap.height)
    }
}
