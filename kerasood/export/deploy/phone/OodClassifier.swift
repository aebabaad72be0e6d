import CoreGraphics
import Foundation
import ImageIO
import TensorFlowLite

/// The model's class, its probability, and whether to believe it.
struct Answer {
  let label: String
  let probability: Float
  let score: Float
  let isOod: Bool
}

/// rgb of width x height pixels, row by row, three bytes 0...255 a pixel.
struct Image {
  var rgb: [UInt8]
  let width: Int
  let height: Int
}

/// {MODEL}, with model.tflite, model.tflite.json and labels.txt in the app's bundle.
///
/// Build with the pod TensorFlowLiteSwift, 2.14 or newer.
final class OodClassifier {
  private let runner: SignatureRunner
  private let interpreter: Interpreter
  private let labels: [String]
  private let size: Int
  private let resizing: String
  private let antialias: Bool

  init(bundle: Bundle = .main) throws {
    func url(_ name: String) throws -> URL {
      guard let url = bundle.url(forResource: name, withExtension: nil) else {
        throw CocoaError(.fileNoSuchFile)
      }
      return url
    }
    let metadata = try JSONSerialization.jsonObject(
      with: Data(contentsOf: try url("model.tflite.json"))) as! [String: Any]
    let preprocessing = metadata["preprocessing"] as! [String: Any]
    size = (metadata["image_shape"] as! [Int])[0]
    resizing = preprocessing["resizing"] as! String
    antialias = preprocessing["antialias"] as! Bool
    let lines = try String(contentsOf: try url("labels.txt"), encoding: .utf8)
    labels = lines.split(separator: "\n").map(String.init)
    interpreter = try Interpreter(modelPath: try url("model.tflite").path)
    runner = try interpreter.signatureRunner(with: "serving_default")
    try runner.allocateTensors()
  }

  /// Classifies a JPEG, PNG or HEIC file; nil where it is none. One call at a time.
  func classify(_ file: Data) throws -> Answer? {
    guard let source = CGImageSourceCreateWithData(file as CFData, nil),
      let image = CGImageSourceCreateImageAtIndex(source, 0, nil),
      let pixels = decoded(image)
    else { return nil }
    let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
    let orientation = properties?[kCGImagePropertyOrientation] as? Int ?? 1
    let standing = upright(pixels, orientation)
    return try answer(square(standing, size, resizing, antialias))
  }

  /// Answers for pixels 0...255 of the network's size: uint8 (1, H, W, 3), not scaled.
  func answer(_ image: Image) throws -> Answer {
    try runner.copy(Data(image.rgb), toInputNamed: "images")
    try runner.invoke()
    let probabilities: [Float] = try values("probabilities")
    let score: [Float] = try values("score")
    let isOod: [Bool] = try values("is_ood")
    let best = probabilities.indices.max { probabilities[$0] < probabilities[$1] }!
    return Answer(
      label: labels[best], probability: probabilities[best], score: score[0], isOod: isOod[0])
  }

  private func values<T>(_ name: String) throws -> [T] {
    try runner.output(named: name).data.withUnsafeBytes { Array($0.bindMemory(to: T.self)) }
  }

  /// The pixels of a file as they are stored, transparent ones on black.
  private func decoded(_ image: CGImage) -> Image? {
    let (width, height) = (image.width, image.height)
    var rgba = [UInt8](repeating: 0, count: 4 * width * height)
    let isDrawn = rgba.withUnsafeMutableBytes { buffer -> Bool in
      guard
        let context = CGContext(
          data: buffer.baseAddress, width: width, height: height, bitsPerComponent: 8,
          bytesPerRow: 4 * width, space: CGColorSpace(name: CGColorSpace.sRGB)!,
          bitmapInfo: CGImageAlphaInfo.premultipliedLast.rawValue)
      else { return false }
      context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
      return true
    }
    guard isDrawn else { return nil }
    let rgb = (0..<width * height).flatMap { rgba[4 * $0..<4 * $0 + 3] }
    return Image(rgb: rgb, width: width, height: height)
  }
}

/// Turns and mirrors an image as the EXIF orientation 1...8 of its file says.
func upright(_ image: Image, _ orientation: Int) -> Image {
  let isTurned = (5...8).contains(orientation)
  let isMirrored = [2, 3, 6, 7].contains(orientation)
  let isUpsideDown = [3, 4, 7, 8].contains(orientation)
  let width = isTurned ? image.height : image.width
  let height = isTurned ? image.width : image.height
  var rgb = [UInt8](repeating: 0, count: image.rgb.count)
  for y in 0..<height {
    for x in 0..<width {
      let column = isMirrored ? width - 1 - x : x
      let row = isUpsideDown ? height - 1 - y : y
      let at = isTurned ? column * image.width + row : row * image.width + column
      for c in 0..<3 { rgb[3 * (y * width + x) + c] = image.rgb[3 * at + c] }
    }
  }
  return Image(rgb: rgb, width: width, height: height)
}

/// Makes a square of side `size` by "crop", "stretch" or "pad", with or without antialiasing.
func square(_ image: Image, _ size: Int, _ resizing: String, _ antialias: Bool) -> Image {
  let side =
    resizing == "pad" ? max(image.width, image.height) : min(image.width, image.height)
  let width = resizing == "stretch" ? size : max(1, image.width * size / side)
  let height = resizing == "stretch" ? size : max(1, image.height * size / side)
  let resized = resampled(image, width, height, antialias)
  var rgb = [UInt8](repeating: 0, count: 3 * size * size)  // what "pad" leaves stays black
  let (left, top) = ((width - size) / 2, (height - size) / 2)  // towards zero on both sides
  for y in max(0, -top)..<min(size, height - top) {
    for x in max(0, -left)..<min(size, width - left) {
      let from = 3 * ((y + top) * width + x + left)
      for c in 0..<3 { rgb[3 * (y * size + x) + c] = resized.rgb[from + c] }
    }
  }
  return Image(rgb: rgb, width: size, height: size)
}

private func resampled(_ image: Image, _ width: Int, _ height: Int, _ antialias: Bool) -> Image {
  let columns = taps(image.width, width, antialias)
  let rows = taps(image.height, height, antialias)
  var narrow = [Float](repeating: 0, count: 3 * width * image.height)
  for y in 0..<image.height {
    for x in 0..<width {
      let from = y * image.width + columns[x].first
      for c in 0..<3 {
        narrow[3 * (y * width + x) + c] = columns[x].sum { Float(image.rgb[3 * (from + $0) + c]) }
      }
    }
  }
  var rgb = [UInt8](repeating: 0, count: 3 * width * height)
  for y in 0..<height {
    for x in 0..<width {
      for c in 0..<3 {
        let value = rows[y].sum { narrow[3 * ((rows[y].first + $0) * width + x) + c] }
        rgb[3 * (y * width + x) + c] = UInt8(min(max(value + 0.5, 0), 255))
      }
    }
  }
  return Image(rgb: rgb, width: width, height: height)
}

/// Pixels from `first` on that one new pixel is made of, each with its weight.
private struct Taps {
  let first: Int
  let weights: [Float]

  func sum(_ value: (Int) -> Float) -> Float {
    var sum: Float = 0
    for i in weights.indices { sum += weights[i] * value(i) }
    return sum
  }
}

/// For each of `to` pixels its taps among `from`: a triangle, as wide as the shrink or one pixel.
private func taps(_ from: Int, _ to: Int, _ antialias: Bool) -> [Taps] {
  let scale = Double(from) / Double(to)
  let reach = antialias ? max(scale, 1) : 1
  return (0..<to).map { index in
    let centre = (Double(index) + 0.5) * scale - 0.5
    let first = max(0, Int(floor(centre - reach)) + 1)
    let last = min(from - 1, Int(ceil(centre + reach)) - 1)
    let raw = (first...last).map { 1 - abs(Double($0) - centre) / reach }
    let sum = raw.reduce(0, +)
    return Taps(first: first, weights: raw.map { Float($0 / sum) })
  }
}
