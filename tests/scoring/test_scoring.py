import csv
import io
import os
import tarfile

import numpy as np
import pytest
from encoded_images import encode, noise
from tiny_models import small_network

from kerasood.commands.score import score
from kerasood.config import ScoreConfig
from kerasood.detectors import Energy
from kerasood.export import run_exported
from kerasood.scoring import rows, score_files
from kerasood.scoring.inputs import count, entries
from kerasood.scoring.tables import COLUMNS, Table, read_columns, write_rows

NUM_IMAGES = 11


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eleven 8x8 PNG files in two folders, one that is no image in the middle, and a hidden one."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(NUM_IMAGES):
        path = folder / ("a" if number < 6 else "b") / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(noise(8, 8, seed=number)))
    (folder / "a" / "03x.png").write_bytes(b"no image")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "00.png").write_bytes(encode(noise(8, 8)))
    return folder


@pytest.fixture(scope="module")
def expected(served_export):
    images = np.stack([noise(8, 8, seed=number) for number in range(NUM_IMAGES)])
    return run_exported(served_export.folder, images)


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_for_every_file_as_the_model_answers(served_export, photos, expected, tmp_path):
    summary = score_files(served_export.folder, photos, tmp_path / "s.csv", batch_size=4, verbose=0)
    rows = rows_of(tmp_path / "s.csv")
    assert [row["file"] for row in rows] == sorted(str(path) for path in photos.glob("[ab]/*.png"))
    good = [row for row in rows if row["valid"] == "True"]
    (bad,) = (row for row in rows if row["valid"] == "False")
    assert bad["file"].endswith("03x.png") and bad["is_ood"] == "True" and not bad["score"]
    assert "UnidentifiedImageError" in bad["reason"]
    scores = np.array([float(row["score"]) for row in good])
    np.testing.assert_allclose(scores, expected["score"], rtol=1e-5)
    labels = [list("abcd")[index] for index in expected["logits"].argmax(axis=1)]
    assert [row["label"] for row in good] == labels
    assert [row["is_ood"] == "True" for row in good] == expected["is_ood"].tolist()
    assert (summary.num_images, summary.num_valid) == (NUM_IMAGES + 1, NUM_IMAGES)
    assert summary.num_flagged == expected["is_ood"].sum()
    assert str(summary).startswith("12 images, 1 unreadable.")
    assert not list(tmp_path.glob("*.parts"))


def test_every_format_gives_the_same_rows(served_export, photos, expected, tmp_path):
    for kind, path in served_export.paths.items():
        score_files(path, photos, tmp_path / f"{kind}.csv", batch_size=4, verbose=0)
        valid, scores = read_columns(tmp_path / f"{kind}.csv", "valid", "score")
        scores = [score for score, good in zip(scores, valid, strict=True) if good]
        np.testing.assert_allclose(scores, expected["score"], rtol=1e-3, err_msg=kind)
    assert len(served_export.paths) >= 2


def test_a_saved_ood_model_is_scored_too(photos, tmp_path):
    from tiny_models import ood_model


    model = ood_model(small_network(), Energy())
    model.save(tmp_path / "m.keras")
    score_files(tmp_path / "m.keras", photos, tmp_path / "s.csv", batch_size=4, verbose=0)
    images = np.stack([noise(8, 8, seed=number) for number in range(NUM_IMAGES)])
    valid, scores = read_columns(tmp_path / "s.csv", "valid", "score")
    scores = [score for score, good in zip(scores, valid, strict=True) if good]
    np.testing.assert_allclose(scores, model.predict(images)["score"], rtol=1e-5)
    small_network().save(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match="OODModel in .*plain.keras.*Received: "):
        score_files(tmp_path / "plain.keras", photos, tmp_path / "t.csv", verbose=0)


def test_an_answer_does_not_depend_on_its_company(served_export, photos, tmp_path):
    """Bit for bit, whatever else is scored, and wherever in a batch it stands."""
    every, alone = tmp_path / "every.csv", tmp_path / "alone.csv"
    score_files(served_export.folder, photos, every, batch_size=4, verbose=0)
    file = photos / "b" / "09.png"
    score_files(served_export.folder, file, alone, batch_size=4, verbose=0)
    (row,) = rows_of(alone)
    assert row in rows_of(every)


def test_inputs_of_every_kind_mean_the_same_images(photos, tmp_path):
    images = np.stack([noise(8, 8, seed=number) for number in range(3)])
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(3))
    np.savez(tmp_path / "keras.npz", x_test=images, y_test=np.arange(3))
    np.save(tmp_path / "x.npy", images)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as shard:
        for number in range(3):
            file = (photos / "a" / f"{number:02d}.png").read_bytes()
            member = tarfile.TarInfo(f"{number:02d}.png")
            member.size = len(file)
            shard.addfile(member, io.BytesIO(file))
    names = [os.path.relpath(photos / "a" / f"{number:02d}.png", tmp_path) for number in range(3)]
    (tmp_path / "x.txt").write_text("\n".join(names) + "\n\n")
    (tmp_path / "x.csv").write_text("label,path\n" + "".join(f"cat,{name}\n" for name in names))
    listed = [str(photos / "a" / f"{number:02d}.png") for number in range(3)]
    glob = str(photos / "a" / "0[012].png")
    kinds = [tmp_path / f"x.{end}" for end in ("npz", "npy", "tar.gz", "txt", "csv")]
    kinds.append(tmp_path / "keras.npz")
    for inputs in (*kinds, listed, glob):
        prepared = [rows.prepared(entry.content, (8, 8, 3)) for entry in entries(inputs)]
        np.testing.assert_array_equal(np.stack(prepared), images, err_msg=str(inputs))
    np.save(tmp_path / "grey.npy", images[..., 0])
    (entry, *_) = entries(tmp_path / "grey.npy")
    np.testing.assert_array_equal(entry.content, images[0, ..., :1])
    assert count(kinds[0]) == 3 and count(listed) == 3 and count(kinds[2]) is None
    assert [entry.name for entry in entries(tmp_path / "x.npy")][-1] == f"{tmp_path}/x.npy[2]"
    with pytest.raises(ValueError, match="column picture in .*Received: label, path"):
        list(entries(tmp_path / "x.csv", "picture"))
    assert len(list(entries(tmp_path / "x.csv", "path"))) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("gone", "gone, which does not exist"),
        ("empty", "image files below"),
        ("floats.npy", "uint8 images.*dtype=float32"),
        ("several.npz", "one array of images.*a, b"),
        ("broken.tar", "tar archive"),
        ("broken.npz", "not a readable npz"),
        ("broken.npy", "not a readable npy"),
    ],
)
def test_inputs_that_are_none(tmp_path, content, message):
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "floats.npy", np.zeros((2, 8, 8, 3), "float32"))
    np.savez(tmp_path / "several.npz", a=np.zeros(1), b=np.zeros(1))
    for end in ("tar", "npz", "npy"):
        (tmp_path / f"broken.{end}").write_bytes(b"no archive")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        list(entries(tmp_path / content))


def test_a_job_that_was_killed_goes_on(served_export, photos, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole.csv", tmp_path / "s.csv"
    options = {"batch_size": 2, "part_size": 3, "verbose": 0}
    score_files(served_export.folder, photos, whole, **options)
    asked, original = [], rows.prepared

    def dying(content, *facts):
        asked.append(content)
        if content.endswith("08.png"):
            raise KeyboardInterrupt
        return original(content, *facts)

    monkeypatch.setattr(rows, "prepared", dying)
    with pytest.raises(KeyboardInterrupt):
        score_files(served_export.folder, photos, out, **options)
    assert not out.exists()
    with pytest.raises(ValueError, match="no unfinished job, or resume"):
        score_files(served_export.folder, photos, out, **options)
    with pytest.raises(ValueError, match="the job that was begun"):
        score_files(served_export.folder, photos / "a", out, resume=True, **options)
    kept = Table.num_rows.fget(_Opened(out))
    assert kept in (3, 6)
    asked.clear()
    monkeypatch.setattr(rows, "prepared", lambda *item: asked.append(item[0]) or original(*item))
    score_files(served_export.folder, photos, out, resume=True, **options)
    assert len(asked) == NUM_IMAGES + 1 - kept
    assert out.read_bytes() == whole.read_bytes()
    with pytest.raises(ValueError, match="output that does not exist"):
        score_files(served_export.folder, photos, out, **options)


class _Opened:
    """The parts of an output, without claiming them."""

    def __init__(self, path):
        self.folder = path.with_name(f"{path.name}.parts")

    _parts = Table._parts


def test_parquet_holds_what_csv_does(served_export, photos, tmp_path):
    pytest.importorskip("pyarrow")
    for end in ("csv", "parquet"):
        score_files(served_export.folder, photos, tmp_path / f"s.{end}", batch_size=4, verbose=0)
    parquet = read_columns(tmp_path / "s.parquet", *COLUMNS)
    text = read_columns(tmp_path / "s.csv", *COLUMNS)
    for name, left, right in zip(COLUMNS, parquet, text, strict=True):
        if name in ("probability", "score"):
            left, right = (np.array(values, "float32") for values in (left, right))
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right, name


def test_the_summary_compares_with_an_earlier_job(served_export, photos, tmp_path):
    earlier = tmp_path / "earlier.csv"
    row = {"file": "x", "label": "a", "probability": 1.0, "valid": True, "reason": ""}
    rows = [{**row, "score": 1e6 + number, "is_ood": True} for number in range(200)]
    write_rows(earlier, rows)
    summary = score_files(
        served_export.folder, photos, tmp_path / "s.csv", against=earlier, verbose=0
    )
    assert summary.against["num_flagged"] == 200 and summary.against["scores_p"] < 1e-10
    assert "Changed since" in str(summary) and "100.0% flagged there" in str(summary)
    again = score_files(
        served_export.folder, photos, tmp_path / "t.csv", against=tmp_path / "s.csv", verbose=0
    )
    assert "No change shown since" in str(again)
    with pytest.raises(ValueError, match="against=gone.csv"):
        score_files(served_export.folder, photos, tmp_path / "u.csv", against="gone.csv", verbose=0)


def test_a_promise_makes_the_summary_say_whether_it_is_drift(tmp_path):
    from kerasood import calibrate
    from kerasood.scoring import Summary

    threshold = calibrate(np.linspace(0, 1, 400).astype("float32"), tpr=0.95)
    rows = [{"valid": True, "is_ood": number < 40, "score": 0.5} for number in range(100)]
    summary = Summary.of(rows, threshold)
    assert summary.drift.drifted and "Drift: 40 of 100 images flagged" in str(summary)
    rows = [{"valid": True, "is_ood": number < 5, "score": 0.5} for number in range(100)]
    assert not Summary.of(rows, threshold).drift.drifted


def test_memory_does_not_grow_with_the_number_of_files():
    """No more entries are taken from the stream than are being decoded ahead."""
    taken = []
    stream = _stream(taken)
    for number, _ in enumerate(rows.decoded(stream, (8, 8, 3), ahead=8)):
        assert len(taken) <= number + 8


def _stream(taken):
    from kerasood.scoring.inputs import Entry

    for number in range(999):
        taken.append(number)
        yield Entry(str(number), noise(8, 8))


def test_the_command(served_export, photos, tmp_path, capsys, refused):
    config = ScoreConfig(
        model=str(served_export.folder), images=(str(photos),), out=str(tmp_path / "s.csv")
    )
    score(config)
    printed = capsys.readouterr().out
    assert "12 images, 1 unreadable." in printed and "flagged as OOD" in printed
    assert "does not exist" in refused(score, config)
    line = refused(score, ScoreConfig(model="x"))
    assert "Expected --model, --images and --out. Received: model='x'" in line
    gone = ScoreConfig(model=str(tmp_path / "gone"), images=(str(photos),), out=str(tmp_path / "t"))
    assert "csv or .parquet" in refused(score, gone)


@pytest.mark.parametrize(
    "engine, given",
    [("local", {"workers": 2}), ("local", {"address": "auto"}),
     ("ray", {"resume": True}), ("ray", {"threads": 2})],
)  # fmt: skip
def test_settings_of_the_other_engine_are_refused(tmp_path, engine, given):
    (name,) = given
    with pytest.raises(ValueError, match=f"no {name} with the engine {engine}. Received: {name}="):
        score_files("x", "y", tmp_path / "z.csv", engine=engine, **given)
