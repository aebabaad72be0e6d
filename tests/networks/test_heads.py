import keras
import numpy as np
import pytest
from tiny_models import random_images

from kerasood.detectors import GODIN
from kerasood.extractor.build import output_names
from kerasood.networks.decomposed_head import DeconfHead
from kerasood.serving import OODModel
from kerasood.training.trainers import CrossEntropyTraining

FEATURES = np.array([[3.0, 4.0], [0.0, 0.0]], "float32")
KERNEL = np.array([[1.0, 0.0], [0.0, 2.0]])
NUMERATORS = {
    "inner": [[3.5, 8.0], [0.5, 0.0]],
    "cosine": [[0.6, 0.8], [0.0, 0.0]],
    # ((3 - 1)^2 + 4^2) / 2 and (3^2 + (4 - 2)^2) / 2; 1 / 2 and 4 / 2.
    "euclid": [[-10.0, -6.5], [-0.5, -2.0]],
}


@pytest.mark.parametrize("similarity", NUMERATORS)
def test_outputs_worked_by_hand(similarity):
    head = DeconfHead(2, similarity)
    head(FEATURES)
    head.kernel.assign(KERNEL)
    head.divisor.set_weights([np.array([[1.0], [-1.0]]), np.array([1.0])])
    if similarity == "inner":
        head.bias.assign([0.5, 0.0])
    outputs = {name: np.asarray(values) for name, values in head(FEATURES).items()}
    # Fresh batch statistics, mean 0 and variance 1: sigmoid(3 - 4 + 1) and sigmoid(1).
    divisor = 1 / (1 + np.exp(-np.array([[0.0], [1.0]])))
    np.testing.assert_allclose(outputs["divisor"], divisor, rtol=1e-5)
    np.testing.assert_allclose(outputs["numerators"], NUMERATORS[similarity], rtol=2e-4)
    np.testing.assert_allclose(
        outputs["logits"], outputs["numerators"] / outputs["divisor"], rtol=1e-6
    )


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="inner, cosine, euclid. Received: 'dot'"):
        DeconfHead(4, "dot")
    with pytest.raises(ValueError, match="num_classes >= 2. Received: 1"):
        DeconfHead(1)


def test_a_network_with_this_head_trains_and_answers(tmp_path):
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 128, offset=-1)(images)
    features = keras.layers.Dense(6, activation="relu")(keras.layers.Flatten()(x))
    outputs = DeconfHead(3)(features)
    trainer = CrossEntropyTraining(keras.Model(images, outputs["logits"]))
    trainer.compile(keras.optimizers.Adam(0.01))
    data, labels = random_images((8, 8, 3), 24), np.arange(24) % 3
    history = trainer.fit(data, labels, epochs=4, batch_size=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    extractor = keras.Model(images, {"features": features, **outputs})
    assert output_names(extractor) == ["divisor", "features", "logits", "numerators"]
    for detector in (GODIN(), GODIN("divisor"), GODIN(magnitude=0.02)):
        model = OODModel(extractor, detector, 0.0)
        scores = model.predict(data)["score"]
        expected = np.asarray(detector.score(extractor.predict(data, verbose=0)))
        if detector.input_step:
            assert np.mean(scores) < np.mean(expected)
        else:
            np.testing.assert_allclose(scores, expected, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded.predict(data)["score"], scores)
