"""The glossary of a request: lines as in a glossary's file, or an object of source and target terms."""

import re
from typing import Any

from mt.decode.constraints.glossary import Entry, Glossary, parse
from mt.errors import DataError
from mt.serve.fields import Fields, checked_text
from mt.serve.refusal import invalid

MOST_ENTRIES = 1000
SHAPE = 'must be an object of source and target terms, such as {"house": "Haus"}, or text with a line for each entry'
NEWLINE = re.compile("\r\n|\n|\r")


def glossary_field(fields: Fields, name: str = "glossary") -> Glossary | None:
    """None: the request has none. Raises: RefusedError: for one that cannot be read."""
    value: Any = fields.get(name)
    if value is None or value == "" or value == {}:
        return None
    terms = value.values() if isinstance(value, dict) else [value]
    if not all(isinstance(term, str) for term in terms):
        raise invalid(f"{name} parameter {SHAPE}")
    if isinstance(value, dict):  # a space at the beginning, so that no term begins a comment
        lines = (f" {checked_text(src, name)}\t{checked_text(tgt, name)}" for src, tgt in value.items())
    else:
        lines = NEWLINE.split(checked_text(value, name))
    try:
        entries: list[Entry] = []
        for number, line in enumerate(lines, 1):
            entry = parse(line, f"glossary:{number}")
            if entry is not None:
                entries.append(entry)
            elif isinstance(value, dict):
                raise DataError(f"glossary:{number}: a source term and a target term must have words.")
            if len(entries) > MOST_ENTRIES:  # the others are not read: all requests share this thread
                raise DataError(f"the glossary has more than {MOST_ENTRIES} entries")
        return Glossary(entries)
    except DataError as error:
        raise invalid(error.message) from None
