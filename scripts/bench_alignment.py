"""Word alignment against statistical aligners trained on the same pairs: AER, precision, recall.

    python scripts/bench_alignment.py text     --work runs/align --data DATA            # lower-cased, Moses tokens
    python scripts/bench_alignment.py others   --work runs/align                        # eflomal, fast_align
    python scripts/bench_alignment.py counted  --work runs/align                        # mt align without a model
    python scripts/bench_alignment.py counted  --work runs/align --forward runs/a --backward runs/b  # mt align --learn
    python scripts/bench_alignment.py links    --work runs/align                        # links for guided alignment
    python scripts/bench_alignment.py commands --work runs/align                        # how to train six models
    python scripts/bench_alignment.py ours     --work runs/align --forward runs/a --backward runs/b

All systems get the 20,000 training pairs and the text of the 100 test pairs without their links (statistical aligners
cannot align unseen text), lower-cased and tokenised like the text of the gold links. Guided models are trained on the
links that eflomal, or `mt align` without a model, finds in the training pairs alone, both directions joined by
grow-diag-final-and; no link of a test pair is used. Gold links choose nothing. Without guidance, layer and heads are
those on which both directions agree most in the first 500 training pairs. The least weight of a link is chosen on the
same pairs, by the guiding links where there are some (`--guide`), else by agreement.

Needs `pip install eflomal sacremoses systran-align`. The last is fast_align in a wheel; it returns links that are
already symmetrized, so it has one row.
"""

import argparse
import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mistakes import run_script

from mt.alignment.heads import hard_links, joint_links, turned
from mt.alignment.hmm import LIKELY
from mt.alignment.pharaoh import Gold, compare, pharaoh, read_gold
from mt.alignment.symmetrize import HEURISTICS
from mt.text.words import Links

if TYPE_CHECKING:
    from torch import Tensor

    from mt.alignment.aligner import Aligner

SRC, TGT = "de", "en"
GUIDE = "grow-diag-final-and"
LEAST = [n / 20 for n in range(1, 15)]  # candidates for the least weight of a link
TRAIN = """\
mt train data.corpus=null data.src={src} data.tgt={tgt} \\
  "data.train=[{work}/train.{src},{work}/train.{tgt},{work}/gold.{src},{work}/gold.{tgt}]" \\
  "data.dev=[{work}/gold.{src},{work}/gold.{tgt}]" \\
  tokenizer=bpe tokenizer.vocab_size=6000 tokenizer.byte_fallback=false \\
  model=small model.dim=192 model.ffn_dim=512 model.encoder_layers=2 model.decoder_layers=3 model.dropout=0.15 \\
  batch.tokens=2048 optim.lr=3e-3 schedule.warmup_steps=400 train.steps=5000 train.minutes=null \\
  train.validate_every=1000 train.validate_pairs=100 train.average=1 run.name={name}_{src}{tgt}"""
# The layer is the last but one, the default. Short runs need a larger weight than the 0.05 of Garg et al. (2019).
GUIDED = ' \\\n  "alignment.links=[{work}/{name}.{src}{tgt},{work}/guided.none]" alignment.weight=0.3'
OURS = """\
python scripts/bench_alignment.py ours --work {work} \\
  --forward runs/{name}_{src}{tgt} --backward runs/{name}_{tgt}{src}"""
BY_GUIDE = " --guide {work}/{name}.{src}{tgt}"


def prepare(data: Path, work: Path) -> None:
    """`train`, `gold` and both together as `all`, one file a language; `gold.links`, counted from 0."""
    from sacremoses import MosesTokenizer  # pyright: ignore[reportMissingImports]

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


def eflomal(work: Path, name: str) -> list[list[Links]]:
    """Both directions of a text of `prepare`, as (source, target) words."""
    texts = [str(work / f"{name}.{language}") for language in (SRC, TGT)]
    sides = [str(work / f"eflomal.{name}.{way}") for way in ("forward", "backward")]
    program = shutil.which("eflomal-align") or str(Path(sys.executable).parent / "eflomal-align")
    subprocess.run([program, "--overwrite", "-s", texts[0], "-t", texts[1], "-f", sides[0], "-r", sides[1]], check=True)
    return [read_links(Path(side)) for side in sides]


def read_sides(work: Path, name: str) -> tuple[list[str], list[str]]:
    src, tgt = ((work / f"{name}.{side}").read_text().split("\n")[:-1] for side in (SRC, TGT))
    return src, tgt


def hmm(
    text: tuple[list[str], list[str]], pairs: tuple[list[str], list[str]], start: "list[list[Tensor]] | None" = None
) -> "list[list[Tensor]]":
    """The weights of pairs, in both directions, as learnt from a text, of which `start` are the first."""
    from mt.alignment.hmm import HmmAligner

    there, back = zip(*HmmAligner(*text, zip(*start, strict=True) if start else None).weights(*pairs), strict=True)
    return [list(there), list(back)]


def guide(work: Path) -> None:
    """Of the training pairs `guided.deen` and, turned round, `guided.ende`, by eflomal; `counted.*`, by ourselves; no
    links of the test pairs: `guided.none`."""
    train = read_sides(work, "train")
    ways = {"guided": eflomal(work, "train"), "counted": directions(hmm(train, train), LIKELY)}
    for name, both in ways.items():
        links = [HEURISTICS[GUIDE](f, b) for f, b in zip(*both, strict=True)]
        for side, some in ((f"{SRC}{TGT}", links), (f"{TGT}{SRC}", [turned(one) for one in links])):
            (work / f"{name}.{side}").write_text("".join(f"{pharaoh(one)}\n" for one in some))
    (work / "guided.none").write_text("\n" * (work / "gold.links").read_text().count("\n"))


def counted(work: Path, forward: Path | None, backward: Path | None, gold: list[Gold]) -> None:
    text = read_sides(work, "all")
    start = both_ways(open_aligners(work, forward, backward), *text) if forward and backward else None
    weights = hmm(text, read_sides(work, "gold"), start)
    table("counted", *directions(weights, LIKELY), gold)
    row("counted", f"joint, at least {LIKELY}", joint(weights, LIKELY), gold)


def others(work: Path, gold: list[Gold]) -> None:
    there, back = (links[-len(gold) :] for links in eflomal(work, "all"))
    table("eflomal", there, back, gold)
    import systran_align  # pyright: ignore[reportMissingImports]

    lines = zip(*((work / f"all.{language}").read_text().split("\n")[:-1] for language in (SRC, TGT)), strict=True)
    (work / "fast_align.text").write_text("".join(f"{s} ||| {t}\n" for s, t in lines))
    tables = [str(work / f"fast_align.{way}") for way in ("forward", "backward")]
    # fast_align's -d -o -v, as in its README
    options = {"favor_diagonal": True, "optimize_tension": True, "variational_bayes": True}
    systran_align.generate_alignment_probabilities(str(work / "fast_align.text"), *tables, **options)
    words = [[line.split() for line in (work / f"gold.{side}").read_text().split("\n")[:-1]] for side in (SRC, TGT)]
    found = systran_align.Aligner(*tables).align_batch(*words)
    row("fast_align", "its own", [set(map(tuple, one["alignments"])) for one in found], gold)


def open_aligners(work: Path, forward: Path, backward: Path) -> "list[Aligner]":
    from mt.alignment.aligner import CHOOSE_ON, FILE, Aligner, choose, load_heads
    from mt.checkpoint.model_folder import find_model
    from mt.decode.load import load

    aligners = []
    for path in (forward, backward):
        translator = load(path, device="cpu", precision="fp32")
        model = translator.stepper.model
        kept = load_heads(find_model(path), model)
        aligners.append(Aligner(model, translator.tokenizer, max_length=translator.max_length, heads=kept))
        if kept is not None:
            print(f"# {path}: {kept.describe()}, as {FILE} says")
    if any(aligner.heads is None for aligner in aligners):
        sources, targets = read_sides(work, "train")
        for choice in choose(aligners[0], sources[:CHOOSE_ON], targets[:CHOOSE_ON], aligners[1]):
            print(f"# {choice.heads.describe()}: {choice.criterion} {choice.score:.3f} on {choice.pairs} pairs")
    return aligners


def ours(work: Path, forward: Path, backward: Path, guide: Path | None, gold: list[Gold]) -> None:
    from mt.alignment.aligner import CHOOSE_ON

    aligners = open_aligners(work, forward, backward)
    known = both_ways(aligners, *(side[:CHOOSE_ON] for side in read_sides(work, "train")))
    weights = both_ways(aligners, *read_sides(work, "gold"))
    there, back = directions(weights)
    table("attention", there, back, gold)
    wanted = read_links(guide)[: len(known[0])] if guide else None
    for name, links_of in WAYS.items():
        least, score = choose_least(known, links_of, wanted)
        what = "the guide" if wanted else "both directions"
        print(f"# {name} links need {least}: F1 {score:.3f} with {what} on {len(known[0])} training pairs")
        row("attention", f"{name}, at least {least}", links_of(weights, least), gold)


def both_ways(aligners: "list[Aligner]", sources: list[str], targets: list[str]) -> "list[list[Tensor]]":
    return [list(aligners[0].weights(sources, targets)), list(aligners[1].weights(targets, sources))]


def directions(weights: "list[list[Tensor]]", least: float = 0.0) -> tuple[list[Links], list[Links]]:
    return [hard_links(w, least) for w in weights[0]], [turned(hard_links(w, least)) for w in weights[1]]


def joint(weights: "list[list[Tensor]]", least: float) -> list[Links]:
    return [joint_links(f, b, least) for f, b in zip(*weights, strict=True)]


def grown(weights: "list[list[Tensor]]", least: float) -> list[Links]:
    return [HEURISTICS[GUIDE](f, b) for f, b in zip(*directions(weights, least), strict=True)]


WAYS = {"joint": joint, GUIDE: grown}


def choose_least(
    weights: "list[list[Tensor]]",
    links_of: "Callable[[list[list[Tensor]], float], list[Links]]",
    wanted: list[Links] | None,
) -> tuple[float, float]:
    """The weight that a link needs, and the F1 by which it was chosen, without gold.

    With the links that the models were trained on (`wanted`), the weight that finds them best. Without, the one
    at which the links agree best with those of the single directions: a low weight gives more links than either, a high
    one fewer.
    """
    sides = [wanted] if wanted else directions(weights)
    golds = [[Gold(links, links) for links in side] for side in sides]

    def agreement(least: float) -> float:
        found = links_of(weights, least)
        return sum(1 - compare(found, side).aer for side in golds) / len(golds)

    return max(((least, agreement(least)) for least in LEAST), key=lambda found: found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["text", "others", "counted", "links", "commands", "ours"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--forward", type=Path, help=f"a model from {SRC} to {TGT}")
    parser.add_argument("--backward", type=Path, help=f"a model from {TGT} to {SRC}")
    parser.add_argument("--guide", type=Path, help="links that the models were trained on (from `links`)")
    args = parser.parse_args()
    if args.what == "commands":
        for name, more, last in (("align", "", ""), ("guided", GUIDED, BY_GUIDE), ("counted", GUIDED, BY_GUIDE)):
            for src, tgt in ((SRC, TGT), (TGT, SRC)):
                print((TRAIN + more).format(src=src, tgt=tgt, work=args.work, name=name))
            print((OURS + last).format(src=SRC, tgt=TGT, work=args.work, name=name))
        return
    if args.what in ("text", "links"):
        prepare(args.data, args.work) if args.what == "text" else guide(args.work)
        return
    path = args.work / "gold.links"
    gold = read_gold(path.read_text().split("\n")[:-1], base=0, path=path)
    print("| system | joined by | AER | precision | recall |\n|---|---|---|---|---|")
    if args.what == "others":
        others(args.work, gold)
    elif args.what == "counted":
        counted(args.work, args.forward, args.backward, gold)
    else:
        ours(args.work, args.forward, args.backward, args.guide, gold)


if __name__ == "__main__":
    run_script(main)
