"""Keep a run of this version for tests of later versions: files of every schema must load and give the same results.

    python scripts/make_golden.py tests/golden/schema-2

Trains a toy on number words for twelve updates and writes 200 kB: the text, the run with its last checkpoint and its
model folder, and `expected.json` with its translations, its losses, and those of the run made six updates longer. There
is no dropout, so that a version with other random masks must still give these losses. Run it once, with the last
version that writes the old schema, before a number in `mt/checkpoint/schema.py` goes up; an existing folder is never
overwritten.
"""

import argparse
import json
import os
import random
import shutil
import sys
from pathlib import Path

from mt.cli.main import main
from mt.decode.load import load

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
ZAHLEN = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]
COMMAND = (
    "train data.train=[train.tsv] data.dev=[dev.tsv] data.src=en data.tgt=de tokenizer.vocab_size=60 "
    "tokenizer.byte_fallback=false tokenizer.normalization=identity model.dim=16 model.heads=2 model.ffn_dim=24 "
    "model.encoder_layers=1 model.decoder_layers=1 model.dropout=0 model.max_length=64 batch.tokens=64 "
    "batch.max_length=32 batch.pool=60 optim.lr=2e-2 schedule.warmup_steps=3 train.device=cpu train.threads=1 "
    "train.precision=fp32 train.minutes=null train.log_every=1 train.validate_every=12 train.validate_pairs=4 "
    "train.ema=0.5 decode.beam=2 run.name=golden"
)
SENTENCES = ["one two three", "ten", "", "nine eight seven six"]


def write_text(file: Path, count: int, seed: int) -> None:
    draw = random.Random(seed)
    rows = [[draw.randrange(10) for _ in range(draw.randint(2, 6))] for _ in range(count)]
    lines = [" ".join(WORDS[n] for n in row) + "\t" + " ".join(ZAHLEN[n] for n in row) + "\n" for row in rows]
    file.write_text("".join(lines), encoding="utf-8")


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().split("\n")[:-1]]
    return [line["loss"] for line in lines if line["kind"] == "train"]


def make(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.chdir(folder)
    write_text(Path("train.tsv"), 120, seed=1)
    write_text(Path("dev.tsv"), 8, seed=2)
    if code := main([*COMMAND.split(), "train.steps=12"]):
        sys.exit(code)
    run = Path("runs/golden")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["attempts"] = []  # they describe the machine
    (run / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    for rest in ("tensorboard", "samples", "eval"):
        shutil.rmtree(run / rest, ignore_errors=True)
    for rest in ("train.log", ".lock"):
        (run / rest).unlink(missing_ok=True)
    shutil.rmtree("data")  # the tokenizer's cache
    found = load(run, device="cpu").search(SENTENCES, beam=2)
    expected = {
        "command": COMMAND.split(),
        "losses": losses(run),
        "translations": [
            {"source": s, "text": f[0].text, "log_prob": f[0].log_prob} for s, f in zip(SENTENCES, found, strict=True)
        ],
    }
    shutil.copytree(run, "runs/longer")
    main([*COMMAND.split(), "run.name=longer", "train.steps=18"])
    expected["longer"] = losses(Path("runs/longer"))
    shutil.rmtree("runs/longer")
    shutil.rmtree("data")
    Path("expected.json").write_text(json.dumps(expected, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="must not exist")
    args = parser.parse_args()
    if args.folder.exists():
        parser.error(f"{args.folder} exists already; name a new folder")
    make(args.folder.resolve())
