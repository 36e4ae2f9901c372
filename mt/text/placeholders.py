"""What programs and templates put into a text, and addresses: parts of a sentence that a translation must keep.

Addresses are found by a pattern and not by a library: libraries that find links in prose also guess at bare host names,
and would keep "e.g." of untidy text from being translated.
"""

import re
from typing import NamedTuple

BRACES = r"[$#%]?\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"  # {name}, {{name}}, ${name}, {n, plural, one {# day}}
LENGTH = r"(?:hh?|ll?|[Lqjzt])?"
FORMAT = r"[dius](?![a-z])|[oxXeEfFgGcpaA@](?![A-Za-z])"  # %d, also before a unit: %dMB
PRINTF = rf"(?<![\d%])%(?:\(\w+\)|\d+\$)?[-+#0]*(?:(?!0)\d+|\*)?(?:\.(?:\d+|\*))?{LENGTH}(?:{FORMAT})"
TEMPLATE = r"<%.{0,4000}?%>"  # of a page that a server makes
NAMED = r"(?<![\w$])\$[A-Za-z_]\w*\$|(?<![\w%])%[A-Za-z_]\w*%"  # $NAME$, %NAME%
NESTED = r"(?<![\w$])\$t\((?:[^()]|\([^()]*\)){1,400}\)"  # of i18next: $t(key)
QT_NUMBER = r"(?<!%)%L?\d{1,2}(?:%(?!L?\d))?(?![\w$])"  # %1, and Boost's %1%
QT_COUNT = r"(?<![\d%])%L?n(?![A-Za-z0-9_])"
# :name of Rails and Laravel. A colon before a word is also untidy punctuation, and :name: an emoji: only names of two
# words, and those that programs use most, are surely placeholders.
COLON_NAMES = (
    "amount|app|attributes?|count|current|date|days|digits|email|field|file|filename|format|hours|id|key|link|max|min|"
    "minutes|model|name|number|other|page|resource|seconds|size|time|title|total|type|url|user|username|values?|version"
)
COLON = rf"(?<![^\s(\[>;/\"'„“«‹-]):(?:(?i:{COLON_NAMES})|[A-Za-z][A-Za-z0-9]*_\w+)(?!\w|:|-?\w[\w-]*:)"
URL_END = r"""[^\s<>"'{}„“”«».,;:!?)\]*’…&]"""
URL = (
    r"(?<![\w@])(?i:[a-z][a-z0-9+.-]{1,20}://|www\.|mailto:(?=[^\s@]+@\w))"
    rf"""(?:(?!&(?:lt|gt|quot|apos|\#39);)[^\s<>"{{}}„“”«»])*{URL_END}"""
)
EMAIL = r"(?<![\w.+-])[\w.+-]*\w@\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)+"
ADDRESS = f"{URL}|{EMAIL}"
PLACEHOLDERS = (BRACES, PRINTF, NAMED, TEMPLATE, NESTED, QT_COUNT, COLON)
PLACEHOLDER = "|".join(PLACEHOLDERS)
# Qt counts from 1; without it "%5" is five percent, as it is written in Turkish.
FIRST_NUMBER = re.compile(r"%L?1(?!\d)")
# Every tag, placeholder and address has one of these.
SPECIAL = re.compile(r"[<>{}%$#@&]|://|www\.|:(?=[A-Za-z])", re.I)


class Format(NamedTuple):
    """How the strings of a programming language name what is put into them."""

    directive: str  # a pattern
    usual: tuple[str, ...]  # the patterns above that find it in a text of which no format is known
    doubled: str = ""  # signs that are written twice where they are meant


WIDTH = r"[-+ #0'I]*(?:(?!0)\d+|\*(?:\d+\$)?)?(?:\.(?:\d+|\*(?:\d+\$)?)?)?"
DIRECTIVE = rf"%(?! +[A-Za-z]{{2}})(?:\(\w+\)|<\w+>|\d+\$)?{WIDTH}{LENGTH}[diouxXeEfFgGaAcCsSpnrmbB@]|%\{{\w+\}}"
BRACED = r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
FORMATS = {  # by the flag of an entry of a gettext catalogue
    **dict.fromkeys((
        "c", "objc", "python", "java-printf", "awk", "lua", "php", "perl", "elisp", "tcl", "object-pascal", "ruby",
        "javascript", "gcc-internal",
    ), Format(DIRECTIVE, (PRINTF, NAMED), "%")),
    **dict.fromkeys(("python-brace", "csharp", "rust", "c++"), Format(BRACED, (BRACES,), "{}")),
    **dict.fromkeys(("java", "perl-brace"), Format(BRACES, (BRACES,))),
    **dict.fromkeys(("qt", "qt-plural", "kde", "ycp"), Format(r"%L?\d{1,2}|%L?n", (QT_NUMBER, QT_COUNT))),
    "boost": Format(rf"%\d{{1,2}}%|%\|[^|]*\||{DIRECTIVE}", (PRINTF, QT_NUMBER), "%"),
}  # fmt: skip
