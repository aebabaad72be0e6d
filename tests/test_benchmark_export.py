import numpy as np

from benchmarks import export


def test_costs_are_shares_of_the_bare_processor_time():
    bare = np.array([[9.0, 1.0], [9.0, 2.0], [9.0, 4.0]])
    seconds = np.array([[1.0, 1.1], [1.0, 2.6], [1.0, 4.8]])
    # 10, 30 and 20 % more in the three rounds.
    np.testing.assert_allclose(export.costs_of(seconds, bare), [0.15, 0.2, 0.25])


def test_all_means_what_features_and_logits_are_enough_for():
    names = export._names(export.ExportBenchmarkConfig())
    assert {"energy", "mahalanobis", "odin"} <= set(names)
    assert not {"mcd", "g_odin", "multi_layer_mahalanobis"} & set(names)
