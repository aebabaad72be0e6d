"""What `verify` asks of a file, and which answers it refuses, with answers worked by hand."""

import importlib

import numpy as np
import pytest

from kerasood.export import ExportMismatch

CHECKS = importlib.import_module("kerasood.export.checks.verify")
THRESHOLD = 2.5
IMAGES = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)


def answers(scores, is_ood=None):
    """Outputs of two classes with these scores."""
    scores = np.asarray(scores, "float32")
    return {
        "logits": np.stack([scores, -scores], axis=1),
        "energy": -scores,
        "score": scores,
        "is_ood": scores > THRESHOLD if is_ood is None else np.asarray(is_ood),
    }


class Answering:
    """A format whose file answers image i with row i of a table."""

    def __init__(self, outputs, most=None):
        self.outputs, self.most, self.asked = outputs, most, []

    def runtimes(self):
        return ("",)

    def run(self, path, images, runtime):
        self.asked.append(len(images))
        rows = images[:, 0, 0, 0]
        if self.most is not None and len(rows) > self.most:
            raise RuntimeError(f"a batch of {len(rows)}")
        return {name: values[rows] for name, values in self.outputs.items()}


@pytest.fixture
def answering(monkeypatch):
    """Lets every path be a file that gives these outputs."""

    def use(outputs, **options):
        kind = Answering(outputs, **options)
        monkeypatch.setattr(CHECKS, "format_of", lambda path: kind)
        monkeypatch.setattr(CHECKS, "read_metadata", lambda path: {"threshold": THRESHOLD})
        return kind

    return use


SCORES = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_one_image_is_asked_for_and_then_several_at_once(answering):
    kind = answering(answers(SCORES))
    report = CHECKS.verify("file", IMAGES, answers(SCORES))
    assert kind.asked == [1, 5]
    assert (report.num_images, report.largest, report.num_near_threshold) == (6, 0, 0)


def test_a_file_that_answers_single_images_alone_is_refused(answering):
    answering(answers(SCORES), most=1)
    with pytest.raises(ExportMismatch, match="Received: a batch of 5"):
        CHECKS.verify("file", IMAGES, answers(SCORES))


def test_a_decision_of_the_file_against_its_score_is_refused(answering):
    wrong = [False, False, True, True, True, True]
    answering(answers(SCORES, wrong))
    with pytest.raises(ExportMismatch, match="is_ood=False for image 2 from file: score=2 "):
        CHECKS.verify("file", IMAGES, answers(SCORES))


def test_a_decision_of_the_reference_against_its_score_is_refused(answering):
    answering(answers(SCORES))
    wrong = [False, False, False, True, False, True]
    with pytest.raises(ExportMismatch, match="is_ood=True for image 4 from the golden answers"):
        CHECKS.verify(
            "file", IMAGES, answers(SCORES, wrong), reference="the golden answers"
        )


# Six scores in three pairs: swapping k pairs of neighbours leaves a correlation of 1 - k * 2 / 35,
# [2, 0, 4, 1, 5, 3] has 17 / 35 and the reversed order -1.
@pytest.mark.parametrize(
    ("kind", "scores", "is_sound"),
    [
        ("float16", SCORES, True),
        ("float16", [1, 0, 2, 3, 4, 5], False),
        ("dynamic", [1, 0, 2, 3, 4, 5], False),
        ("int8", [1, 0, 3, 2, 5, 4], True),
        ("int8", [2, 0, 4, 1, 5, 3], False),
        ("int8", SCORES[::-1], False),
    ],
)
def test_the_least_correlation_of_each_quantisation(answering, kind, scores, is_sound):
    answering(answers(scores))
    if is_sound:
        report, _ = CHECKS.verify_quantized("file", IMAGES, answers(SCORES), kind)
        assert (report.num_images, report.kind) == (6, kind)
    else:
        with pytest.raises(ExportMismatch, match="to correlate with Keras's by at least 0"):
            CHECKS.verify_quantized("file", IMAGES, answers(SCORES), kind)
