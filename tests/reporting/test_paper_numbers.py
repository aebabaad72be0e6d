import pytest

from kerasood.reporting import paper_numbers

# Percent, FPR95 / AUROC / AUPR: the row "Mean" of Table 1.
PRINTED = {
    ("cifar10", False): (31.32, 92.46, 97.96),
    ("cifar10", True): (16.30, 96.51, 99.15),
    ("cifar100", False): (71.25, 81.26, 95.20),
    ("cifar100", True): (55.84, 86.79, 96.77),
}


@pytest.mark.parametrize(("dataset", "tuned"), PRINTED)
def test_the_sets_give_the_printed_means(dataset, tuned):
    means = paper_numbers.mean_over(dataset, tuned, paper_numbers.SETS)
    for value, printed in zip(means.values(), PRINTED[dataset, tuned], strict=True):
        # It prints 81.26 where 81.2667 follows from its sets.
        assert 100 * value == pytest.approx(printed, abs=0.0071)


@pytest.mark.parametrize(("dataset", "tuned"), PRINTED)
def test_both_tables_print_the_same_means(dataset, tuned):
    method = paper_numbers.mean_of_method(dataset, "ours" if tuned else "energy")
    assert [100 * value for value in method.values()] == pytest.approx(PRINTED[dataset, tuned])


def test_the_misprint_would_not_give_the_printed_mean():
    corrected = paper_numbers.mean_over("cifar10", True, paper_numbers.SETS)["aupr_in"]
    assert 100 * (corrected - 0.01 / 6) == pytest.approx(98.98, abs=0.01)
    assert paper_numbers.on_set("cifar10", True, "lsun_crop")["aupr_in"]["mean"] == 0.9981
    assert "98.81" in paper_numbers.MISPRINT


def test_some_numbers_as_printed():
    assert paper_numbers.on_set("cifar100", False, "lsun_crop") == {
        "fpr95": {"mean": 0.4301, "std": 0.0137},
        "auroc": {"mean": 0.926, "std": 0.0021},
        "aupr_in": {"mean": 0.9842, "std": 0.0005},
    }
    assert paper_numbers.accuracy("cifar10", True) == 0.9487
    assert paper_numbers.accuracy("cifar100", False) == 0.7601
    assert paper_numbers.mean_of_method("cifar100", "mahalanobis")["fpr95"] == 0.6005
    two = paper_numbers.mean_over("cifar10", False, ("textures", "svhn"))
    assert two["fpr95"] == pytest.approx((0.5246 + 0.2772) / 2, abs=1e-12)
