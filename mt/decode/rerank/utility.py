"""Utilities of minimum-Bayes-risk decoding: the similarity of each two of some texts.

The n-grams of all texts are numbered and counted together, so that a text is a row of counts. The n-grams that two
texts share are the sum of the smaller counts, which is a sum of products of zeros and ones,

    sum of min(a, b)  =  sum over k = 1, 2, .. of [a >= k] [b >= k],

which makes all pairs a few matrix products. Values are sacreBLEU's for a sentence and one reference, 0 to 100.

Letters: N texts, G different n-grams of one size, L items of all texts together.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.text.metrics import bleu_words

Utility = Callable[[Sequence[str]], Tensor]  # texts -> [N, N] in float64: row i as translation, column j as reference
Overlap = tuple[Tensor, Tensor]  # of n-grams of one size: the number in each text [N] and in both of each two [N, N]

CHAR_ORDER, WORD_ORDER, BLEU_ORDER = 6, 2, 4
BETA = 2  # the weight of recall relative to precision
PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def chrf(texts: Sequence[str]) -> Float[Tensor, "N N"]:
    """chrF2 (Popović 2015): F2 of n-grams of 1 to 6 characters, white space left out."""
    return f_score(character_overlaps(texts))


def chrf_with_words(texts: Sequence[str]) -> Float[Tensor, "N N"]:
    """chrF++ (Popović 2017): chrF2 with n-grams of 1 and 2 words besides, punctuation split off."""
    words = numbered([split_punctuation(text) for text in texts])
    return f_score([*character_overlaps(texts), *overlaps(words, WORD_ORDER)])


def bleu(texts: Sequence[str], *, tokenize: str = "13a") -> Float[Tensor, "N N"]:
    """Sentence BLEU as sacreBLEU's `sentence_bleu`: exponential smoothing, and only the n-gram sizes that the
    translation has. `tokenize` is a tokenizer of sacreBLEU, see `mt.text.metrics.bleu_tokenizer_for`.

    Raises: ConfigError: for a tokenizer that does not exist or does not work here.
    """
    split = bleu_words(tokenize)
    words = numbered([split(text) for text in texts])
    lengths = torch.tensor([len(word) for word in words], dtype=torch.float64)
    num_texts = len(texts)
    log_sum = torch.zeros(num_texts, num_texts, dtype=torch.float64)
    order, any_match = torch.zeros(num_texts, 1, dtype=torch.float64), torch.zeros(num_texts, num_texts).bool()
    smoothing = torch.ones_like(log_sum)
    for totals, matches in overlaps(words, BLEU_ORDER):
        has = totals[:, None] > 0
        smoothing = torch.where(has & (matches == 0), smoothing * 2, smoothing)
        precision = torch.where(matches > 0, matches, 1 / smoothing) / totals[:, None].clamp(min=1)
        log_sum += torch.where(has, (100 * precision).log(), 0.0)
        order += has
        any_match |= matches > 0
    brevity = (1 - lengths / lengths[:, None].clamp(min=1)).clamp(max=0).exp()
    return torch.where(any_match, brevity * (log_sum / order.clamp(min=1)).exp(), 0.0)


def f_score(found: Sequence[Overlap]) -> Float[Tensor, "N N"]:
    """F-score of precision and recall, each averaged over the n-gram sizes that both texts have."""
    precision, recall, order = (torch.zeros_like(found[0][1]) for _ in range(3))
    for totals, matches in found:
        both = (totals[:, None] > 0) & (totals > 0)
        some = totals.clamp(min=1)
        precision += torch.where(both, matches / some[:, None], 0.0)
        recall += torch.where(both, matches / some, 0.0)
        order += both
    precision, recall = precision / order.clamp(min=1), recall / order.clamp(min=1)
    weighted = BETA**2 * precision + recall
    return torch.where(weighted > 0, 100 * (1 + BETA**2) * precision * recall / weighted, 0.0)


def character_overlaps(texts: Sequence[str]) -> list[Overlap]:
    return list(overlaps([[ord(sign) for word in text.split() for sign in word] for text in texts], CHAR_ORDER))


def split_punctuation(text: str) -> list[str]:
    """Words, with one punctuation character split off at the end of each, or else at its start."""
    words = []
    for word in text.split():
        if len(word) > 1 and word[-1] in PUNCTUATION:
            words += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in PUNCTUATION:
            words += [word[0], word[1:]]
        else:
            words.append(word)
    return words


def numbered(texts: Sequence[Sequence[str]]) -> list[list[int]]:
    """Words as numbers, the same for equal words."""
    known: dict[str, int] = {}
    return [[known.setdefault(word, len(known)) for word in text] for text in texts]


def overlaps(texts: Sequence[Sequence[int]], order: int) -> Iterator[Overlap]:
    """Of n-grams of size 1, 2, .. `order`: the number of each text, and the number that each two texts share."""
    for counts in ngram_counts(texts, order):
        yield counts.sum(dim=1).double(), shared(counts)


def ngram_counts(texts: Sequence[Sequence[int]], order: int) -> Iterator[Int[Tensor, "N G"]]:
    """The counts of each n-gram in each text, for sizes 1, 2, .. `order`.

    An n-gram is numbered by the shorter n-gram with the same start, and its last item.
    """
    items = torch.tensor([item for text in texts for item in text], dtype=torch.int64)
    lengths = torch.tensor([len(text) for text in texts], dtype=torch.int64)
    owners = torch.arange(len(texts)).repeat_interleave(lengths)
    ends = lengths.cumsum(0)[owners]
    starts, ids = torch.arange(len(items)), torch.zeros_like(items)
    base = int(items.max()) + 1 if len(items) else 1
    for size in range(1, order + 1):
        inside = starts + size <= ends[starts]
        starts = starts[inside]
        different, ids = (ids[inside] * base + items[starts + size - 1]).unique(return_inverse=True)
        places = owners[starts] * len(different) + ids
        yield places.bincount(minlength=len(texts) * len(different)).view(len(texts), len(different))


def shared(counts: Int[Tensor, "N G"]) -> Float[Tensor, "N N"]:
    """The sum of the smaller counts of each two rows; exact in 32-bit floats below 16 million."""
    total = torch.zeros(len(counts), len(counts))
    level = 1
    while counts.shape[1]:
        has = (counts >= level).float()
        total += has @ has.t()
        level += 1
        counts = counts[:, counts.amax(dim=0) >= level]
    return total.double()
