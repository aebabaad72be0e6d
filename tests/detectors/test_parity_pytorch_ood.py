"""The detectors that pytorch-ood has too: the same features and logits in, the same ranking out.

Slow, and with pytorch-ood installed only. Where its ranking is another one, a test is named after
the reason and shows it in numbers; docs/parity.md has the table.
"""

import importlib.metadata

import linear_network
import numpy as np
import pytest
from ill_conditioned import exact_distances, ill_conditioned
from linear_torch_network import standardised, tensor, torch_network
from scipy.special import log_softmax
from scipy.stats import spearmanr

from benchmarks.outputs import Classifier
from benchmarks.peers import PAIRS, Theirs, pytorch_ood_detectors
from kerasood.detectors import ODIN, KLMatching, Mahalanobis, MultiLayerMahalanobis, OpenMax
from kerasood.evaluation.outputs import collect
from kerasood.extractor.input_gradient import SteppedExtractor

pytestmark = pytest.mark.slow

NEARLY_ALL = 1 - 1e-6
# Each has tests of its own below.
DIFFERENT = {"msp", "entropy", "gen", "openmax", "multi_layer_mahalanobis"}
NUM_CLASSES = (10, 100)


@pytest.fixture(scope="module")
def peer():
    try:
        return pytorch_ood_detectors()
    except ImportError as error:
        pytest.skip(str(error))


class Case:
    """A classifier's outputs for 5,000 training images and 2,000 others, 800 of them OOD."""

    def __init__(self, num_classes):
        self.classifier = Classifier(num_classes)
        self.training = self.classifier.images(5000, seed=1)
        self.test = self.classifier.images(2000, seed=2, share_out=0.4)

    @property
    def head(self):
        return self.classifier.kernel, self.classifier.bias

    def ours(self, name, outputs=None):
        detector = PAIRS[name].ours().fit(self.training.outputs, self.training.labels, self.head)
        return np.asarray(detector.score(outputs or self.test.outputs))

    def theirs(self, name, peer, outputs=None):
        detector = Theirs(PAIRS[name], peer, self.classifier)
        detector.fit(self.training.outputs, self.training.labels)
        return detector.score(outputs or self.test.outputs)


CASES = {num_classes: Case(num_classes) for num_classes in NUM_CLASSES}


@pytest.fixture(params=NUM_CLASSES)
def case(request):
    return CASES[request.param]


def correlation(first, second):
    """Spearman's rank correlation of finite scores that differ between images."""
    assert np.isfinite(first).all() and np.isfinite(second).all()
    assert np.ptp(first) > 0 and np.ptp(second) > 0
    return spearmanr(first, second).statistic


def log_probabilities(case):
    return log_softmax(case.test.outputs["logits"].astype("float64"), axis=1)


def test_it_is_the_version_of_the_table(peer):
    assert importlib.metadata.version("pytorch-ood") == "0.4.0"


def test_the_outputs_are_those_of_a_good_classifier(case):
    inside = case.test.labels >= 0
    logits, labels = case.test.outputs["logits"][inside], case.test.labels[inside]
    assert 0.9 < np.mean(logits.argmax(axis=1) == labels) < 1
    assert 0.3 < np.mean(case.test.outputs["features"] == 0) < 0.6
    assert 0.5 < np.exp(log_probabilities(case)).max(axis=1)[~inside].mean() < 0.95


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in DIFFERENT])
def test_the_ranking_is_the_same(case, name, peer):
    assert correlation(case.ours(name), case.theirs(name, peer)) >= NEARLY_ALL


def test_msp_differs_where_float32_rounds_the_largest_probability_alone(case, peer):
    ours, theirs = case.ours("msp"), case.theirs("msp", peer)
    np.testing.assert_allclose(ours, theirs, atol=2.0**-21, rtol=0)
    told_apart = log_probabilities(case).max(axis=1) < np.log(0.999)
    assert told_apart.sum() > 800
    assert correlation(ours[told_apart], theirs[told_apart]) >= NEARLY_ALL


def test_multi_layer_mahalanobis_is_the_peers_sum_with_the_layers_deviations_as_weights(case, peer):
    training = case.training
    standardised = MultiLayerMahalanobis().fit(training.outputs, training.labels)
    # The peer adds the layers' scores as they are; ours divides by their deviation first.
    weights = tuple(1.0 / standardised.scales_.astype("float64"))
    plain = MultiLayerMahalanobis(weights).fit(training.outputs, training.labels)
    theirs = case.theirs("multi_layer_mahalanobis", peer)
    assert correlation(np.asarray(plain.score(case.test.outputs)), theirs) >= NEARLY_ALL
    assert correlation(np.asarray(standardised.score(case.test.outputs)), theirs) > 0.999


@pytest.mark.parametrize(
    ("temperature", "magnitude"), [(1000.0, 0.0014), (10.0, 0.0014), (1000.0, 0.02), (1000.0, 0.0)]
)
def test_odin_takes_the_same_step_on_the_image(peer, temperature, magnitude):
    images, network = linear_network.images(400), linear_network.extractor()
    ours = ODIN(temperature, magnitude)
    stepped = SteppedExtractor(network, ours.input_loss, magnitude)
    theirs = peer.ODIN(
        torch_network(), eps=magnitude, temperature=temperature, norm_std=list(linear_network.STD)
    ).predict(standardised(images)).numpy()
    assert correlation(np.asarray(ours.score(collect(stepped, [images]))), theirs) >= NEARLY_ALL


def test_mahalanobis_takes_the_same_step_on_the_image(peer):
    images, network = linear_network.images(400), linear_network.extractor()
    labels, features = np.arange(400) % 4, collect(network, [images])
    ours = Mahalanobis(0.005).fit(features, labels)
    stepped = SteppedExtractor(network, ours.input_loss, ours.magnitude)
    encoder = torch_network()[:-1]
    theirs = peer.MahalanobisODIN(encoder, eps=0.005, norm_std=list(linear_network.STD))
    theirs.fit_features(tensor(features["features"]), tensor(labels))
    expected = theirs.predict(standardised(images)).numpy()
    assert correlation(np.asarray(ours.score(collect(stepped, [images]))), expected) >= NEARLY_ALL


def test_gen_of_the_peer_clamps_probabilities_at_1e_7(case, peer):
    # Section 3: sum of p^0.1 (1 - p)^0.1, without a clamp.
    two = {"logits": np.array([[0, -17, -18], [0, -20, -30]], "float32")}
    theirs = Theirs(PAIRS["gen"], peer, case.classifier).score(two)
    assert theirs[0] == theirs[1]
    ours = np.asarray(PAIRS["gen"].ours().score(two))
    # Of tails a and b: a^0.1 + b^0.1 + (a + b)^0.1.
    tails = np.exp([[-17.0, -18.0], [-20.0, -30.0]])
    expected = (tails**0.1).sum(axis=1) + tails.sum(axis=1) ** 0.1
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    logs = log_probabilities(case)
    terms = np.exp(0.1 * (logs + log_remaining(logs))).sum(axis=1)
    assert correlation(case.ours("gen"), terms) >= NEARLY_ALL
    assert correlation(case.theirs("gen", peer), terms) < 1 - 1e-4


def log_remaining(logs):
    """log(1 - p) from log p, (N, K), as the sum of the other classes."""
    others = [np.delete(logs, k, axis=1) for k in range(logs.shape[1])]
    return np.stack([np.logaddexp.reduce(part, axis=1) for part in others], axis=1)


def test_entropy_of_the_peer_clips_probabilities_at_1e_7(case, peer):
    # H(p) = -sum p log p: 17 e^-17 and less where the others are smaller.
    two = {"logits": np.array([[0, -17, -18], [0, -20, -30]], "float32")}
    theirs = Theirs(PAIRS["entropy"], peer, case.classifier).score(two)
    assert theirs[0] == theirs[1]
    ours = np.asarray(PAIRS["entropy"].ours().score(two))
    expected = [18 * np.exp(-17.0) + 19 * np.exp(-18.0), 21 * np.exp(-20.0)]
    np.testing.assert_allclose(ours, expected, rtol=1e-4)
    logs = log_probabilities(case)
    entropies = -(np.exp(logs) * logs).sum(axis=1)
    assert correlation(case.ours("entropy"), entropies) >= NEARLY_ALL
    assert correlation(case.theirs("entropy", peer), entropies) < 1 - 1e-5


def test_openmax_without_the_peers_three_differences_ranks_the_same(case, peer, monkeypatch):
    from pytorch_ood.detector.openmax import numpy as openmax

    monkeypatch.setattr(openmax, "LibNotMR", translated_by_1(openmax.LibNotMR))
    logits, labels = case.training.outputs["logits"], case.training.labels
    correct = logits.argmax(axis=1) == labels
    theirs = peer.OpenMax(None, tailsize=20, alpha=3)
    theirs.fit_logits(tensor(logits[correct].astype("float64")), tensor(labels[correct]))
    test = case.test.outputs["logits"].astype("float64")
    assert len(np.unique(test.argmax(axis=1))) == test.shape[1]
    scores = theirs.predict_logits(tensor(test))
    assert correlation(case.ours("openmax"), scores.numpy()) >= NEARLY_ALL


def translated_by_1(fitter):
    class Translated(fitter):
        def __init__(self, tailsize):
            super().__init__(tailsize)
            self.translation = 1

    return Translated


def test_openmax_of_the_peer_learns_from_misclassified_images_too(peer):
    # Algorithm 1 takes the mean over correctly classified images: (2, 0) for class 0.
    logits = np.array([[1, 0], [2, 0], [3, 0], [0, 6], [0, 1], [0, 2], [0, 3]], "float32")
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    ours = OpenMax(tail_size=2).fit({"logits": logits}, labels)
    np.testing.assert_allclose(ours.means_[0], [2, 0])
    theirs = peer.OpenMax(None, tailsize=2, alpha=2).fit_logits(tensor(logits), tensor(labels))
    np.testing.assert_allclose(theirs._openmax.centers[0], [1.5, 1.5])


def test_openmax_of_the_peer_shifts_tails_by_10000_where_libmr_shifts_by_1(peer):
    # libMR's MetaRecognition has translate_amount = 1. An image as near to its class's mean as
    # half of the training images are lies below the tail: nothing of it is unknown.
    training = CASES[10].training
    theirs = peer.OpenMax(None, tailsize=20, alpha=3)
    theirs.fit_logits(tensor(training.outputs["logits"]), tensor(training.labels))
    fitted = theirs._openmax.distributions[0]
    members = training.outputs["logits"][training.labels == 0].astype("float64")
    distances = np.linalg.norm(members - members.mean(axis=0), axis=1)
    median, largest = np.median(distances), distances.max()
    assert fitted.w_score(median) > 1e-3
    ours = OpenMax(tail_size=20).fit(training.outputs, training.labels)
    reach = np.array([median, largest]) - ours.starts_[0]
    shares = 1 - np.exp(-(np.maximum(reach, 0) / np.exp(ours.log_scales_[0])) ** ours.shapes_[0])
    assert shares[0] < 1e-4 and shares[1] > 0.9


def test_openmax_of_the_peer_scores_an_image_by_the_others_in_its_batch(peer):
    # It computes distances to the classes alone that some image of the batch is predicted as.
    case = CASES[10]
    detector = Theirs(PAIRS["openmax"], peer, case.classifier)
    detector.fit(case.training.outputs, case.training.labels)
    outputs = {"logits": case.test.outputs["logits"][-40:]}
    together = detector.score(outputs)
    alone = [detector.score({"logits": row[None]})[0] for row in outputs["logits"]]
    assert np.abs(together - alone).max() > 1e-2
    ours = PAIRS["openmax"].ours().fit(case.training.outputs, case.training.labels)
    ours_alone = [np.asarray(ours.score({"logits": row[None]}))[0] for row in outputs["logits"]]
    np.testing.assert_allclose(ours.score(outputs), ours_alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["mahalanobis", "relative_mahalanobis"])
def test_mahalanobis_of_the_peer_depends_on_the_unit_of_the_features(name, peer):
    # An absolute 1e-6 is added to the covariance; equation 2 has none, and does not change when
    # features are multiplied.
    case = CASES[10]
    small = {
        key: {"features": images.outputs["features"] * np.float32(1e-4)}
        for key, images in {"training": case.training, "test": case.test}.items()
    }
    theirs = Theirs(PAIRS[name], peer, case.classifier)
    theirs.fit(small["training"], case.training.labels)
    assert correlation(theirs.score(small["test"]), case.theirs(name, peer)) < 1 - 1e-4
    ours = PAIRS[name].ours().fit(small["training"], case.training.labels)
    assert correlation(np.asarray(ours.score(small["test"])), case.ours(name)) >= NEARLY_ALL


@pytest.mark.parametrize(
    ("name", "theirs_at_most"), [("mahalanobis", 0.9999), ("relative_mahalanobis", 0.95)]
)
def test_mahalanobis_of_the_peer_inverts_in_float32(name, theirs_at_most, peer):
    # A condition number of 8e6, which features of a small trained network had.
    training, labels, test = ill_conditioned(8e6)
    expected = exact_distances(training, labels, test, relative=name != "mahalanobis")
    ours = PAIRS[name].ours().fit({"features": training}, labels).score({"features": test})
    assert correlation(np.asarray(ours), expected) >= NEARLY_ALL
    theirs = Theirs(PAIRS[name], peer, CASES[10].classifier).fit({"features": training}, labels)
    assert correlation(theirs.score({"features": test}), expected) < theirs_at_most


@pytest.mark.parametrize("name", ["ash_s", "scale"])
def test_ash_s_and_scale_of_the_peer_have_no_score_for_features_of_zeros(name, peer):
    # exp(sum / sum of the largest) is 0 / 0 there; times features of zeros the head's bias is left.
    case = CASES[10]
    zeros = {"features": np.zeros((1, 128), "float32")}
    assert np.isnan(case.theirs(name, peer, zeros)).all()
    expected = -np.log(np.exp(case.classifier.bias.astype("float64")).sum())
    np.testing.assert_allclose(case.ours(name, zeros), [expected], rtol=1e-5)


def test_kl_matching_is_what_float64_says(case):
    logs = log_probabilities(case)
    fitted = log_softmax(case.training.outputs["logits"].astype("float64"), axis=1)
    predicted = fitted.argmax(axis=1)
    typical = [np.exp(fitted[predicted == k]).mean(axis=0) for k in np.unique(predicted)]
    probabilities = np.exp(logs)
    divergences = (probabilities * logs).sum(axis=1, keepdims=True)
    divergences = (divergences - probabilities @ np.log(typical).T).min(axis=1)
    ours = KLMatching().fit(case.training.outputs).score(case.test.outputs)
    assert correlation(np.asarray(ours), divergences) >= NEARLY_ALL


def test_mcd_of_the_peer_is_another_method(peer):
    # Its MCD draws dropout masks (Gal & Ghahramani); ours compares two heads (Yu & Aizawa).
    assert peer.MCD.info.paper.year == 2016
