"""Files that are no text: pictures, recordings and arrays, known by their first bytes."""

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mt.errors import DataError

HEAD = 16  # bytes that tell
FORMS = {
    ("image", "a picture (PNG)"): rb"\x89PNG",
    ("image", "a picture (JPEG)"): rb"\xff\xd8\xff",
    ("image", "a picture (GIF)"): rb"GIF8[79]a(?=.{0,9}[\0-\x08\x80-\xff])",
    ("image", "a picture (WebP)"): rb"RIFF.{4}WEBP",
    ("image", "a picture (TIFF)"): rb"II\*\0|MM\0\*",
    ("image", "a picture (BMP)"): rb"BM.{4}\0{4}",
    ("audio", "a recording (WAV)"): rb"RIFF.{4}WAVE",
    ("audio", "a recording (AIFF)"): rb"FORM.{4}AIF[FC]",
    ("audio", "a recording (FLAC)"): rb"fLaC\0",
    ("audio", "a recording (Ogg)"): rb"OggS\0",
    ("audio", "a recording (MP3)"): rb"ID3[\2-\4]\0|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]",
    ("features", "an array of NumPy"): rb"\x93NUMPY",
}
ADVICE = "a model that was trained with `data.inputs` reads a table, whose cells name pictures, recordings or arrays."


class Media(NamedTuple):
    kind: str  # of an input that reads such files (`InputKind`)
    what: str  # for messages


def media_in(head: bytes) -> Media | None:
    """What a file with these first bytes is; None: something else."""
    return next((Media(*found) for found, form in FORMS.items() if re.match(form, head, re.DOTALL)), None)


def media_of(file: Path | str) -> Media | None:
    """What a file is; None: something else, or no file that can be read twice."""
    with suppress(OSError, ValueError):
        if Path(file).is_file():
            with Path(file).open("rb") as opened:
                return media_in(opened.read(HEAD))
    return None


def check_no_media(name: Path | str, head: bytes) -> None:
    """Raises: DataError: for the first bytes of a picture, a recording or an array, where text is read."""
    if found := media_in(head):
        raise DataError(f"`{name}` is {found.what}, but must be text.", hint=ADVICE)
