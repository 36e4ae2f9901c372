"""Summaries: what a model must beat, what teaches it to copy, and what a long source costs.

    python scripts/summaries.py floor SOURCE TARGET [--hypotheses FILE] [--words 12]
    python scripts/summaries.py lead SOURCE data/debian_synopsis/train.lead [--words 12]
    python scripts/summaries.py links SOURCE TARGET data/debian.synopses
    python scripts/summaries.py lengths [--tokens 8192] [--target 10] [--updates 5] [SETTING=VALUE ...]

`floor` prints ROUGE of the first words of each source, and of a file of summaries with a paired bootstrap test against
them. `lead` writes the first words of each source, which a model learns to copy before it learns to summarise. `links`
links each word of a summary to the first equal word of its source, for guided alignment: one head of the decoder then
looks at the words that a summary takes over (`alignment.links`). `lengths` prints the time of an update and the peak
memory of its process for sources of 256, 512 and 1,024 random pieces, with the same number of source pieces in an
update. Attention grows with the length; the other layers do not.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mistakes import run_script

from mt.cli.compose import compose
from mt.data.corpus.readers import read_pairs
from mt.text.lines import read_lines
from mt.text.metrics import compare, score_all
from mt.text.words import spaced_words

LENGTHS = (256, 512, 1024)
SIGNS = ".,;:()'\"!?/*-"  # around words; not those of C++ and C#


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    floor = parts.add_parser("floor")
    floor.add_argument("files", nargs=2, metavar="FILE", help="sources and references")
    floor.add_argument("--hypotheses", metavar="FILE")
    floor.add_argument("--words", type=int, default=12)
    leads = parts.add_parser("lead")
    leads.add_argument("file", metavar="SOURCE")
    leads.add_argument("out", type=Path, metavar="FILE", help="the file to write")
    leads.add_argument("--words", type=int, default=12)
    links = parts.add_parser("links")
    links.add_argument("files", nargs=2, metavar="FILE", help="sources and summaries of training")
    links.add_argument("out", type=Path, metavar="LINKS", help="the file to write")
    lengths = parts.add_parser("lengths")
    lengths.add_argument("settings", nargs="*", metavar="SETTING=VALUE")
    lengths.add_argument("--tokens", type=int, default=8192, help="source pieces of an update")
    lengths.add_argument("--target", type=int, default=10, help="pieces of a summary")
    lengths.add_argument("--updates", type=int, default=5)
    lengths.add_argument("--length", type=int, help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args(argv)
    if args.part == "floor":
        show_floor(args.files, args.hypotheses, args.words)
    elif args.part == "lead":
        write(args.out, lead(list(read_lines(args.file)), args.words))
    elif args.part == "links":
        write(args.out, [linked(pair.src, pair.tgt) for pair in read_pairs(args.files, None, None)])
    elif args.length:
        print(row(args.length, args.tokens, args.target, args.updates, args.settings), flush=True)
    else:
        print("| source pieces | sentences an update | CPU seconds an update | peak memory, MB |\n|---|---|---|---|")
        for length in LENGTHS:
            command = [sys.executable, __file__, *argv, "--length", str(length)]
            subprocess.run(command, check=True)


def show_floor(files: list[str], hypotheses: str | None, words: int) -> None:
    pairs = list(read_pairs(files, None, None))
    references = [pair.tgt for pair in pairs]
    leads = lead([pair.src for pair in pairs], words)
    print(f"the first {words} words of {len(pairs):,} sources:")
    for score in score_all(leads, references, bootstrap=1000, metrics=["rouge"]):
        print(score)
    if hypotheses:
        lines = list(read_lines(hypotheses))
        print(f"first words -> {hypotheses}, paired bootstrap:")
        for change in compare(leads, lines, references, metrics=["rouge"]):
            print(change)


def lead(sources: list[str], words: int) -> list[str]:
    """The first words of each source."""
    return [" ".join(source.split()[:words]) for source in sources]


def write(file: Path, lines: Sequence[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def linked(source: str, target: str) -> str:
    """Links in Pharaoh's form. Words are equal whatever their case and the signs around them."""
    first: dict[str, int] = {}
    for place, word in enumerate(bare_words(source)):
        first.setdefault(word, place)
    places = ((first.get(word), place) for place, word in enumerate(bare_words(target)) if word)
    return " ".join(f"{found}-{place}" for found, place in places if found is not None)


def bare_words(text: str) -> list[str]:
    """The words that the places of `alignment.links` count; empty for those of signs alone."""
    return [text[start:end].lower().strip(SIGNS) for start, end in spaced_words(text)]


def row(length: int, tokens: int, target: int, updates: int, settings: list[str]) -> str:
    """A line of the table. CPU time: a busy machine does not change it much."""
    import torch

    from mt.compute.device import set_up_cpu
    from mt.nn.encoders import text_model
    from mt.nn.losses import cross_entropy
    from mt.nn.ragged import Ragged
    from mt.nn.source import TokenSource

    config = compose([f"model.max_length={max(LENGTHS)}", *settings])
    set_up_cpu(config.train.threads)
    torch.manual_seed(config.train.seed)
    vocabulary = 8000
    model = text_model(config.model, src_size=vocabulary, tgt_size=vocabulary).train()
    sentences = tokens // length
    source = TokenSource.pack(torch.randint(4, vocabulary, (sentences, length)).tolist())
    ids = torch.randint(4, vocabulary, (sentences * target,))
    layout = Ragged.from_lengths([target] * sentences)

    def update() -> None:
        model.zero_grad()
        hidden = model(source, ids, layout)
        cross_entropy(hidden, model.out_weight, ids, 0.1).smoothed.backward()

    update()  # kernels and memory are made
    started = time.process_time()
    for _ in range(updates):
        update()
    seconds = (time.process_time() - started) / updates
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"| {length:,} | {sentences} | {seconds:.2f} | {peak:,.0f} |"


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
