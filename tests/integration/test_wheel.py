"""The wheel alone, outside the checkout, trains and translates."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path, stdin: str | None = None) -> str:
    # An empty PYTHONPATH and another folder: nothing of the checkout can be imported.
    env = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, input=stdin, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_alone_trains_and_translates(tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path / "wheel", ROOT, cwd=tmp_path)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    # The libraries are this environment's; the package is the wheel's.
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--target", site, wheel, cwd=tmp_path)
    assert (site / "mt/py.typed").is_file()  # type checkers of its users read the annotations
    draw = random.Random(1)
    lines = [" ".join(draw.choice("abcdefgh") for _ in range(draw.randint(2, 6))) for _ in range(400)]
    (tmp_path / "toy.aa").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "toy.bb").write_text("".join(f"{line.upper()}\n" for line in lines))
    start = f"import sys; sys.path.insert(0, {str(site)!r}); import mt; assert mt.__file__.startswith({str(site)!r}); "
    mt = [sys.executable, "-c", start + "from mt.cli.main import main; sys.exit(main(sys.argv[1:]))"]
    small = ["model=tiny", "model.dim=32", "model.ffn_dim=64", "tokenizer.vocab_size=300", "train.steps=20"]
    run(*mt, "train", "data.train=[toy.aa,toy.bb]", *small, "run.name=toy", "train.validate_pairs=20", cwd=tmp_path)
    assert (tmp_path / "runs" / "toy" / "model" / "model.safetensors").is_file()
    out = run(*mt, "translate", "runs/toy", cwd=tmp_path, stdin="a b c\n\nd e\n")
    assert out.count("\n") == 3
    assert out.split("\n")[1] == ""
