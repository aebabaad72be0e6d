"""Runs of the training methods: resumed, evaluated and exported with their own scores."""

import numpy as np
import pytest
from method_trainers import OUTLIERS, PARAMETERS
from tiny_data import images_of, tiny_config
from two_layer_network import IMAGES, LABELS, two_layers

from kerasood.benchmarking import benchmark_runs
from kerasood.commands.export import export
from kerasood.data.splits import TrainingData
from kerasood.evaluation.measure import Settings
from kerasood.export import ExportConfig
from kerasood.networks.saving import load_network
from kerasood.runs import Run
from kerasood.training import OBJECTIVES, loop, train
from kerasood.training.config import stage_config, train_config

slow = pytest.mark.slow
# What each has beside the weights that must survive: learned weights and a second optimiser, a
# phase, the groups of an epoch, networks beside the classifier, random numbers.
RESUMED = ["resampling", *(
    pytest.param(name, marks=slow)
    for name in ("mcd", "udg", "confident_gan", "reject_classes", "ntom", "atom", "g_odin")
)]
OUTPUTS = {
    "ntom": {"features", "logits", "reject_logits"},
    "mcd": {"features", "logits", "logits_2"},
    "g_odin": {"features", "logits", "numerators", "divisor"},
}
BY_OUTPUTS = ["ntom", pytest.param("mcd", marks=slow), pytest.param("g_odin", marks=slow)]


def trained(objective, folder, stop=False):
    """Weights and history after two epochs of three batches; stopped before the second."""
    parameters = PARAMETERS.get(objective, {})
    config = train_config(
        objective=objective, batch_size=4, finetune_epochs=2, crop=1, **parameters,
        finetune_learning_rate=0.05,
    )
    config = stage_config(config, "finetune", init="base")
    kind = OBJECTIVES[objective]
    network = kind.network_for(two_layers(), config.parameters)
    trainer = loop.build_trainer(network, config)
    begin_epoch = trainer.begin_epoch

    def begin(epoch, outliers):
        if stop and epoch:
            raise KeyboardInterrupt
        return begin_epoch(epoch, outliers)

    trainer.begin_epoch = begin
    outliers = OUTLIERS if kind.needs_outliers else None
    data = TrainingData((IMAGES, LABELS), None, 4, None, outliers)
    folder.mkdir(exist_ok=True)
    history = loop.fit(trainer, data, config, Run(folder, config), verbose=0)
    return network.get_weights(), history


@pytest.mark.parametrize("objective", RESUMED)
def test_a_resumed_run_ends_at_the_same_weights(objective, tmp_path):
    whole, history = trained(objective, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(objective, tmp_path / "stopped", stop=True)
    again, resumed = trained(objective, tmp_path / "stopped")
    assert resumed == history and len(history) == 2
    assert np.isfinite(history[-1]["loss"])
    for first, second in zip(whole, again, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.fixture(scope="module")
def base_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods")
    np.savez(folder / "outliers.npz", train_images=images_of(np.arange(12) % 2)[:, ::-1] // 2)
    (run,) = train(tiny_config(folder))
    return folder, run


@pytest.mark.usefixtures("empty_places")
@pytest.mark.parametrize("objective", BY_OUTPUTS)
def test_networks_of_more_outputs_are_evaluated_and_exported_with_their_score(
    base_run, objective, tmp_path
):
    folder, base = base_run
    kind = OBJECTIVES[objective]
    outliers = {"outliers": str(folder / "outliers.npz")} if kind.needs_outliers else {}
    config = tiny_config(folder, stage="finetune", init=str(base.path), objective=objective,
                         run=str(tmp_path / "run"), **outliers)
    (run,) = train(config)
    network = load_network(run.model)
    assert set(network.output) == OUTPUTS[objective]
    assert network.output["logits"].shape == (None, 2)
    assert isinstance(load_network(run.initial_model), type(load_network(base.model)))
    score = kind.scored_by
    found, _ = benchmark_runs(
        [str(run.path)], ["blobs"], ["energy", "vim", score] if objective != "g_odin" else [score],
        Settings(tune=False, tpr=0.8), verbose=0, folder=tmp_path / "report",
    )
    tuned = found.results.models[-1]
    assert {name for key, name, _ in found.scores if key == tuned["key"]} >= {score}
    exported = export(ExportConfig(
        run=str(run.path), detector=score, tpr=0.8, tune=False, format="saved_model",
        out=str(tmp_path / "exported"),
    ))
    assert exported.reports["saved_model"]


@slow
def test_pretraining_with_an_objective_has_a_directory_and_a_label_of_its_own(tmp_path):
    config = tiny_config(tmp_path, stage="all", pretrain_objective="t2fnorm", objective="ce")
    first, second = train(config)
    assert first.path.name == "pretrain-t2fnorm" and first.config.label == "base t2fnorm"
    assert second.config.init == str(first.path)
    assert any(layer.name == "scaled_features" for layer in load_network(second.model).layers)


def test_parameters_act_for_the_objective_of_the_stage_that_is_trained():
    config = train_config(stage="pretrain", pretrain_objective="logit_norm", temperature=0.1)
    assert stage_config(config, "pretrain").parameters == {"temperature": 0.1}
    with pytest.raises(ValueError, match="--temperature with --objective=logit_norm or t2fnorm"):
        stage_config(train_config(stage="finetune", temperature=0.1), "finetune", init="base")
