"""Going on from a model (`init=`) against training from nothing: a Tatoeba model and some pairs of Multi30k.

    python scripts/adapt.py --data DIR --work runs/adapt                  # all three runs, then the table
    python scripts/adapt.py --data DIR --work runs/adapt --pairs 60       # with fewer pairs
    python scripts/adapt.py --data DIR --work runs/adapt optim.lr=1e-4    # other settings for `init=`

DIR has the folders `tatoeba_deen` and `multi30k`: `train`, `dev` or `val`, and `test` or `test_2016_flickr`, for each
language, compressed. English to German. The runs:

- base: trained on the text of Tatoeba;
- adapted: `mt train init=base` on the first PAIRS pairs of Multi30k, of which every tenth is for dev, with the defaults
  of `init=`;
- nothing: from nothing on the same pairs with the same dev; model, vocabulary and dropout are those for little text.

A run that is finished is not repeated. Test sets choose nothing. Scores are of sacreBLEU, with beam 5, and their 95 %
intervals come from 1,000 resamples.
"""

import argparse
import gzip
import json
import subprocess
import sys
from pathlib import Path

from mistakes import run_script

SRC, TGT = "en", "de"
SHAPE = ["model=small", "model.dim=192", "model.ffn_dim=768", "tokenizer.vocab_size=4000"]
BASE = "train.minutes=null train.validate_every=500 train.validate_pairs=200 optim.lr=2.5e-3 schedule.warmup_steps=200"
# Enough epochs and patience that more do not help; a low rate and much dropout, as for Multi30k itself.
SCRATCH = "train.minutes=null train.validate_every=100 train.patience=8 train.average=3 batch.tokens=1024"
SMALL = "model=tiny model.dropout=0.3 tokenizer=bpe tokenizer.vocab_size=auto optim.lr=2e-3 schedule.warmup_steps=200"


def files(folder: Path, name: str) -> str:
    return f"{folder / name}.{SRC}.gz,{folder / name}.{TGT}.gz"


def train(work: Path, name: str, *settings: str) -> None:
    command = [sys.executable, "-m", "mt", "train", f"run.root={work}", f"run.name={name}", *settings]
    print("$ mt train", *command[4:], flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def evaluate(work: Path, name: str, label: str, test: str) -> list[str]:
    """BLEU and chrF++ of a run on two files, as cells."""
    kept = work / name / f"scores.{label}.json"
    if not kept.exists():
        command = [sys.executable, "-m", "mt", "evaluate", str(work / name), "--json", "--test", *test.split(",")]
        kept.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    scores = json.loads(kept.read_text(encoding="utf-8"))["scores"]
    return [f"{score['value']:.1f} ± {score['confidence']:.1f}" for score in scores if score["name"] != "TER"]


def first_pairs(folder: Path, work: Path, pairs: int) -> tuple[str, str]:
    """The settings `data.train` and `data.dev` of the first pairs: a tenth of them, evenly spread, is dev."""
    for side in (SRC, TGT):
        lines = gzip.decompress((folder / f"train.{side}.gz").read_bytes()).decode().split("\n")[:pairs]
        for name, some in (("dev", lines[::10]), ("train", [s for n, s in enumerate(lines) if n % 10])):
            (work / f"{name}{pairs}.{side}").write_text("".join(f"{line}\n" for line in some), encoding="utf-8")
    sides = {name: ",".join(str(work / f"{name}{pairs}.{side}") for side in (SRC, TGT)) for name in ("train", "dev")}
    return f"data.train=[{sides['train']}]", f"data.dev=[{sides['dev']}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--base-steps", type=int, default=2500)
    parser.add_argument("--scratch-steps", type=int, default=2000)
    parser.add_argument("--only", nargs="+", choices=["base", "adapted", "nothing"])
    parser.add_argument("settings", nargs="*", help="more settings of the adapted run, which then has another name")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    tatoeba, multi30k = args.data / "tatoeba_deen", args.data / "multi30k"
    tests = {"Multi30k": files(multi30k, "test_2016_flickr"), "Tatoeba": files(tatoeba, "test")}
    wanted = args.only or ["base", "adapted", "nothing"]
    names = {"base": "base", "nothing": f"nothing-{args.pairs}"}
    names["adapted"] = "-".join([f"adapted-{args.pairs}", *(text.replace("/", "_") for text in args.settings)])
    if "base" in wanted:
        text = [f"data.{name}=[{files(tatoeba, name)}]" for name in ("train", "dev", "test")]
        train(args.work, "base", *SHAPE, *BASE.split(), f"train.steps={args.base_steps}", *text)
    text = [*first_pairs(multi30k, args.work, args.pairs), f"data.test=[{tests['Multi30k']}]"]
    scratch = [*SCRATCH.split(), f"train.steps={args.scratch_steps}"]
    if "adapted" in wanted:
        train(args.work, names["adapted"], f"init={args.work / 'base'}", *args.settings, *text)
    if "nothing" in wanted:
        train(args.work, names["nothing"], *SMALL.split(), *scratch, *text)
    titles = [f"{test} {score}" for test in tests for score in ("BLEU", "chrF++")]
    print("| run | " + " | ".join(titles) + " |\n|---|" + "---|" * len(titles))
    for name in wanted:
        cells = [cell for test, pair in tests.items() for cell in evaluate(args.work, names[name], test, pair)]
        print("| " + " | ".join([names[name], *cells]) + " |", flush=True)


if __name__ == "__main__":
    run_script(main)
