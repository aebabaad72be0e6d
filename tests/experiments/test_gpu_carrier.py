"""Files in parts: as they were when joined, or refused."""

import json

import numpy as np
import pytest

from experiments.gpu.carrier import CarryConfig, join, main, split

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path):
    """One file that compresses and one that does not."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "even.npz", images=np.full((20, 32, 32, 3), 7, "uint8"))
    (tmp_path / "noise.bin").write_bytes(rng.bytes(50_000))
    return [tmp_path / "even.npz", tmp_path / "noise.bin"]


def test_loads_keep_their_limit_and_join_to_the_same_bytes(files, tmp_path):
    loads = split(files, tmp_path / "parts", 20_000)
    assert [load.name for load in loads] == ["load-1", "load-2", "load-3"]
    parts = [[path for path in load.iterdir() if ".xz." in path.name] for load in loads]
    sizes = [sum(path.stat().st_size for path in of_load) for of_load in parts]
    assert max(sizes) <= 20_000 and sizes[:2] == [20_000, 20_000]
    # The even file is next to nothing, and shares its load with the beginning of the other.
    assert sorted(path.name for path in parts[0]) == ["even.npz.xz.1", "noise.bin.xz.1"]
    joined = join(tmp_path / "parts", tmp_path / "out")
    assert [path.name for path in joined] == ["even.npz", "noise.bin"]
    for path, file in zip(joined, files, strict=True):
        assert path.read_bytes() == file.read_bytes()


def test_pixels_side_by_side_compress_better_as_differences(tmp_path):
    steps = np.random.default_rng(0).integers(0, 4, (64, 64, 3))
    smooth = (np.cumsum(steps, axis=1) % 256).astype("uint8")
    (tmp_path / "smooth.bin").write_bytes(smooth.tobytes())
    (load,) = split([tmp_path / "smooth.bin"], tmp_path / "parts", 10**6)
    # Four equal steps: two bits of the eight.
    assert (load / "smooth.bin.xz.1").stat().st_size < 0.35 * smooth.size


def test_a_missing_a_damaged_and_a_false_part_are_refused(files, tmp_path):
    loads = split(files, tmp_path / "parts", 20_000)
    part = loads[1] / "noise.bin.xz.2"
    content = part.read_bytes()
    part.unlink()
    with pytest.raises(ValueError, match="all parts of noise.bin. Missing: noise.bin.xz.2"):
        join(tmp_path / "parts", tmp_path / "out")
    for wrong in (content[:-1], b"\0" + content[1:]):
        part.write_bytes(wrong)
        with pytest.raises(ValueError, match="noise.bin"):
            join(tmp_path / "parts", tmp_path / "out")
        assert not (tmp_path / "out" / "noise.bin").exists()
    part.write_bytes(content)
    facts_path = loads[2] / "noise.bin.json"
    facts = json.loads(facts_path.read_text())
    for change in ({"bytes": facts["bytes"] - 1}, {"sha256": "0" * 64}):
        facts_path.write_text(json.dumps({**facts, **change}))
        with pytest.raises(ValueError, match="Expected .* bytes of sha256"):
            join(tmp_path / "parts", tmp_path / "out")


def test_a_name_that_leaves_the_folder_is_refused(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "..json").write_text(json.dumps({"parts": []}))
    with pytest.raises(ValueError, match="Expected all parts of"):
        join(tmp_path / "parts", tmp_path / "out")


def test_split_and_join_refuse_what_they_cannot_do(files, tmp_path):
    with pytest.raises(ValueError, match="different plain names"):
        split([files[0], files[0]], tmp_path / "parts", 100)
    with pytest.raises(ValueError, match="new or empty folder"):
        split(files, tmp_path, 100)
    with pytest.raises(ValueError, match="Received: none below"):
        join(tmp_path / "nothing", tmp_path / "out")
    for config in (CarryConfig(), CarryConfig(split=("a",), join=True)):
        with pytest.raises(ValueError, match="either --split=FILES or --join"):
            main(config)


def test_the_command_splits_and_joins(files, tmp_path, capsys):
    parts, out = str(tmp_path / "parts"), str(tmp_path / "out")
    main(CarryConfig(split=tuple(map(str, files)), folder=parts, max_mib=0.02))
    main(CarryConfig(join=True, folder=parts, out=out))
    assert capsys.readouterr().out.count("sha256 as it was") == 2
