"""How well the flags of `mt translate --flags` separate right translations from wrong ones.

    python scripts/bench_flags.py MODEL --pairs val.en.gz val.de.gz [--sentences 500]

Right: the model's own translations, and the references. Wrong: translations of the next source, translations cut after
a half and after two thirds of their words, with the last two words said four times, and translations of sources whose
letters are shuffled within each word.
Prints the area under the ROC curve against the model's own translations (0.5: chance), the share that the thresholds
flag, and the 1st, 50th and 95th percentile. Choose layer and heads first (`mt align`). The same command prints the same
figures. A second table has the share that each of the other flags, which texts alone show, flags.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mistakes import run_script

from mt.cli.link_options import linker_of
from mt.compute.device import set_up_cpu
from mt.decode.load import load
from mt.decode.translation import Segment, Translation
from mt.postprocess.quality_flags import LEAST_CONTRIBUTION, LEAST_COVERAGE, Flag, measure
from mt.text.lines import read_lines
from mt.text.tokenizer import Tokenizer

TEXT_FLAGS = (Flag.repetition, Flag.lost_number, Flag.length)


def given(tokenizer: Tokenizer, sources: Sequence[str], targets: Sequence[str]) -> list[list[Translation]]:
    """Texts as `Translation` objects."""
    found = []
    for source, ids in zip(sources, tokenizer.encode_target(targets), strict=True):
        text, pieces = tokenizer.decode_target(ids), tokenizer.pieces_target(ids)
        segment = Segment((0, len(source)), (0, len(text)), (0, len(pieces)))
        found.append([Translation(text, 0.0, 0.0, pieces, [], True, (segment,))])
    return found


def begun(text: str, share: float) -> str:
    words = text.split()
    return " ".join(words[: max(1, int(len(words) * share))])


def looped(text: str) -> str:
    return " ".join([text, *(text.split()[-2:] * 3)])


def stirred(text: str, draw: random.Random) -> str:
    return " ".join("".join(draw.sample(word, len(word))) for word in text.split())


def auc(wrong: Sequence[float], right: Sequence[float]) -> float:
    """The probability that a wrong translation has less than a right one; equal values count half."""
    low, high = np.array(wrong)[:, None], np.array(right)
    return float((low < high).mean() + (low == high).mean() / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pairs", nargs=2, required=True, metavar=("SOURCE", "REFERENCE"))
    parser.add_argument("--sentences", type=int, default=500)
    args = parser.parse_args()
    set_up_cpu(1)
    translator = load(args.model, device="cpu", precision="fp32")
    linker, t = linker_of(args.model, translator), translator.tokenizer
    sources, references = ([*read_lines(file)][: args.sentences] for file in args.pairs)
    own = translator.answer(sources, translator.options())
    texts, draw = [some[0].text for some in own], random.Random(1)
    noise = [stirred(text, draw) for text in sources]
    sets = {
        "its own": (sources, own),
        "references": (sources, given(t, sources, references)),
        "of the next source": (sources, given(t, sources, [*texts[1:], texts[0]])),
        "cut after a half": (sources, given(t, sources, [begun(text, 1 / 2) for text in texts])),
        "cut after two thirds": (sources, given(t, sources, [begun(text, 2 / 3) for text in texts])),
        "with a loop": (sources, given(t, sources, [looped(text) for text in texts])),
        "of shuffled letters": (noise, translator.answer(noise, translator.options())),
    }
    print("| translations | measure | AUC | flagged | 1 % | 50 % | 95 % |\n|---|---|---|---|---|---|---|")
    shares: list[str] = []
    right: dict[str, list[float]] = {}
    for name, (lines, translations) in sets.items():
        measured = measure(linker, [some[0] for some in linker.link(lines, translations)])
        for what, least in (("contribution", LEAST_CONTRIBUTION), ("coverage", LEAST_COVERAGE)):
            values = [value for one in measured if (value := getattr(one, what)) is not None]
            figures = " | ".join(f"{value:.2f}" for value in np.quantile(values, [0.01, 0.5, 0.95]))
            area = auc(values, right.setdefault(what, values))
            flagged = sum(value < least for value in values) / len(values)
            print(f"| {name} | {what} | {area:.3f} | {flagged:.1%} | {figures} |")
        cells = (f"{sum(flag in one.flags for one in measured) / len(measured):.1%}" for flag in TEXT_FLAGS)
        shares.append(f"| {name} | {' | '.join(cells)} |")
    print(f"\n| translations | {' | '.join(TEXT_FLAGS)} |\n|---|{'---|' * len(TEXT_FLAGS)}", *shares, sep="\n")


if __name__ == "__main__":
    run_script(main)
