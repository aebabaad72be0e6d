import pytest
from detector_examples import fitted

from kerasood.detectors import DETECTORS


@pytest.fixture(params=DETECTORS)
def name(request):
    return request.param


@pytest.fixture
def detector(name):
    return fitted(name)
