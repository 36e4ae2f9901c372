"""Words that a model has no pieces for: each becomes the source word that it is linked to (Luong et al. 2015,
arXiv:1410.8206). Models that fall back on bytes have no unknown piece, and nothing changes."""

from dataclasses import replace

from torch import Tensor

from mt.alignment.heads import first_most
from mt.alignment.shares import source_shares
from mt.decode.translation import Stretch
from mt.postprocess.word_alignments import Linked, Part
from mt.text.words import Offset, Span, has_letters, reading_words

WORD_START = "▁"


def replace_unknown(linked: Linked, unknown: int) -> Linked:
    """With every word that has the piece `unknown` as the source word that this piece looked at most.

    A word is replaced as a whole: the rest of it was written to go with something that is not there.
    """
    translation = linked.translation
    if not any(piece[0] == unknown for part in linked.parts for piece in part.target):
        return linked
    text, parts, stretches, at = "", list[Part](), list[Stretch](), 0
    for part, stretch in zip(linked.parts, translation.stretches, strict=True):
        text += translation.text[at : stretch.target[0]]
        names = translation.pieces[slice(*stretch.pieces)]
        said, target = _respelt(linked, part, names, unknown, len(text))
        stretches.append(replace(stretch, target=(len(text), len(text) + len(said))))
        parts.append(replace(part, target=target))
        text, at = text + said, stretch.target[1]
    text += translation.text[at:]
    return Linked(linked.source, replace(translation, text=text, stretches=tuple(stretches)), parts)


def _respelt(linked: Linked, part: Part, names: list[str], unknown: int, start: int) -> tuple[str, list[Offset]]:
    """A part's new text, and where its pieces stand then; it begins at `start`."""
    said, target, old = "", list[Offset](), linked.text
    for first, last in words_of_pieces(names):
        pieces = part.target[first:last]
        places = [n for n in range(first, last) if part.target[n][0] == unknown]
        if places:  # signs around the unknown word stay
            while last > places[-1] + 1 and not has_letters(names[last - 1]):
                last -= 1
            word = _looked_at(linked.source, part.source, part.weights[places].sum(0))
            space = " " if said and not said[-1].isspace() else ""
            begin = start + len(said) + len(space)
            target += [(piece[0], begin, begin + len(word)) for piece in pieces[: last - first]]
            said += space + word
            pieces = pieces[last - first :]
        for piece, begin, end in pieces:
            target.append((piece, start + len(said), start + len(said) + end - begin))
            said += old[begin:end]
    return said, target


def words_of_pieces(names: list[str]) -> list[Span]:
    """Runs of pieces that make one word: each but the first begins with a word's start."""
    starts = [n for n, name in enumerate(names) if n == 0 or name.startswith(WORD_START)]
    return list(zip(starts, [*starts[1:], len(names)], strict=False))


def _looked_at(text: str, pieces: list[Offset], weights: Tensor) -> str:
    """The source word that has most of some weights over source pieces and their end mark, of equals the first; nothing
    where there is none."""
    words = reading_words(text)
    if not words:
        return ""
    begin, end = words[int(first_most((weights @ source_shares(pieces, words))[:-1])[1])]
    return text[begin:end]
