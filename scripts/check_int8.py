"""What CTranslate2's int8 costs trained models: BLEU of every preset and of random options, beside ours in fp32.

    python scripts/check_int8.py data/int8 [--random 20] [--steps 400]

Trains each model on sentences of `number_sentences.py`, English to German, and translates test sentences that training
has not seen with our engine in fp32 and with CTranslate2 in float32 and int8, greedy and with a beam of 5. A preset
keeps its options, layers and heads, but has 16 numbers for each head (at least 128), so that all take minutes. Models
that are there are not trained again. Exit code 1 where int8 loses more than 0.3 BLEU.
"""

import argparse
import random
import subprocess
import sys
from pathlib import Path

import yaml
from mistakes import run_script

import mt
from mt.text.lines import read_lines
from mt.text.metrics import bleu

ROOT = Path(__file__).parents[1]
OPTIONS: dict[str, list[object]] = {
    "norm": ["pre", "post"],
    "norm_kind": ["layernorm", "rmsnorm"],
    "positions": ["sinusoidal", "learned", "rotary"],
    "activation": ["relu", "gelu", "silu", "swiglu", "geglu"],
    "kv_heads": [1, 2, 4],
    "tying": ["none", "decoder", "all"],
    "bias": [True, False],
}
SIZES = {"dim": 128, "heads": 4, "ffn_dim": 256, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.0}
SETS = {"train": (6000, 1), "dev": (100, 2), "test": (1000, 3)}  # sentences and seed
LAYERS = "heads", "encoder_layers", "decoder_layers"
MOST = 0.3  # BLEU


def shapes(count: int) -> dict[str, dict[str, object]]:
    """Options of each model by its name."""
    draw = random.Random(18)
    drawn = [{name: draw.choice(values) for name, values in OPTIONS.items()} for _ in range(count)]
    found = {f"random_{number}": options for number, options in enumerate(drawn, 1)}
    for file in sorted((ROOT / "configs/model").glob("*.yaml")):
        values = yaml.safe_load(file.read_text(encoding="utf-8"))["model"]
        kept = {name: value for name, value in values.items() if name in (*OPTIONS, *LAYERS)}
        dim = max(SIZES["dim"], 16 * values["heads"])
        found[file.stem] = {**kept, "dim": dim, "ffn_dim": 2 * dim}
    return found


def rate(shape: dict[str, object]) -> float:
    """The learning rate. At that of the others, six layers with post-norm learn nothing (BLEU 0.03, docs/LOG.md)."""
    deep = shape["encoder_layers"] != SIZES["encoder_layers"]
    return 5e-4 if deep and shape.get("norm") == "post" else 2e-3


def train(folder: Path, name: str, options: dict[str, object], steps: int) -> Path:
    run = folder / "runs" / name
    if not (run / "model").is_dir():
        shape = {**SIZES, **options}
        given = [f"model.{key}={str(value).lower()}" for key, value in shape.items()]
        given += [f"data.{split}=[{folder}/{split}.en,{folder}/{split}.de]" for split in ("train", "dev")]
        given += ["tokenizer.vocab_size=1000", "batch.tokens=1024"]
        given += [f"optim.lr={rate(shape)}", "schedule.warmup_steps=200"]
        given += ["train.minutes=null", f"train.steps={steps}", f"train.validate_every={steps}"]
        subprocess.run(
            [sys.executable, "-m", "mt", "train", *given, f"run.root={run.parent}", f"run.name={name}"],
            check=True,
            stdout=sys.stderr,
        )
    return run


def scores(run: Path, sources: list[str], references: list[str]) -> list[float]:
    """BLEU of fp32, float32 and int8 in greedy search, then of the same in search with a beam of 5."""
    found = []
    engines = (
        mt.load(run, device="cpu", precision="fp32"),
        mt.load(run, device="cpu", engine="ct2"),
        mt.load(run, device="cpu", engine="ct2", quantization="int8"),
    )
    for beam in (1, 5):
        for translator in engines:
            found.append(bleu(translator.translate(sources, beam=beam), references).value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--random", type=int, default=20, metavar="N", help="models of random options")
    parser.add_argument("--steps", type=int, default=400, help="updates of each model")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for split, (count, seed) in SETS.items():
        making = [str(Path(__file__).parent / "number_sentences.py"), "en", "de", str(args.folder / split)]
        subprocess.run(
            [sys.executable, *making, "--sentences", str(count), "--seed", str(seed)], check=True, stdout=sys.stderr
        )
    known = set(read_lines(args.folder / "train.en"))
    pairs = zip(*(read_lines(args.folder / f"test.{side}") for side in ("en", "de")), strict=True)
    sources, references = map(list, zip(*(pair for pair in pairs if pair[0] not in known), strict=True))
    print(f"{len(sources):,} test sentences\n")
    print("| model | options | greedy: fp32 | float32 | int8 | beam 5: fp32 | float32 | int8 |")
    print("|---|---|---|---|---|---|---|---|")
    worst = 0.0
    for name, options in shapes(args.random).items():
        found = scores(train(args.folder, name, options, args.steps), sources, references)
        told = " ".join(f"{key}={value}" for key, value in options.items())
        print(f"| {name} | {told} | {' | '.join(f'{one:.2f}' for one in found)} |", flush=True)
        worst = max(worst, found[0] - found[2], found[3] - found[5])
    print(f"\nint8 loses at most {worst:.2f} BLEU")
    sys.exit(int(worst > MOST))


if __name__ == "__main__":
    run_script(main)
