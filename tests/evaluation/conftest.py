"""Fixtures of the paper's suite."""

import pytest
from paper_world import made_up_run, write_data

from kerasood.reporting import paper_numbers


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """(data directory, {data set: complete fine-tune})."""
    folder = tmp_path_factory.mktemp("world")
    data = folder / "data"
    data.mkdir()
    write_data(data)
    return data, {name: made_up_run(folder / "runs" / name) for name in paper_numbers.DATASETS}
