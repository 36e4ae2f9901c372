"""Tables for `experiment=fsdd_german_numbers` and `experiment=fsdd_digits`, and error rates beside a floor.

    python scripts/fsdd_tables.py make FOLDER data/fsdd --leave-out theo --more 30000
    mt train experiment=fsdd_german_numbers
    mt translate runs/fsdd_german_numbers -i data/fsdd/test.tsv --prefix '<2number>' > right.txt
    mt translate runs/fsdd_german_numbers -i data/fsdd/shuffled.tsv --prefix '<2number>' > wrong.txt
    python scripts/fsdd_tables.py score data/fsdd/test.tsv right.txt wrong.txt
    mt translate runs/fsdd_german_numbers -i data/fsdd/unseen.tsv --prefix '<2number>' > unseen.txt
    python scripts/fsdd_tables.py score data/fsdd/unseen.tsv unseen.txt

FOLDER holds `recordings.zip` and `strings.tsv.gz` made from the Free Spoken Digit Dataset (CC BY-SA 4.0): strings of
two to six digits, each spoken by one speaker in recordings that are joined. A tag at the beginning of the target says
what is wanted of a recording: its digits (`<2digits> zwei eins`) or the German number word, in which the units come
before the tens (`<2number> einundzwanzig`). Training has both for each string, and each single recording four times:
with strings and numbers alone the model learns to listen far later (docs/LOG.md). `--more N` joins N further strings
from the training recordings, each with its speed (and so its pitch) changed by up to 15 %: new numbers, new voices.

Written are `train.tsv`; `dev.tsv` and `test.tsv` with numbers; `digits.tsv`, the test with digits; `shuffled.tsv`,
which gives each test row the sound of another one; and, with `--leave-out SPEAKER`, whom training and dev then do not
have, `unseen.tsv` with his test strings. `spoken_train.tsv` and so on have these sounds with their English digits and
no tags (`two one`): speech that is only written down.

A number is one word, so that its word error rate is the share of wrong numbers. The error rate over the parts of a
number word (ein und zwanzig) and over its letters, both by edit distance, are told beside it.
"""

import argparse
import csv
import gzip
import io
import random
import re
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from mistakes import run_script

from mt.text.ter import edit_distance

RATE = 8000
SPEEDS = 0.85, 1.15
SPLIT = ("recordings", "digits", "german_digits")  # columns with a word for each digit
UNITS = ["", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf"]
SHORTER = {6: "sech", 7: "sieb"}  # before "zehn"
TENS = ["", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]
ENGLISH = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PARTS = re.compile(
    "hundert|tausend|und|zwanzig|dreißig|vierzig|fünfzig|sechzig|siebzig|achtzig|neunzig|zehn|elf|zwölf|sech|sieb|"
    "null|eins?|zwei|drei|vier|fünf|sechs|sieben|acht|neun|."
)


Spoken = tuple[str, dict[str, str]]  # the cell of a recording, and its row in strings.tsv.gz
Row = tuple[str, str, str]  # speech, speaker, words


def rows(folder: Path, split: str) -> list[dict[str, str]]:
    with gzip.open(folder / "strings.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == split]


def make(folder: Path, out: Path, left_out: str | None, more: int = 0) -> None:
    out.mkdir(parents=True, exist_ok=True)
    sounds: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(folder / "recordings.zip") as archive:
        for name in archive.namelist():
            samples, rate = soundfile.read(io.BytesIO(archive.read(name)), dtype="int16")
            assert rate == RATE and samples.ndim == 1, name
            sounds[name.removesuffix(".flac")] = samples
    for split in ("train", "dev", "test"):
        found = rows(folder, split)
        heard = [row["recordings"].split() for row in found]
        cells = join(out / f"{split}.flac", [np.concatenate([sounds[name] for name in names]) for names in heard])
        pairs = list(zip(cells, found, strict=True))
        known = [pair for pair in pairs if pair[1]["speaker"] != left_out]
        print(f"{split}: {len(known):,} strings")
        if split == "train":
            others, alone = joined_anew(out, known, sounds, more), singles(out, known, sounds)
            added = [*numbers(others), *digits(others[::2])]
            short = [row for one in alone for row in (*digits([one] * 3), *numbers([one]))]
            write(out / "train.tsv", [*numbers(known), *digits(known), *short, *added])
            write(out / "spoken_train.tsv", spoken([*known, *alone, *others]))
            continue
        write(out / f"{split}.tsv", numbers(known))
        write(out / f"spoken_{split}.tsv", spoken(known))
        if split == "test":
            write(out / "digits.tsv", digits(known))
            others = random.Random(1).sample([cell for cell, _ in known], len(known))
            write(out / "shuffled.tsv", numbers(list(zip(others, [row for _, row in known], strict=True))))
            if left_out:
                unseen = [pair for pair in pairs if pair[1]["speaker"] == left_out]
                write(out / "unseen.tsv", numbers(unseen))
                write(out / "spoken_unseen.tsv", spoken(unseen))


def join(file: Path, sounds: Sequence[np.ndarray]) -> list[str]:
    """Write the sounds one after the other. Returns the cell of each."""
    ends = np.cumsum([0, *map(len, sounds)]).tolist()
    soundfile.write(file, np.concatenate(sounds), RATE, "PCM_16")
    return [f"{file.name}:{start}:{end}" for start, end in pairwise(ends)]


def numbers(pairs: Sequence[Spoken]) -> list[Row]:
    return [(cell, row["speaker"], f"<2number> {row['german_number']}") for cell, row in pairs]


def digits(pairs: Sequence[Spoken]) -> list[Row]:
    return [(cell, row["speaker"], f"<2digits> {row['german_digits']}") for cell, row in pairs]


def spoken(pairs: Sequence[Spoken]) -> list[Row]:
    return [(cell, row["speaker"], " ".join(ENGLISH[int(one)] for one in row["digits"].split())) for cell, row in pairs]


def singles(out: Path, pairs: Sequence[Spoken], sounds: dict[str, np.ndarray]) -> list[Spoken]:
    """Each recording of the strings alone: a digit, and the number of the same word."""
    found = {
        name: {"speaker": row["speaker"], "digits": digit, "german_digits": word, "german_number": word}
        for _, row in pairs
        for name, digit, word in zip(*(row[key].split() for key in SPLIT), strict=True)
    }
    return list(zip(join(out / "single.flac", [sounds[name] for name in found]), found.values(), strict=True))


def joined_anew(out: Path, pairs: Sequence[Spoken], sounds: dict[str, np.ndarray], count: int) -> list[Spoken]:
    """Further strings of one to six digits, each of recordings of one speaker, drawn at random, at another speed."""
    takes: dict[str, dict[str, list[tuple[str, str]]]] = {}  # of a speaker and digit: recording, German digit
    for _, row in pairs:
        for name, digit, word in zip(*(row[key].split() for key in SPLIT), strict=True):
            takes.setdefault(row["speaker"], {}).setdefault(digit, []).append((name, word))
    draw, found, heard = random.Random(1), list[dict[str, str]](), list[np.ndarray]()
    for number in range(count):
        speaker = draw.choice(sorted(takes))
        known = sorted(takes[speaker])
        digits = [draw.choice([digit for digit in known if digit != "0"]), *draw.choices(known, k=number % 6)]
        names, words = zip(*(draw.choice(takes[speaker][digit]) for digit in digits), strict=True)
        value = german(int("".join(digits)))
        spelt = {"digits": " ".join(digits), "german_digits": " ".join(words), "german_number": value}
        found.append({"speaker": speaker, **spelt})
        heard.append(at_speed(np.concatenate([sounds[name] for name in names]), draw.uniform(*SPEEDS)))
    return list(zip(join(out / "more.flac", heard), found, strict=True)) if found else []


def at_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Samples of 16 bits that last 1/speed times as long, resampled by Fourier transform, as if a tape ran faster."""
    count = round(len(samples) / speed)
    sound = np.fft.irfft(np.fft.rfft(samples), count) * (count / len(samples))
    limits = np.iinfo(np.int16)
    return sound.round().clip(limits.min, limits.max).astype(np.int16)


def german(number: int) -> str:
    """The German word of a number from 1 to 999,999, as "einundzwanzig"."""
    thousands, rest = divmod(number, 1000)
    return (hundreds(thousands) + "tausend" if thousands else "") + hundreds(rest, last=True)


def hundreds(number: int, *, last: bool = False) -> str:
    """Of 0 to 999. Args: last: nothing follows, so that 1 is "eins"."""
    found, rest = divmod(number, 100)
    word = UNITS[found] + "hundert" if found else ""
    if rest == 1:
        return word + ("eins" if last else "ein")
    if rest < len(UNITS):
        return word + UNITS[rest]
    if rest < 20:
        return word + SHORTER.get(rest - 10, UNITS[rest - 10]) + "zehn"
    tens, units = divmod(rest, 10)
    return word + (UNITS[units] + "und" if units else "") + TENS[tens]


def write(file: Path, found: Sequence[Row]) -> None:
    lines = ["\t".join(row) for row in (("speech", "speaker", "words"), *found)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def score(table: Path, files: Sequence[str]) -> None:
    right = [untagged(line) for line in table.read_text(encoding="utf-8").split("\n")[1:-1]]
    constant = max(set(right), key=right.count)
    answers = {file: list(map(untagged, Path(file).read_text(encoding="utf-8").split("\n")[:-1])) for file in files}
    answers[f"floor, one number for all ({constant})"] = [constant] * len(right)
    for name, found in answers.items():
        told = []
        for what, cut in (("word", str.split), ("part", PARTS.findall), ("letter", list)):
            pairs = [(cut(one), cut(other)) for one, other in zip(found, right, strict=True)]
            rate = sum(edit_distance(*pair) for pair in pairs) / sum(len(other) for _, other in pairs)
            told.append(f"{what} error rate {rate:.2%}")
        print(f"{name}: {', '.join(told)} ({len(right):,} numbers)")


def untagged(line: str) -> str:
    """The text of a line, or of the last cell of a row, without its tag."""
    return line.split("\t")[-1].removeprefix("<2number>").removeprefix("<2digits>").strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "score"])
    parser.add_argument("given", type=Path, help="make: the folder of the data; score: a table")
    parser.add_argument("files", nargs="+", help="make: the folder of the tables; score: files of its translations")
    parser.add_argument("--leave-out", metavar="SPEAKER", help="a speaker whom training must not hear")
    parser.add_argument("--more", type=int, default=0, metavar="N", help="further training strings (default: none)")
    args = parser.parse_args()
    if args.what == "make":
        make(args.given, Path(args.files[0]), args.leave_out, args.more)
    else:
        score(args.given, args.files)


if __name__ == "__main__":
    run_script(main)
