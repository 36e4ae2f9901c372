"""A sweep through submitit: the launcher is found, accepts its settings, and trains."""

from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("submitit") is None, reason="needs hydra-submitit-launcher: pip install -e '.[cluster]'"
)


def test_the_launcher_for_slurm_takes_its_settings(tmp_path, run):
    done = run(
        tmp_path, "train", "hydra/launcher=submitit_slurm", "hydra.launcher.gpus_per_node=1",
        "hydra.launcher.timeout_min=720", "--cfg", "hydra",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    said = done.stdout.decode()
    assert "SlurmLauncher" in said and "gpus_per_node: 1" in said and "timeout_min: 720" in said


@pytest.mark.slow
def test_every_job_of_a_sweep_trains_in_a_process_of_its_own(tmp_path, run, numbers, tiny):
    numbers(tmp_path, "train", 160, 1)
    numbers(tmp_path, "dev", 12, 2)
    done = run(
        tmp_path, "train", "--multirun", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10", *tiny,
        "data.train=[train.en,train.de]", "data.dev=[dev.en,dev.de]", "train.steps=3", "train.seed=1,2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert len(list(tmp_path.glob("runs/*/model/model.safetensors"))) == 2
    rows = done.stdout.decode().rstrip().split("\n")[-2:]
    assert sorted(row.split()[0] for row in rows) == ["runs/en-de-small-seed=1", "runs/en-de-small-seed=2"]
