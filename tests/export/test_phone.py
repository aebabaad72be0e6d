"""The apps' sources against the file that they run, and their steps against kerasood's answers."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from encoded_images import encode, picture
from phone_app import ORIENTATION, App, square, upright
from PIL import Image
from tiny_models import ood_model, random_images, small_network

from kerasood import export
from kerasood.data.decoding import DEFAULT, decode
from kerasood.detectors import Energy
from kerasood.export.deploy import TEMPLATES
from kerasood.export.formats.tflite import open_tflite
from kerasood.extractor.build import build_extractor
from kerasood.extractor.preprocessing import Preprocessing

KOTLIN, PIXELS, SWIFT = (
    (TEMPLATES["phone"] / name).read_text(encoding="utf-8")
    for name in ("OodClassifier.kt", "Pixels.kt", "OodClassifier.swift")
)
NAMES = ["cat", "two words", "übel", "d"]
DTYPES = {"FloatArray": np.float32, "BooleanArray": np.bool_, "Float": np.float32, "Bool": np.bool_}


@pytest.fixture(scope="module", params=[("crop", True), ("stretch", False), ("pad", True)])
def exported(request, tmp_path_factory):
    """A file for phones, and the model in it, which says how its photos were resized."""
    resizing, antialias = request.param
    preprocessing = Preprocessing("none", resizing=resizing, antialias=antialias)
    extractor = build_extractor(small_network(), preprocessing=preprocessing)
    model = ood_model(extractor, Energy())
    result = export.export_model(
        model, tmp_path_factory.mktemp(resizing), images=random_images(model.image_shape),
        metadata={"class_names": NAMES}, model_name="photos", formats=("tflite",),
    )
    return result, model


def kotlin_names():
    """(signature, input, {output: dtype}) that the Kotlin source asks for."""
    ((given, signature),) = re.findall(
        r'runSignature\(mapOf\("(\w+)" to [^)]*\)\), outputs, "(\w+)"\)', KOTLIN
    )
    kinds = dict(re.findall(r"val (\w+) = (FloatArray|BooleanArray)\(", KOTLIN))
    (asked,) = re.findall(r"mutableMapOf<String, Any>\((.*?)\n", KOTLIN.replace("(\n", "("))
    outputs = re.findall(r'"(\w+)" to (?:arrayOf\()?(\w+)', asked)
    return signature, given, {name: DTYPES[kinds[value]] for name, value in outputs}


def swift_names():
    (signature,) = re.findall(r'signatureRunner\(with: "(\w+)"\)', SWIFT)
    (given,) = re.findall(r'toInputNamed: "(\w+)"', SWIFT)
    outputs = re.findall(r'let \w+: \[(\w+)\] = try values\("(\w+)"\)', SWIFT)
    return signature, given, {name: DTYPES[kind] for kind, name in outputs}


@pytest.mark.parametrize("names", [kotlin_names, swift_names])
def test_the_sources_ask_for_what_the_file_has(exported, names):
    signature, given, outputs = names()
    runner = open_tflite(exported[0].paths["tflite"]).get_signature_runner(signature)
    (expected,) = runner.get_input_details().items()
    assert given == expected[0] and expected[1]["dtype"] == np.uint8
    # Before anyone resizes it, it takes one image, as the apps send it: NHWC.
    assert expected[1]["shape"].tolist() == [1, 8, 8, 3]
    details = runner.get_output_details()
    assert {name: details[name]["dtype"] for name in outputs} == outputs
    assert set(outputs) == {"probabilities", "score", "is_ood"}
    assert details["probabilities"]["shape"].tolist() == [1, 4]


@pytest.mark.parametrize("source", [KOTLIN, SWIFT], ids=["Kotlin", "Swift"])
def test_the_sources_read_what_is_written(exported, source):
    folder = exported[0].folder
    files = set(re.findall(r'(?:asset|url)\("([^"]+)"\)', source))
    assert files == {"model.tflite", "model.tflite.json", "labels.txt"}
    assert all((folder / file).is_file() for file in files)
    metadata = json.loads((folder / "model.tflite.json").read_text())
    keys = set(re.findall(r'(?:get\w+\(|metadata\[|preprocessing\[)"(\w+)"', source))
    assert keys == {"image_shape", "preprocessing", "resizing", "antialias"}
    assert keys <= metadata.keys() | metadata["preprocessing"].keys()
    assert (folder / "labels.txt").read_text() == "cat\ntwo words\nübel\nd\n"


def photo(orientation=1, kind="JPEG"):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(picture(40, 30, seed=orientation), kind, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_same_steps_give_the_same_answers(exported, orientation):
    result, model = exported
    app, resizing = App(result.folder), model.preprocessing
    file = photo(orientation)
    pixels = app.pixels(file)
    expected = decode(
        file, 8, DEFAULT._replace(method=resizing.resizing, antialias=resizing.antialias)
    )
    # Pillow rounds after each axis, the app once.
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    label, probability, score, is_ood = app.answer(pixels)
    outputs = {name: values[0] for name, values in model.predict(pixels[None]).items()}
    assert label == NAMES[outputs["logits"].argmax()]
    assert probability == pytest.approx(outputs["probabilities"].max(), rel=1e-4)
    assert score == pytest.approx(outputs["score"], rel=1e-4)
    assert is_ood == outputs["is_ood"]
    of_files = model.predict(expected[None])["score"][0]
    assert abs(score - of_files) < 0.1 * np.std(model.predict(random_images((8, 8, 3)))["score"])


def test_the_folder_beside_the_versions_names_the_model(exported):
    folder = exported[0].folder.parent / "phone"
    assert sorted(path.name for path in folder.iterdir()) == [
        "OodClassifier.kt", "OodClassifier.swift", "Pixels.kt"
    ]  # fmt: skip
    assert "photos, with model.tflite" in (folder / "OodClassifier.kt").read_text()


def test_labels_without_names_are_numbers_and_never_break_a_line(tmp_path):
    model = ood_model(small_network(), Energy())
    for number, (names, lines) in enumerate(
        [(None, "0\n1\n2\n3\n"), (["a\nb", "c", "d", "e"], "a b\nc\nd\ne\n")], start=1
    ):
        metadata = {} if names is None else {"class_names": names}
        result = export.export_model(
            model, tmp_path, images=random_images(model.image_shape), formats=("tflite",),
            metadata=metadata,
        )
        assert result.folder.name == str(number)
        assert (result.folder / "labels.txt").read_text() == lines


MAIN = """
import java.io.File
fun main(arguments: Array<String>) {
    File(arguments[0]).readLines().map { it.split(" ") }.forEach {
        val image = Image(File(it[0]).readBytes(), it[1].toInt(), it[2].toInt())
        val standing = upright(image, it[3].toInt())
        val made = square(standing, it[4].toInt(), it[5], it[6].toBoolean())
        File(it[0] + ".made").writeBytes(made.rgb)
    }
}
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("kotlinc"), reason="needs kotlinc: apt install kotlin")
def test_the_kotlin_pixels_are_these(tmp_path):
    (tmp_path / "Main.kt").write_text(MAIN)
    (tmp_path / "Pixels.kt").write_text(PIXELS)
    jar = tmp_path / "made.jar"
    subprocess.run(
        ["kotlinc", tmp_path / "Main.kt", tmp_path / "Pixels.kt", "-include-runtime", "-d", jar],
        check=True, timeout=300,
    )
    jobs, expected = [], []
    for orientation in range(1, 9):
        for height, width in ((40, 30), (31, 50), (8, 8), (5, 90)):
            for resizing in ("crop", "stretch", "pad"):
                for antialias in (True, False):
                    path = tmp_path / str(len(jobs))
                    rgb = picture(height, width, seed=len(jobs))
                    path.write_bytes(rgb.tobytes())
                    side = (8, 32, 33)[len(jobs) % 3]
                    jobs.append(
                        f"{path} {width} {height} {orientation} {side} {resizing} "
                        f"{str(antialias).lower()}"
                    )
                    made = square(upright(rgb, orientation), side, resizing, antialias)
                    expected.append((f"{path}.made", made))
    (tmp_path / "jobs").write_text("\n".join(jobs))
    subprocess.run(["java", "-cp", jar, "MainKt", tmp_path / "jobs"], check=True, timeout=300)
    for path, made in expected:
        pixels = np.fromfile(path, np.uint8).reshape(made.shape)
        # Sums in float32 there and in float64 here, halves between two levels.
        assert np.abs(pixels.astype(int) - made).max() <= 1
        assert (pixels != made).mean() < 0.02
