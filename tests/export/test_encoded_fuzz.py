"""Damaged files, thousands of them: none may fail the batch, hang, or bring the process down."""

import os
import time
import zlib

import numpy as np
import psutil
import pytest
from encoded_images import encode, noise, picture, silenced
from PIL import Image
from tf_serving import raw_model

SECONDS = float(os.environ.get("KERASOOD_FUZZ_SECONDS", "20"))
SEED = int(os.environ.get("KERASOOD_FUZZ_SEED", "0"))
BATCH_SIZE = 16
EXIF = Image.Exif()
EXIF[0x0112] = 6
FILES = [
    encode(noise(9, 11)),
    encode(noise(30, 20, 4)),
    encode(Image.fromarray(noise(20, 20)).quantize(16), transparency=1),
    encode(Image.fromarray(noise(8, 8, 1) > 100)),
    encode(picture(40, 30), "JPEG", exif=EXIF),
    encode(picture(17, 33), "JPEG", progressive=True, subsampling=2),
    encode(Image.fromarray(picture(16, 16)).convert("CMYK"), "JPEG"),
]


def flip_bits(file, generator):
    for at in generator.integers(0, len(file), generator.integers(1, 8)):
        file[at] ^= 1 << generator.integers(0, 8)


def damage_header(file, generator):
    for at in generator.integers(0, min(64, len(file)), 3):
        file[at] = generator.integers(0, 256)


def truncate(file, generator):
    del file[generator.integers(0, len(file)) :]


def cut_out(file, generator):
    start, length = generator.integers(0, len(file)), generator.integers(1, 50)
    del file[start : start + length]


def repeat_part(file, generator):
    start, stop = sorted(generator.integers(0, len(file), 2))
    file[start:start] = file[start:stop]


def splice(file, generator):
    other = FILES[generator.integers(len(FILES))]
    at = generator.integers(0, len(file))
    file[at:] = other[generator.integers(0, len(other)) :]


def fill_extremes(file, generator):
    at = generator.integers(0, len(file))
    file[at : at + 4] = generator.choice([b"\xff" * 4, b"\0" * 4, b"\x7f" + b"\xff" * 3])


DAMAGES = (flip_bits, damage_header, truncate, cut_out, repeat_part, splice, fill_extremes)


def damaged(generator):
    """One of the files, damaged in one or two ways."""
    file = bytearray(FILES[generator.integers(len(FILES))])
    for damage in generator.choice(DAMAGES, generator.integers(1, 3)):
        if file:
            damage(file, generator)
    return with_checksums(bytes(file)) if generator.random() < 0.5 else bytes(file)


def with_checksums(file):
    """A PNG whose chunks pass their checksums again, so that the damage gets past them."""
    at, repaired = 8, bytearray(file)
    while file.startswith(b"\x89PNG") and at + 12 <= len(file):
        stop = at + 8 + int.from_bytes(file[at : at + 4], "big")
        if stop + 4 > len(file):
            break
        repaired[stop : stop + 4] = zlib.crc32(file[at + 4 : stop]).to_bytes(4, "big")
        at = stop + 4
    return bytes(repaired)


def fuzz(model, generator, seconds=None, num_batches=None):
    """Asks about damaged files between two good ones; returns how many, and how many were valid."""
    good = FILES[0]
    expected = model.run({"image_bytes": np.array([good], dtype=object)}, "serving_bytes")
    until = time.monotonic() + (seconds or 1e9)
    num_files = num_valid = batch = 0
    while time.monotonic() < until and batch != num_batches:
        files = [good, *(damaged(generator) for _ in range(BATCH_SIZE)), good]
        outputs = model.run({"image_bytes": np.array(files, dtype=object)}, "serving_bytes")
        assert outputs["valid"][[0, -1]].all()
        np.testing.assert_allclose(outputs["logits"][0], expected["logits"][0], rtol=1e-4)
        assert all(np.isfinite(outputs[name]).all() for name in ("logits", "energy", "score"))
        assert outputs["is_ood"][~outputs["valid"]].all()
        num_files += BATCH_SIZE
        num_valid += int(outputs["valid"].sum()) - 2
        batch += 1
    return num_files, num_valid


def test_checksums_are_repaired():
    assert all(with_checksums(file) == file for file in FILES)
    broken = FILES[0][:29] + b"\0\0\0\0" + FILES[0][33:]
    assert with_checksums(broken) == FILES[0] != broken


def test_a_few_damaged_files(served_export):
    with raw_model(served_export.folder) as model:
        num_files, num_valid = silenced(lambda: fuzz(model, np.random.default_rng(1), None, 20))
    # Neither all refused nor all accepted: the damage reaches the decoders.
    assert num_files == 320 and 10 < num_valid < 250


@pytest.mark.slow
def test_many_damaged_files(served_export):
    """KERASOOD_FUZZ_SECONDS and KERASOOD_FUZZ_SEED say how long and which."""
    process = psutil.Process()
    with raw_model(served_export.folder) as model:
        generator = np.random.default_rng(SEED)
        silenced(lambda: fuzz(model, generator, None, 20))
        before = process.memory_info().rss
        num_files, num_valid = silenced(lambda: fuzz(model, generator, SECONDS))
        growth = process.memory_info().rss - before
    print(f"{num_files} files, {num_valid} valid, {growth / 2**20:.0f} MiB more")
    assert 0 < num_valid < num_files
    assert growth < 300 * 2**20
