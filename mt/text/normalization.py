"""The rule by which SentencePiece normalises text, where the setting is "nfc": as little as a vocabulary needs.

Letters that are written in parts are composed (NFC, but for the letters that NFC itself takes apart, as in Bengali and
Hebrew), every kind of white space is a space, and control characters, soft hyphens, word joiners and byte order marks
are dropped. All else stays: a model can only write what normalisation leaves. SentencePiece's own rules (NFKC) turn
full-width marks into ASCII, "½" into "1⁄2", "m²" into "m2", take Thai ำ apart, and make a space of the zero-width
non-joiner that Persian needs.
"""

import unicodedata
from functools import cache

from mt.text.protobuf import field, fields

NFC = "nfc"
NORMALIZER, RULE_FILE = 3, 6  # fields of SentencePiece's ModelProto and NormalizerSpec
SPACES = (
    "\t\n\x0b\x0c\r\x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
DROPPED = [*range(0x01, 0x09), *range(0x0E, 0x20), *range(0x7F, 0x85), *range(0x86, 0xA0), 0xAD, 0x2060, 0xFEFF]


@cache
def nfc_rule() -> str:
    """The rule in SentencePiece's format, one mapping on each line: code points, a tab, code points, in hexadecimal.

    Compositions are those of Unicode 3.2, which every Python has: a rule, and so a tokenizer, does not depend on the
    version of Python that made it.
    """
    unicode = unicodedata.ucd_3_2_0
    rule = dict.fromkeys(SPACES, " ") | {chr(code): "" for code in DROPPED}
    for character in map(chr, (*range(0xC0, 0xAC00), *range(0xF900, 0x10000))):
        parts = unicode.decomposition(character)
        if parts and not parts.startswith("<") and unicode.normalize("NFC", character) == character:
            rule[unicode.normalize("NFD", character)] = character
            rule["".join(chr(int(part, 16)) for part in parts.split())] = character
    return "".join(f"{_hex(text)}\t{_hex(rule[text])}\n" for text in sorted(rule))


def _hex(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)


def without_rule_path(model: bytes) -> bytes:
    """A SentencePiece model without the name of the file that its rule came from, which differs each time."""
    found = []
    for number, content, whole in fields(model):
        if number == NORMALIZER:
            kept = (part for place, _, part in fields(content) if place != RULE_FILE)
            whole = field(NORMALIZER, b"".join(kept))
        found.append(whole)
    return b"".join(found)
