"""The word links of the training text: one file for each corpus, all links in memory.

A pair keeps its file and line through cleaning, sorting and workers, so that line N of a file of links belongs to line
N of its corpus even if other lines were left out.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from mt.alignment.pharaoh import check_words, parse_gold
from mt.data.batching import TokenizedCorpus
from mt.data.corpus.names import corpora
from mt.data.corpus.pair import Pair
from mt.data.corpus.readers import read_pairs
from mt.errors import ConfigError, DataError, counted
from mt.text.lines import check_file, check_line_counts, read_lines
from mt.text.words import Links


@dataclass(frozen=True)
class LinkTable:
    """A sequence of sets of links, at eight bytes a link, where Python sets would take two hundred."""

    ends: NDArray[np.int64]  # set `i` is `links[ends[i] : ends[i + 1]]`
    links: NDArray[np.int32]  # [N, 2]: source word, target word

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> Links:
        return {(source, target) for source, target in self.rows(i).tolist()}

    def rows(self, i: int) -> NDArray[np.int32]:
        return self.links[self.ends[i] : self.ends[i + 1]]

    def fingerprint(self) -> str:
        """sha256 over all links, in order."""
        return sha256(self.ends.tobytes() + self.links.tobytes()).hexdigest()

    @classmethod
    def of(cls, ends: array, numbers: array) -> "LinkTable":
        """Args: ends: in links, after a 0; numbers: of all links, end to end."""
        return cls(np.array(ends, np.int64), np.array(numbers, np.int32).reshape(-1, 2))


def by_corpus(links: Sequence[str], train: Sequence[str]) -> dict[str, str]:
    """The file of links of each corpus, by the name in the origins of its pairs.

    Raises: ConfigError: when the numbers of files differ, or a corpus is named twice; DataError: when one is missing.
    """
    if not train:
        raise ConfigError("`alignment.links` needs your own text.", hint="name its files with `data.train`.")
    groups = corpora(train)
    if len(groups) != len(links):
        raise ConfigError(
            f"`alignment.links` must name one file for each corpus of `data.train`, in the same order, but names "
            f"{counted(len(links), 'file')} for {len(groups)}."
        )
    found: dict[str, str] = {}
    for file, group in zip(links, groups, strict=True):
        check_file(file)
        if found.setdefault(group[0], file) != file:
            raise ConfigError(
                f"`data.train` names `{group[0]}` twice, with links from {found[group[0]]} and from {file}, but a pair "
                "is identified by its file and line.",
                hint="give the second corpus a copy under another name.",
            )
    return found


def read_links(
    links: Sequence[str],
    train: Sequence[str],
    corpus: TokenizedCorpus,
    *,
    src: str,
    tgt: str,
    columns: Sequence[str] = (),
) -> LinkTable:
    """The links of all pairs of `corpus`, in its order.

    Args: links: Pharaoh files, one for each corpus of `train`; only sure links (`i-j`) count; src, tgt, columns: as
    `read_pairs`.
    Raises: ConfigError: as `by_corpus`; DataError: when a file has not as many lines as its corpus, a link cannot be
    read, or a link names a word that its pair does not have.
    """
    tables: dict[str, tuple[str, LinkTable]] = {}  # by the file of the pairs, which of a folder is one in it
    named = by_corpus(links, train)
    read = {file: _read_file(file) for file in dict.fromkeys(named.values())}
    for group in corpora(train):
        file = named[group[0]]
        last: Pair = deque(read_pairs(group, src, tgt, columns), maxlen=1)[0]
        check_line_counts(file, len(read[file]), last.origin.file, last.origin.line)
        tables[last.origin.file] = file, read[file]
    ends, numbers = array("q", [0]), array("i")
    for pair in corpus.pairs:
        line, (file, table) = pair.origin.line, tables[pair.origin.file]
        rows = table.rows(line - 1)
        check_words(rows.tolist(), pair.src, pair.tgt, base=0, where=f"{file}:{line} ({pair.origin})")
        numbers.extend(rows.ravel().tolist())
        ends.append(ends[-1] + len(rows))
    return LinkTable.of(ends, numbers)


def _read_file(file: str) -> LinkTable:
    ends, numbers = array("q", [0]), array("i")
    for number, line in enumerate(read_lines(file), 1):
        where = f"{file}:{number}"
        drawn = sorted(parse_gold(line, base=0, where=where).sure)
        try:
            numbers.extend(word for link in drawn for word in link)
        except OverflowError:
            raise DataError(f"{where}: the number of a word is too large.") from None
        ends.append(ends[-1] + len(drawn))
    return LinkTable.of(ends, numbers)
