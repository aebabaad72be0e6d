"""The engine ray, on a real cluster of several nodes on this machine."""

import os
import pathlib
import time

import numpy as np
import pytest
from encoded_images import encode, noise

from kerasood.scoring import on_ray, score_files
from kerasood.scoring.tables import COLUMNS, read_columns

pytestmark = [
    pytest.mark.slow,
    # Ray and what it brings.
    pytest.mark.filterwarnings("ignore"),
]
ROOT = pathlib.Path(__file__).parents[2]
NUM_IMAGES = 3000


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(NUM_IMAGES):
        (folder / f"{number:04d}.png").write_bytes(encode(noise(8, 8, seed=number)))
    (folder / "0100x.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def cluster(monkeypatch):
    """A head without CPUs for work, and two nodes of one CPU each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    import ray

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        yield started
    finally:
        ray.shutdown()
        started.shutdown()


def by_file(path):
    columns = read_columns(path, *COLUMNS)
    return {row[0]: row for row in zip(*columns, strict=True)}


def test_a_node_that_dies_costs_no_file_and_changes_no_bit(
    cluster, served_export, photos, tmp_path, monkeypatch
):
    import ray

    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    score_files(
        served_export.folder, photos, tmp_path / "local.parquet", batch_size=8, verbose=0
    )

    written, counts = on_ray._rows_written, []

    def killing(answered, path):
        for number, row in enumerate(written(answered, path)):
            if number == 0:
                wait_for_work_on(doomed.node_id)
                cluster.remove_node(doomed, allow_graceful=False)
            counts.append(number)
            yield row

    monkeypatch.setattr(on_ray, "_rows_written", killing)
    summary = score_files(
        served_export.folder, photos, tmp_path / "ray.parquet", batch_size=8, engine="ray",
        workers=2, verbose=0,
    )
    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    assert len(counts) == NUM_IMAGES + 1 and doomed.node_id not in alive
    assert summary.num_images == NUM_IMAGES + 1
    (files,) = read_columns(tmp_path / "ray.parquet", "file")
    assert len(files) == len(set(files)) == NUM_IMAGES + 1
    local, over_ray = by_file(tmp_path / "local.parquet"), by_file(tmp_path / "ray.parquet")
    assert local.keys() == over_ray.keys()
    for name in local:
        assert local[name] == over_ray[name]


def wait_for_work_on(node_id, seconds=120):
    """Until an actor lives on a node; Ray's public list of actors needs its dashboard."""
    from ray._private.state import actors

    for _ in range(10 * seconds):
        for actor in actors().values():
            if actor["State"] == "ALIVE" and actor["Address"]["NodeID"] == node_id:
                return
        time.sleep(0.1)
    raise TimeoutError(f"no actor on node {node_id} in {seconds} seconds")


def test_only_a_new_parquet_file(served_export, photos, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match="new .parquet output of the engine ray. Received: .*csv"):
        score_files(served_export.folder, photos, tmp_path / "x.csv", engine="ray", verbose=0)
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8, 3), "uint8"))
    with pytest.raises(ValueError, match="files for the engine ray. Received: an array"):
        score_files(
            served_export.folder, tmp_path / "x.npy", tmp_path / "x.parquet", engine="ray",
            verbose=0,
        )
