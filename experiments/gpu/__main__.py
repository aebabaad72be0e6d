"""python -m experiments.gpu --job=cifar10: as much of a job as fits into a slice of GPU time."""

import datetime
import os
import pathlib
import subprocess
import sys
import time

from kerasood.commands.common import console, run_command  # first: silences TensorFlow's import

import keras  # isort: skip

from experiments.gpu.ablation import ablation_units
from experiments.gpu.paper_jobs import paper_units
from experiments.gpu.parcels import pack, unpack
from experiments.gpu.setup import DATASETS, SliceConfig, setup_of
from experiments.gpu.summary import summary
from experiments.gpu.units import Unit, finished, run_units
from kerasood.files import write_json, write_text
from kerasood.runs import command_line, git_commit, versions

SLICES = pathlib.Path("slices")


def main(config):
    """Takes up what came home before, goes on with the job, and brings home what is finished.

    Raises:
        ValueError: a flag that does not fit, parcels that are none, or a unit that failed.
    """
    deadline = time.monotonic() + 60 * config.minutes
    sys.argv[:] = _command(config)
    setup = setup_of(config) if config.job in (*DATASETS, "ablation") else None
    out = pathlib.Path(config.out).absolute()
    state = [pathlib.Path(folder).absolute() for folder in config.state]
    checkout = pathlib.Path.cwd()
    pathlib.Path(config.work).mkdir(parents=True, exist_ok=True)
    os.chdir(config.work)
    for folder in state:
        if not folder.is_dir():
            raise ValueError(f"Expected folders that came home in --state. Received: {folder}")
        console.print(f"{folder}: {len(unpack(folder))} files taken up")
    _cache_compilations()
    if config.job == "summary":
        write_text(out / "summary.md", summary())
        console.print(f"summary: {out / 'summary.md'}")
        return
    states = _work(config, deadline, lambda: _units(config, setup, checkout), out)
    for name, what in states.items():
        console.print(f"{name}: {what}")
    failed = [name for name, what in states.items() if what == "failed"]
    if failed:
        raise ValueError(f"Expected units without errors. Received: {', '.join(failed)}")


def _command(config):
    """What records of this process shall call it: the same on every machine, without folders."""
    flags = [f"--job={config.job}", f"--seeds={','.join(map(str, config.seeds))}"]
    if config.job == "ablation":
        flags.append(f"--dataset={config.dataset}")
    flags.append(f"--precision={config.precision}")
    return ["experiments.gpu", *flags, *(["--rehearse"] if config.rehearse else [])]


def _units(config, setup, checkout):
    if config.job == "ablation":
        return ablation_units(setup, config.dataset)
    if config.job in DATASETS:
        return paper_units(setup, config.job)
    return _benchmark_units(config, checkout)


def _work(config, deadline, units_of, out):
    """Units until there are no new ones: which come next may depend on what came out."""
    states = {}
    record = SLICES / f"{datetime.datetime.now(datetime.timezone.utc):%Y%m%dT%H%M%S}.json"
    write_json(record, _provenance(config))
    while True:
        units = units_of()
        bring_home(units, out)
        states |= run_units(units, deadline, lambda units=units: bring_home(units, out))
        if [unit.name for unit in units_of()] == [unit.name for unit in units]:
            return states


def bring_home(units, out):
    """Packs everything that finished units left."""
    names = finished(units)
    done = [unit for unit in units if unit.name in names]
    dropped = {path for unit in done for path in unit.drops}
    files = [path for unit in done for path in (*unit.files, str(unit.marker))]
    others = [str(path) for folder in (SLICES, pathlib.Path("errors")) for path in folder.glob("*")]
    rounded = {path for unit in done for path in unit.settles}
    pack([path for path in (*files, *others) if path not in dropped], out, rounded)


def _provenance(config):
    return {
        "job": config.job,
        "command": command_line(),
        "commit": git_commit(),
        "versions": versions(),
        "backend": keras.backend.backend(),
        # The benchmark's own processes want the whole device.
        "device": None if config.job == "benchmark" else _device(),
        "rehearsal": config.rehearse,
    }


def _device():
    if keras.backend.backend() != "jax":
        return None
    import jax

    return jax.devices()[0].device_kind


def _cache_compilations():
    """Networks of one shape are compiled once, whatever their weights and runs."""
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_compilation_cache_dir", os.path.abspath("compiled"))


def _benchmark_units(config, checkout):
    """The training benchmark on the paper's network, in both precisions."""
    sizes = {"depth": 40, "width": 2}
    if config.rehearse:
        sizes = {"depth": 10, "width": 1, "images": 64, "rounds": 1, "batch_size": 16}
    units = []
    for precision in ("mixed_bfloat16", "float32"):
        flags = [f"--{name}={value}" for name, value in {**sizes, "precision": precision}.items()]
        path = pathlib.Path("benchmark", f"{precision}.txt")
        units.append(
            Unit(
                f"benchmark-{precision}",
                "benchmark",
                lambda flags=flags, path=path: _benchmark(flags, path, checkout),
                (str(path),),
            )
        )
    return units


def _benchmark(flags, path, checkout):
    command = [sys.executable, "-m", "benchmarks.train", *flags]
    done = subprocess.run(
        command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    console.print(done.stdout, markup=False)
    if done.returncode:
        raise ChildProcessError(f"{' '.join(command[1:])}: exit status {done.returncode}")
    write_text(path, f"$ python {' '.join(command[1:])}\n\n{done.stdout}")


if __name__ == "__main__":
    run_command(SliceConfig, main)
