"""Tables for `experiment=multi30k_en_fr_de`, and the comparison of two sources with one.

    python scripts/multi30k_tables.py make FOLDER data/multi30k_en_fr     writes train.tsv, dev.tsv, test.tsv and others
    python scripts/multi30k_tables.py compare data/multi30k_en_fr --seeds 1 2 3

FOLDER holds `train`, `val` and `test_2016_flickr` with the endings .en, .fr and .de, or .en.gz and so on: 29,000
captions for training, 1,014 for dev, 1,000 for the test. `test_no_fr.tsv` and `test_no_en.tsv` have empty cells in one
column; `test_wrong_fr.tsv` has the French of another row.

`compare` trains English and French to German, and English alone to German, with the same updates of about as many
pairs, and prints BLEU of both, of the model of two sources where one is missing or wrong, and the share of
cross-attention that each source gets. A run that exists is not trained again; a run that was stopped goes on.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

from mistakes import run_script

from mt.data.corpus.catalog import locate
from mt.text.lines import read_lines

SETS = {"train": "train", "dev": "val", "test": "test_2016_flickr"}
COLUMNS = ("en", "fr", "de")
# Settings of the model of two sources: another needs several inputs for them, or has no use of them.
OF_TWO = ("model.source_dropout=", "model.fusion=", "model.share_encoders=", "loss.consistency=")


def lines(folder: Path, name: str) -> list[str]:
    """The lines of a file, plain or compressed, without tabs."""
    return [" ".join(line.split()) for line in read_lines(locate(name, folder, ""))]


def write(path: Path, rows: list[tuple[str, ...]]) -> None:
    path.write_text("\n".join("\t".join(row) for row in [COLUMNS, *rows]) + "\n", encoding="utf-8")
    print(f"{path}: {len(rows):,} rows")


def make(folder: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = []
    for name, file in SETS.items():
        rows = list(zip(*(lines(folder, f"{file}.{column}") for column in COLUMNS), strict=True))
        write(out / f"{name}.tsv", rows)
    write(out / "test_no_fr.tsv", [(en, "", de) for en, _, de in rows])
    write(out / "test_no_en.tsv", [("", fr, de) for _, fr, de in rows])
    french = [fr for _, fr, _ in rows]
    random.Random(1).shuffle(french)
    write(out / "test_wrong_fr.tsv", [(en, fr, de) for (en, _, de), fr in zip(rows, french, strict=True)])


def mt(*args: str) -> str:
    """What a command writes to stdout; its progress goes to stderr."""
    return subprocess.run([sys.executable, "-m", "mt", *args], check=True, stdout=subprocess.PIPE, text=True).stdout


def bleu(run: Path, table: Path) -> tuple[float, str]:
    report = json.loads(mt("evaluate", str(run), "--test", str(table), "--bootstrap", "0", "--json"))
    (found,) = [one for one in report["scores"] if one["name"] == "BLEU"]
    return found["value"], found["signature"]


def compare(tables: Path, seeds: list[int], root: Path, more: list[str]) -> None:
    for seed in seeds:
        for name, inputs in (("en", "[en:text]"), ("en_fr", "[en:text,fr:text]")):
            run = root / f"multi30k_{name}_de.{seed}"
            if not (run / "model").is_dir():
                own = more
                if name == "en":
                    own = [
                        "model.source_dropout=0",
                        "model.share_encoders=false",
                        "loss.consistency=0",
                        "batch.tokens=1024",
                        *(s for s in more if not s.startswith(OF_TWO)),
                    ]
                settings = [f"data.inputs={inputs}", f"data.root={tables.parent}", f"train.seed={seed}", *own]
                mt("train", "experiment=multi30k_en_fr_de", *settings, f"run.root={root}", f"run.name={run.name}")
            sets = ["test"] if name == "en" else ["test", "test_no_fr", "test_no_en", "test_wrong_fr"]
            for table in sets:
                value, signature = bleu(run, tables / f"{table}.tsv")
                print(f"{run.name}  {table:14s}{value:6.2f}  {signature}", flush=True)
        rows = mt("inspect", "attention", str(run), "--input", str(tables / "test.tsv"), "--lines", "1000")
        header, *_, shares = rows.removesuffix("\n").split("\n")
        print(f"{run.name}  shares of cross-attention: {header} / {shares}".replace("\t", " "), flush=True)


def arguments(description: str | None, more: str) -> argparse.ArgumentParser:
    """The options of `make` and `compare`. Args: more: what settings of `--set` are for."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="what", required=True)
    maker = verbs.add_parser("make")
    maker.add_argument("folder", type=Path)
    maker.add_argument("out", type=Path)
    comparer = verbs.add_parser("compare")
    comparer.add_argument("tables", type=Path)
    comparer.add_argument("--seeds", type=int, nargs="+", default=[1])
    comparer.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of the runs")
    comparer.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help=more)
    return parser


def main() -> None:
    more = "settings of both models, of which those of several inputs are for the model of two"
    args = arguments(__doc__, more).parse_args()
    if args.what == "make":
        make(args.folder, args.out)
    else:
        compare(args.tables, args.seeds, args.runs, args.set)


if __name__ == "__main__":
    run_script(main)
