"""Replace unknown words: each becomes the source word that it is linked to (Luong et al. 2015, arXiv:1410.8206).

Models with byte fallback have no unknown token, and their translations do not change.
"""

from dataclasses import replace

from torch import Tensor

from mt.alignment.heads import first_most
from mt.alignment.shares import source_shares
from mt.decode.translation import Segment
from mt.postprocess.word_alignments import LinkedSegment, LinkedTranslation
from mt.text.tokenizer import WORD_START
from mt.text.words import Offset, Span, has_letters, reading_words


def replace_unknown(linked: LinkedTranslation, unknown: int) -> LinkedTranslation:
    """Replace every word that has the token `unknown` by the source word with most of that token's attention.

    The word is replaced as a whole, since the model wrote its other tokens to fit the missing one.
    """
    translation = linked.translation
    if not any(token[0] == unknown for segment in linked.segments for token in segment.target):
        return linked
    text, linked_segments, segments, at = "", list[LinkedSegment](), list[Segment](), 0
    for part, segment in zip(linked.segments, translation.segments, strict=True):
        text += translation.text[at : segment.target[0]]
        pieces = translation.pieces[slice(*segment.pieces)]
        replaced, target = _replaced(linked, part, pieces, unknown, len(text))
        segments.append(replace(segment, target=(len(text), len(text) + len(replaced))))
        linked_segments.append(replace(part, target=target))
        text, at = text + replaced, segment.target[1]
    text += translation.text[at:]
    return LinkedTranslation(linked.source, replace(translation, text=text, segments=tuple(segments)), linked_segments)


def _replaced(
    linked: LinkedTranslation, segment: LinkedSegment, pieces: list[str], unknown: int, start: int
) -> tuple[str, list[Offset]]:
    """The new text of a segment, which begins at `start`, and its tokens with their new spans."""
    text, target = "", list[Offset]()
    for first, last in words_of_pieces(pieces):
        tokens = segment.target[first:last]
        places = [n for n in range(first, last) if segment.target[n][0] == unknown]
        if places:  # punctuation after the unknown word stays
            while last > places[-1] + 1 and not has_letters(pieces[last - 1]):
                last -= 1
            word = _most_attended(linked.source, segment.source, segment.weights[places].sum(0))
            space = " " if text and not text[-1].isspace() else ""
            begin = start + len(text) + len(space)
            target += [(token[0], begin, begin + len(word)) for token in tokens[: last - first]]
            text += space + word
            tokens = tokens[last - first :]
        for token, begin, end in tokens:
            target.append((token, start + len(text), start + len(text) + end - begin))
            text += linked.text[begin:end]
    return text, target


def words_of_pieces(pieces: list[str]) -> list[Span]:
    """The runs of pieces that make one word; a piece that begins with `WORD_START` begins a new one."""
    starts = [n for n, piece in enumerate(pieces) if n == 0 or piece.startswith(WORD_START)]
    return list(zip(starts, [*starts[1:], len(pieces)], strict=False))


def _most_attended(text: str, tokens: list[Offset], weights: Tensor) -> str:
    """The source word with the greatest weight, the first of equals; empty without words.

    Args: weights: over the source tokens and eos.
    """
    words = reading_words(text)
    if not words:
        return ""
    begin, end = words[int(first_most((weights @ source_shares(tokens, words))[:-1])[1])]
    return text[begin:end]
