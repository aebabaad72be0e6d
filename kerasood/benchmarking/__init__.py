"""An evaluation as one call: of any Keras models, of run directories, of the paper's suite."""

from kerasood.benchmarking.any_model import benchmark
from kerasood.benchmarking.benchmark_result import Benchmark
from kerasood.benchmarking.run_directories import benchmark_runs

__all__ = ["Benchmark", "benchmark", "benchmark_runs"]


def __dir__():
    return __all__
