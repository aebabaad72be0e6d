"""Networks of other architectures, and what `experiments.regret` makes of them."""

import keras
import numpy as np
import pytest
from tiny_data import write_npz

import kerasood
from experiments.small_networks import ARCHITECTURES, SmallNetworksConfig, main

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_is_trained_and_gives_features(name, tmp_path):
    data = write_npz(tmp_path / "tiny.npz", num_images=64)
    config = SmallNetworksConfig(
        architectures=(name,), dataset=str(data), epochs=1, out=str(tmp_path / "out")
    )
    main(config)
    (path,) = (tmp_path / "out").iterdir()
    network = keras.saving.load_model(path)
    extractor = kerasood.build_extractor(network)
    with np.load(data) as images:
        outputs = extractor.predict(images["test_images"], verbose=0)
    assert (outputs["features"].min() < 0) == (name == "patches")
    written = path.stat().st_mtime_ns
    main(config)
    assert path.stat().st_mtime_ns == written, "what is there is not trained again"
