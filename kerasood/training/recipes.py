"""What each data set and each fine-tuning objective takes, and which flags act on it."""

from kerasood.errors import InvalidInputError

OBJECTIVES = ("sparsity", "ce", "energy", "outlier_exposure", "logit_norm")
# The paper's text penalises logits, its released code features; each came with its own weight.
SPARSITY_WEIGHTS = {"logits": 0.01, "features": 0.02}
OUTLIER_WEIGHTS = {"energy": 0.1, "outlier_exposure": 0.5}
DEFAULT_OUTLIERS = "imagenet32"
# (margin_in, margin_out) in nats, as the energy-score code chose them for its WRN-40-2.
REFERENCE_MARGINS = {"cifar10": (-23.0, -5.0), "cifar100": (-27.0, -5.0)}

# What a data set wants instead of the recipe's values, unless a flag says otherwise.
PRESETS = {
    "digits": {
        "depth": 10,
        "width": 1,
        "dropout": 0.0,
        "pretrain_epochs": 15,
        "finetune_epochs": 10,
        "batch_size": 64,
        "crop": 2,
        "flip": False,
        # So small a network gains nothing from bfloat16.
        "precision": "float32",
    }
}


def objective_fields(config):
    """What the objective of a fine-tune adds to its StageConfig.

    Args:
        config: TrainConfig.

    Returns:
        dict of StageConfig fields. Margins that follow from the base are missing.

    Raises:
        ValueError: flags that do not act on this objective, or that contradict each other.
    """
    _check_flags_act(config)
    objective = config.objective
    defaults = {"sparsity": SPARSITY_WEIGHTS[config.site], **OUTLIER_WEIGHTS}
    fields = {
        "objective": objective,
        "site": config.site if objective == "sparsity" else None,
        "weight": defaults.get(objective) if config.weight is None else config.weight,
    }
    if objective in OUTLIER_WEIGHTS:
        fields["outliers"] = config.outliers or DEFAULT_OUTLIERS
        fields["max_outliers"] = config.max_outliers
    return fields | (_margins(config) if objective == "energy" else {})


def _check_flags_act(config):
    acting = {
        "weight": ("sparsity", *OUTLIER_WEIGHTS),
        "outliers": tuple(OUTLIER_WEIGHTS),
        "max_outliers": tuple(OUTLIER_WEIGHTS),
        **dict.fromkeys(("margins", "margin_in", "margin_out"), ("energy",)),
    }
    for name, objectives in acting.items():
        if getattr(config, name) is not None and config.objective not in objectives:
            raise InvalidInputError(
                f"Expected --{name} with --objective={' or '.join(objectives)} only. "
                f"Received: --objective={config.objective}"
            )
    if config.outliers == config.dataset:
        raise InvalidInputError(
            "Expected outliers other than the in-distribution images. Received: "
            f"--outliers={config.outliers} for both"
        )


def _margins(config):
    """Margins in numbers, or for `auto` the word: they follow from the base."""
    given = (config.margin_in, config.margin_out)
    if given == (None, None):
        if config.margins != "reference":
            return {"margins": "auto"}
        if config.dataset not in REFERENCE_MARGINS:
            raise InvalidInputError(
                f"Expected --margins=reference for {' or '.join(REFERENCE_MARGINS)}, which the "
                f"reference names margins for. Received: --dataset={config.dataset}"
            )
        given = REFERENCE_MARGINS[config.dataset]
    elif config.margins or None in given:
        raise InvalidInputError(
            "Expected --margins, or both --margin_in and --margin_out. Received: "
            f"margins={config.margins}, margin_in={given[0]}, margin_out={given[1]}"
        )
    if not given[0] < given[1]:
        raise InvalidInputError(
            f"Expected margin_in < margin_out. Received: margin_in={given[0]}, "
            f"margin_out={given[1]}"
        )
    return {"margin_in": given[0], "margin_out": given[1]}
