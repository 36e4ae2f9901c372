"""The smallest thing that only works if everything does: learn to copy and to reverse sequences, without an error.

A tag in front of the source says which. Sequences that are scored were never trained on.
"""

import os
import random
from pathlib import Path

LETTERS = "abcdefghij"
SETTINGS = (
    "tokenizer.vocab_size=40 tokenizer.byte_fallback=false tokenizer.tags=['<copy>','<turn>'] "
    "model.dim=64 model.heads=4 model.ffn_dim=128 model.encoder_layers=2 model.decoder_layers=2 "
    "model.positions=rotary model.dropout=0.0 loss.label_smoothing=0.0 batch.tokens=512 batch.max_length=32 "
    "optim.lr=4e-3 schedule=linear schedule.warmup_steps=100 train.minutes=null train.steps=400 "
    "train.validate_every=200 train.validate_pairs=50 train.device=cpu train.precision=fp32 "
    f"train.threads={os.environ['OMP_NUM_THREADS']}"
)


def sequences(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(draw.choices(LETTERS, k=draw.randint(3, 6)))] = None
    return list(found)


def write(folder: Path, name: str, lines: list[str]) -> list[str]:
    tagged = [("<turn>", line[::-1]) if n % 2 else ("<copy>", line) for n, line in enumerate(lines)]
    (folder / f"{name}.in").write_text(
        "".join(f"{tag} {line}\n" for (tag, _), line in zip(tagged, lines, strict=True)), encoding="utf-8"
    )
    (folder / f"{name}.out").write_text("".join(f"{target}\n" for _, target in tagged), encoding="utf-8")
    return [f"{name}.in", f"{name}.out"]


def test_copying_and_reversing_is_learnt_without_an_error(run, tmp_path: Path):
    lines = sequences(10_300, seed=1)
    train = write(tmp_path, "train", lines[300:])
    dev, test = write(tmp_path, "dev", lines[:100]), write(tmp_path, "test", lines[100:300])
    files = [f"data.{name}=[{','.join(pair)}]" for name, pair in (("train", train), ("dev", dev), ("test", test))]
    trained = run(tmp_path, "train", *files, *SETTINGS.split(), "run.name=copy")
    assert trained.returncode == 0, trained.stderr.decode()
    translated = run(tmp_path, "translate", "runs/copy", stdin=(tmp_path / "test.in").read_bytes())
    found, wanted = translated.stdout.decode().split("\n"), (tmp_path / "test.out").read_text().split("\n")
    wrong = [(f, w) for f, w in zip(found, wanted, strict=True) if f != w]
    assert not wrong, f"{len(wrong)} of 200 are wrong, such as {wrong[:3]}"
    (tmp_path / "plain.in").write_text("".join(f"{line}\n" for line in lines[100:300]))
    (tmp_path / "turned.out").write_text("".join(f"{line[::-1]}\n" for line in lines[100:300]))
    turned = run(tmp_path, "translate", "runs/copy", "--tag", "<turn>", "-i", "plain.in")
    assert turned.stdout == (tmp_path / "turned.out").read_bytes() and b"tags" not in turned.stderr
    scored = run(
        tmp_path, "evaluate", "runs/copy", "--tag=<turn>", "--test", "plain.in", "turned.out", "--metrics=exact"
    )
    assert b"\nexact = 100.0" in scored.stdout
    unknown = run(tmp_path, "translate", "runs/copy", "--tag", "<trun>", stdin=b"a b c\n")
    assert unknown.returncode == 2 and b"trained with (<copy>, <turn>), but is '<trun>'." in unknown.stderr
