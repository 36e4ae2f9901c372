"""What does a model make of sentences that are run together in one line without marks?

    python scripts/run_on_lines.py MODEL --pairs dev.de.gz dev.en.gz [--sentences 240] [--device cpu]

Lines of one, two and three sentences, spread over the file and shuffled, without any punctuation. Each row says how
good their translations are where a line is one sentence (`--split never`), where `decode.split=always` looks for the
ends of sentences, and where every sentence is translated alone, which is the best that could be. Both sides are
compared in lower case and without marks. The first row is the lines as they stand, with their marks. Seconds are of
the process.
"""

import argparse
import random
import time
from pathlib import Path

from long_lines import MARKS
from mistakes import run_script

import mt
from mt.compute.device import set_up_cpu
from mt.config import Split
from mt.decode.translator import Translator
from mt.text.lines import read_lines, spread
from mt.text.metrics import bleu, chrf

Line = tuple[list[str], str]  # its sentences, and their reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a run or a model folder")
    parser.add_argument("--pairs", nargs=2, required=True, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--sentences", type=int, default=240)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    set_up_cpu(None)
    translator = mt.load(args.model, device=args.device)
    pairs = list(zip(*map(read_lines, args.pairs), strict=True))
    pairs = [pairs[place] for place in spread(len(pairs), args.sentences)]
    random.Random(1).shuffle(pairs)
    print(f"{args.model}, {args.pairs[0]}; usual lines: {translator.usual}\n")
    print(
        "| sentences in a line | lines | never: chrF++, BLEU, words, s | always | each alone |\n|---|---|---|---|---|"
    )
    bare_pairs = [(bare(source), target) for source, target in pairs]
    show("1, as it stands", [([source], target) for source, target in pairs], translator)
    for size in (1, 2, 3):
        groups = [bare_pairs[i : i + size] for i in range(0, len(pairs) - size + 1, size)]
        show(str(size), [([s for s, _ in group], " ".join(t for _, t in group)) for group in groups], translator)


def bare(text: str) -> str:
    return " ".join(MARKS.sub(" ", text).split())


def show(name: str, lines: list[Line], translator: Translator) -> None:
    texts, references = [" ".join(sentences) for sentences, _ in lines], [bare(target).lower() for _, target in lines]
    cells = []
    for split in (Split.never, Split.always, None):
        begun = time.process_time()
        if split is not None:
            said = [best[0].text for best in translator.answer(texts, translator.options(split=split))]
        else:
            alone = iter(translator.translate([one for sentences, _ in lines for one in sentences], split="never"))
            said = [" ".join(next(alone) for _ in sentences) for sentences, _ in lines]
        seconds, said = time.process_time() - begun, [bare(text).lower() for text in said]
        scores = f"{chrf(said, references).value:.1f}, {bleu(said, references).value:.1f}"
        cells.append(f"{scores}, {sum(len(text.split()) for text in said):,}, {seconds:.1f}")
    print(f"| {name} | {len(lines):,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    run_script(main)
