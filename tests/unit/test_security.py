"""Files that want to run code are refused in one sentence; libraries with known holes are not let in."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from mt.cli.compose import compose
from mt.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {  # the first version without a known hole
    "torch": "2.10.0",  # CVE-2026-24747: memory corruption when weights are unpickled
    "sentencepiece": "0.2.3",  # CVE-2026-1260, issues 1263 and 1269: memory corruption by a crafted model
    "hydra-core": "1.3.8",  # CVE-2026-68508: code named in a configuration
    "safetensors": "0.6",
    "pyarrow": "14.0.1",  # CVE-2023-47248: code in a Parquet file
}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:3])


@pytest.mark.parametrize("package", FLOORS)
def test_versions_with_known_holes_are_shut_out(package):
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (floor,) = [re.search(r">=([\d.]+)", line)[1] for line in wanted if re.match(rf"{package}\W", line)]
    assert numbers(floor) >= numbers(FLOORS[package]), f"{package}>={floor} lets in a version with a known hole"
    assert numbers(version(package)) >= numbers(FLOORS[package])


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir ['{canary}']\n",
        "model: !!python/object/apply:os.mkdir ['{canary}']\n",
        "model:\n  dim: !!python/object/new:os.mkdir ['{canary}']\n",
        "_target_: os.mkdir\npath: '{canary}'\n",
        "model:\n  _target_: os.mkdir\n  path: '{canary}'\n",
        "run:\n  name: ${{oc.env:HOME}}\n",
        "hydra:\n  run:\n    dir: '{canary}'\n",
        "defaults:\n  - /etc/passwd\n",
    ],
)
def test_a_settings_file_runs_nothing(tmp_path, text):
    file, canary = tmp_path / "my.yaml", tmp_path / "canary"
    file.write_text(text.format(canary=canary), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        compose([], config_file=file)
    assert "\n" not in str(refused.value) and str(Path.home()) + "/" not in str(refused.value)
    assert not canary.exists()


@pytest.mark.parametrize("text", ["a: &x [*x]\n", "2001-01-01\n", "model: &x {dim: *x}\n", "? [a]\n: b\n"])
def test_yaml_that_nobody_writes_is_refused_in_a_sentence(tmp_path, text):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"my\.yaml"):
        compose([], config_file=tmp_path / "my.yaml")


def test_a_word_too_long_for_a_file_name_is_no_internal_error():
    with pytest.raises(ConfigError):
        compose(["x" * 5000])
