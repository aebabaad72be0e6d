"""Bounded, seeded attacks on what is stored and promised; `make campaign` repeats them."""
import os

import pytest


@pytest.fixture(scope="session")
def effort():
    """Multiplies the number of attempts: CAMPAIGN_EFFORT=10 makes a long night of it."""
    return int(os.environ.get("CAMPAIGN_EFFORT", "1"))


def pytest_collection_modifyitems(items):
    for item in items:
        if "campaign" in item.path.parts:
            item.add_marker(pytest.mark.slow)
