"""JSON: the strings that are values, of all keys or of chosen ones. Keys, numbers and white space stay."""

import json
import re
from collections.abc import Collection

from mt.documents.parsed import Parsed, Raw, Spot, decoded, parsed_text
from mt.errors import DataError
from mt.text.lines import SURROGATE

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s"{}\[\],:]+')
ENDS = r"[rn]|u000[aAdD]"  # of lines, behind a backslash
LINE = re.compile(rf"(?:\\(?:{ENDS}))+|((?:[^\\]|\\(?!{ENDS}).)+)")  # of a string with its escapes


def read_json(data: bytes, keys: Collection[str] = ()) -> Parsed:
    """Args: keys: of the values that are translated, with all that is within them; none: all.

    Raises: DataError: for what is not JSON, and for a key that is nowhere.
    """
    content, encoded = decoded(data)
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(f"line {error.lineno}, column {error.colno}: this is not JSON: {error.msg}.") from None
    except RecursionError:
        raise DataError("the JSON is nested too deeply to be read.") from None
    except ValueError:  # a number of more digits than Python converts
        raise DataError("the JSON has a number of too many digits to be read.") from None
    ascii_only = content.isascii() and "\\u" in content
    spots, missing = list[Spot](), set(keys)
    levels: list[bool] = []  # for each object and list around a token, whether its strings are translated
    key, chosen = "", not keys
    tokens = list(TOKEN.finditer(content))
    for n, match in enumerate(tokens):
        token = match[0]
        if token in "{[":
            levels.append(chosen)
        elif token in "}]":
            levels.pop()
            chosen = bool(levels and levels[-1])
        elif token == ",":
            chosen = bool(levels and levels[-1])
        elif token[0] == '"':
            if n + 1 < len(tokens) and tokens[n + 1][0] == ":":
                key = json.loads(token)
                missing.discard(key)
                chosen = levels[-1] or key in keys
            elif chosen:
                spots += _spots(match.start(), token, ascii_only)
    if missing:
        raise DataError(f"the JSON has no key {', '.join(f'`{key}`' for key in sorted(missing))}.")
    return parsed_text(content, spots, encoded)


def _spots(begin: int, token: str, ascii_only: bool) -> list[Spot]:
    """A segment for each line of a string."""

    def render(said: str, _: Raw) -> str:
        return json.dumps(said, ensure_ascii=ascii_only)[1:-1]

    found = list[Spot]()
    for match in LINE.finditer(token, 1, len(token) - 1):
        line = json.loads(f'"{match[1] or ""}"')
        if line and not SURROGATE.search(line):  # half a character cannot be translated
            found.append(Spot(begin + match.start(), begin + match.end(), line, render))
    return found
