"""Word alignment against statistical aligners trained on the same pairs: AER, precision, recall.

    python scripts/bench_alignment.py text     --work runs/align --data ../shared/data  # lower-cased, Moses tokens
    python scripts/bench_alignment.py others   --work runs/align                        # eflomal, fast_align
    python scripts/bench_alignment.py ours     --work runs/align --forward runs/a --backward runs/b
    python scripts/bench_alignment.py commands --work runs/align                         # how to train those two

All systems see the 20,000 training pairs and the text of the 100 test pairs, without their links (aligners have no
other way to see a test set), lower-cased and tokenised as the gold links' text is. Layer and heads are chosen by
agreement on the first 500 training pairs.

Needs `pip install eflomal sacremoses systran-align`; the last is fast_align in a wheel,
which hands out links that it has symmetrised itself, so it has one row.
"""

import argparse
import gzip
import shutil
import subprocess
import sys
from pathlib import Path

from mt.interpret.gold import Gold, compare, read_gold
from mt.interpret.symmetrize import HEURISTICS
from mt.words import Links

SRC, TGT = "de", "en"
TRAIN = """\
mt train data.corpus=null data.src={src} data.tgt={tgt} "data.train=[{work}/all.{src},{work}/all.{tgt}]" \\
  "data.dev=[{work}/gold.{src},{work}/gold.{tgt}]" \\
  tokenizer=bpe tokenizer.vocab_size=6000 tokenizer.byte_fallback=false \\
  model=small model.dim=192 model.ffn_dim=512 model.encoder_layers=2 model.decoder_layers=3 model.dropout=0.15 \\
  batch.tokens=2048 schedule.warmup_steps=400 train.steps=6000 train.validate_every=1000 train.minutes=null \\
  run.name=align_{src}{tgt}"""


def prepare(data: Path, work: Path) -> None:
    """`train`, `gold` and both together as `all`, one file a language; `gold.links`, counted from 0."""
    from sacremoses import MosesTokenizer

    work.mkdir(parents=True, exist_ok=True)
    for language in (SRC, TGT):
        tokenizer = MosesTokenizer(language)
        raw = gzip.decompress((data / f"europarl20k_deen/train.{language}.gz").read_bytes()).decode().split("\n")[:-1]
        train = [" ".join(tokenizer.tokenize(line, escape=False)).lower() for line in raw]
        gold = gzip.decompress((data / f"gold_align_deen/test.{language}.gz").read_bytes()).decode().split("\n")[:-1]
        for name, lines in (("train", train), ("gold", gold), ("all", train + gold)):
            (work / f"{name}.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (work / "gold.links").write_bytes(gzip.decompress((data / "gold_align_deen/test.talp0.gz").read_bytes()))


def read_links(path: Path) -> list[Links]:
    return [gold.sure for gold in read_gold(path.read_text().split("\n")[:-1], base=0, path=path)]


def table(name: str, forward: list[Links], backward: list[Links], gold: list[Gold]) -> None:
    """A row for each direction and each way to join them."""
    rows = {"forward": forward, "backward": backward}
    for way, join in HEURISTICS.items():
        rows[way] = [join(f, b) for f, b in zip(forward, backward, strict=True)]
    for way, links in rows.items():
        row(name, way, links, gold)


def row(name: str, way: str, links: list[Links], gold: list[Gold]) -> None:
    found = compare(links, gold)
    figures = " | ".join(f"{100 * value:.2f}" for value in (found.aer, found.precision, found.recall))
    print(f"| {name} | {way} | {figures} |", flush=True)


def others(work: Path, gold: list[Gold]) -> None:
    texts = [str(work / f"all.{language}") for language in (SRC, TGT)]
    sides = [str(work / f"eflomal.{way}") for way in ("forward", "backward")]
    program = shutil.which("eflomal-align") or str(Path(sys.executable).parent / "eflomal-align")
    subprocess.run([program, "-s", texts[0], "-t", texts[1], "-f", sides[0], "-r", sides[1]], check=True)
    there, back = (read_links(Path(side))[-len(gold) :] for side in sides)
    table("eflomal", there, back, gold)
    import systran_align

    lines = zip(*((work / f"all.{language}").read_text().split("\n")[:-1] for language in (SRC, TGT)), strict=True)
    (work / "fast_align.text").write_text("".join(f"{s} ||| {t}\n" for s, t in lines))
    tables = [str(work / f"fast_align.{way}") for way in ("forward", "backward")]
    # fast_align's -d -o -v, as its README says
    options = {"favor_diagonal": True, "optimize_tension": True, "variational_bayes": True}
    systran_align.generate_alignment_probabilities(str(work / "fast_align.text"), *tables, **options)
    words = [[line.split() for line in (work / f"gold.{side}").read_text().split("\n")[:-1]] for side in (SRC, TGT)]
    found = systran_align.Aligner(*tables).align_batch(*words)
    row("fast_align", "its own", [set(map(tuple, one["alignments"])) for one in found], gold)


def ours(work: Path, forward: Path, backward: Path, gold: list[Gold]) -> None:
    from mt.build import load
    from mt.interpret.align import hard_links, joint_links, turned
    from mt.interpret.aligner import CHOOSE_ON, Aligner, choose

    aligners = []
    for path in (forward, backward):
        translator = load(path, device="cpu", precision="fp32")
        aligners.append(Aligner(translator.stepper.model, translator.tokenizer, max_length=translator.max_length))
    texts = {(n, s): (work / f"{n}.{s}").read_text().split("\n")[:-1] for n in ("train", "gold") for s in (SRC, TGT)}
    first = [texts["train", side][:CHOOSE_ON] for side in (SRC, TGT)]
    for choice in choose(aligners[0], first[0], first[1], aligners[1]):
        print(f"# {choice.reading.describe()}: {choice.criterion} {choice.score:.3f} on {choice.pairs} training pairs")
    weights = [
        list(aligner.weights(texts["gold", a], texts["gold", b]))
        for aligner, (a, b) in zip(aligners, ((SRC, TGT), (TGT, SRC)), strict=True)
    ]
    there, back = [hard_links(w) for w in weights[0]], [turned(hard_links(w)) for w in weights[1]]
    table("attention", there, back, gold)
    row("attention", "joint", [joint_links(f, b) for f, b in zip(*weights, strict=True)], gold)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["text", "others", "ours", "commands"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--forward", type=Path, help=f"a model from {SRC} to {TGT}")
    parser.add_argument("--backward", type=Path, help=f"a model from {TGT} to {SRC}")
    asked = parser.parse_args()
    if asked.what == "commands":
        for src, tgt in ((SRC, TGT), (TGT, SRC)):
            print(TRAIN.format(src=src, tgt=tgt, work=asked.work))
        return
    if asked.what == "text":
        prepare(asked.data, asked.work)
        return
    path = asked.work / "gold.links"
    gold = read_gold(path.read_text().split("\n")[:-1], base=0, path=path)
    print("| system | joined by | AER | precision | recall |\n|---|---|---|---|---|")
    if asked.what == "others":
        others(asked.work, gold)
    else:
        ours(asked.work, asked.forward, asked.backward, gold)


if __name__ == "__main__":
    main()
