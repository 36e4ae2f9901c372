"""How much of addresses, placeholders, numbers, names and tags survives a translation, with and without word links.

    python scripts/bench_markup.py MODEL --test test.en.gz test.de.gz [--sentences 500]

One item, of one kind at a time, is inserted into every sentence of a test set. The sentence is translated without
options, and with `--markup` (numbers and names with `--protect`). Printed for each kind:

    survives    the share of sentences whose translation contains the item unchanged, once; of a pair of tags, both,
                in order and around something
    right       of tags around a word whose translation is known (`LEXICON`) and present: the share that contain it
    BLEU        of the rest: without the items, and the phrase that carries them, against the original references

Choose layer and heads first (`mt align`). The same command inserts the same items every time.
"""

import argparse
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mistakes import run_script

from mt.cli.link_options import linker_of
from mt.compute.device import set_up_cpu
from mt.decode.load import load
from mt.decode.translator import Translator
from mt.postprocess.markup import Request
from mt.postprocess.word_alignments import Linker
from mt.text.lines import read_lines
from mt.text.metrics import bleu

CARRIER, CARRIED = " near {}", r" in der Nähe( von)?| neben| bei| nahe"  # the phrase, and its possible translations
HOSTS, PATHS = ["shop.example", "news.example", "maps.example"], ["item?id={}", "a/b/{}.html", "#{}"]
NAMES = ["Kaczmarek", "Okonkwo", "Nakamura", "Þórsdóttir", "O'Shaughnessy", "Villeneuve", "Papadakis", "Tshabalala"]
LEXICON = {
    "red": "rot", "blue": "blau", "black": "schwarz", "white": "weiß", "green": "grün", "yellow": "gelb",
    "woman": "frau", "man": "mann", "dog": "hund", "girl": "mädchen", "boy": "jung", "two": "zwei", "three": "drei",
    "water": "wasser", "street": "straße", "snow": "schnee", "ball": "ball", "bench": "bank", "beach": "strand",
}  # fmt: skip
Made = tuple[str, list[str], str]  # the sentence, what must survive, the stem that tags must hold ("": not known)


def carried(text: str, thing: str) -> Made:
    return text.rstrip(". ") + CARRIER.format(thing) + ".", [thing], ""


def url(text: str, draw: random.Random) -> Made:
    path = draw.choice(PATHS).format(draw.randint(100, 9999))
    return carried(text, f"https://www.{draw.choice(HOSTS)}/{path}")


def email(text: str, draw: random.Random) -> Made:
    return carried(text, f"{draw.choice(['info', 'j.doe', 'sales+de'])}@{draw.choice(HOSTS)}")


def placeholder(text: str, draw: random.Random) -> Made:
    return carried(text, draw.choice(["{name}", "{user_name}", "{{place}}", "%s", "%1$s", "${city}", "$PLACE$"]))


def number(text: str, draw: random.Random) -> Made:
    return carried(text, str(draw.randint(1000, 99999)))


def name(text: str, draw: random.Random) -> Made:
    return carried(text, draw.choice(NAMES))


def tags(text: str, draw: random.Random) -> Made:
    """Around a word that the lexicon has, or else around one to three words anywhere."""
    words = list(re.finditer(r"[\w'-]+", text))
    known = [word for word in words if word[0].lower() in LEXICON]
    opening, closing = draw.choice(
        [("<b>", "</b>"), ("<em>", "</em>"), ('<a href="https://a.example/?b=1&c=2">', "</a>")]
    )
    if known:
        word = draw.choice(known)
        begin, end, stem = word.start(), word.end(), LEXICON[word[0].lower()]
    else:
        first = draw.randrange(len(words))
        begin, end, stem = words[first].start(), words[min(first + draw.randrange(3), len(words) - 1)].end(), ""
    return f"{text[:begin]}{opening}{text[begin:end]}{closing}{text[end:]}", [opening, closing], stem


def tag_alone(text: str, draw: random.Random) -> Made:
    words = list(re.finditer(r"\S+", text))
    place = words[draw.randrange(1, len(words))].start()
    tag = draw.choice(["<br/>", '<img src="a.png">', '<x id="7"/>'])
    return f"{text[:place]}{tag} {text[place:]}", [tag], ""


KINDS: dict[str, Callable[[str, random.Random], Made]] = {
    "addresses (URL)": url, "e-mail addresses": email, "placeholders": placeholder, "numbers": number, "names": name,
    "pairs of tags": tags, "tags alone": tag_alone,
}  # fmt: skip
PROTECT = {"numbers": re.compile(r"\d{4,}"), "names": re.compile("|".join(map(re.escape, NAMES)))}


def survives(said: str, things: Sequence[str]) -> bool:
    if any(said.count(thing) != 1 for thing in things):
        return False
    return len(things) == 1 or said.index(things[0]) + len(things[0]) < said.index(things[1])


def holds(said: str, things: Sequence[str], stem: str) -> bool | None:
    """Whether tags contain a stem; None: unknown."""
    if not stem or not survives(said, things):
        return None
    inside = said[said.index(things[0]) + len(things[0]) : said.index(things[1])]
    outside = said.replace(inside, "", 1)
    if stem in inside.lower():
        return True
    return False if stem in outside.lower() else None


def rest(said: str, things: Sequence[str]) -> str:
    for thing in things:
        said = re.sub(f"(?:{CARRIED})? {re.escape(thing)}(?=[.\\s]|$)", "", said) if len(things) == 1 else said
        said = said.replace(thing, "")
    return " ".join(re.sub(f"(?:{CARRIED})(?=\\.$)", "", said).split()).replace(" .", ".")


def with_links(translator: Translator, linker: Linker, lines: list[str], kind: str) -> list[str]:
    requests = [Request(line, protect=PROTECT.get(kind)) for line in lines]
    texts = [request.text for request in requests]
    linked = linker.link(texts, translator.answer(texts, translator.options()))
    return [request.restore(some[0]).text for request, some in zip(requests, linked, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--test", nargs=2, required=True, metavar=("SOURCE", "REFERENCE"))
    parser.add_argument("--sentences", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=0, help="print so many sentences of each kind")
    args = parser.parse_args()
    set_up_cpu(1)
    translator = load(args.model, device="cpu", precision="fp32")
    linker = linker_of(args.model, translator)
    sources, references = ([*read_lines(file)][: args.sentences] for file in args.test)
    print(f"{len(sources)} sentences, BLEU unchanged {bleu(translator.translate(sources), references).value:.1f}")
    print("| kind | survives without options | with links | right | BLEU of the rest without options | with links |")
    print("|---|---|---|---|---|---|")
    for kind, insert in KINDS.items():
        draw = random.Random(args.seed)
        made = [insert(source, draw) for source in sources]
        lines = [line for line, _, _ in made]
        ways = [translator.translate(lines), with_links(translator, linker, lines, kind)]
        shares = [sum(survives(s, m[1]) for s, m in zip(said, made, strict=True)) / len(made) for said in ways]
        known = [held for s, m in zip(ways[1], made, strict=True) if (held := holds(s, *m[1:])) is not None]
        scores = [bleu([rest(s, m[1]) for s, m in zip(said, made, strict=True)], references).value for said in ways]
        right = f"{sum(known) / len(known):.1%} of {len(known)}" if known else "–"
        print(
            f"| {kind} | {shares[0]:.1%} | {shares[1]:.1%} | {right} | {scores[0]:.1f} | {scores[1]:.1f} |", flush=True
        )
        for line, *said in list(zip(lines, *ways, strict=True))[: args.show]:
            print(f"\n  source      {line}\n  no options  {said[0]}\n  with links  {said[1]}")


if __name__ == "__main__":
    run_script(main)
