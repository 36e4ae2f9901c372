"""Files that are no text are known by their first bytes, and refused where text is read."""

import gzip
import io
import re

import numpy as np
import pytest
import soundfile
from PIL import Image

from mt.cli.lines import lines_of
from mt.data.corpus.columns import check_table
from mt.errors import DataError
from mt.text.lines import read_lines
from mt.text.media import media_in, media_of

MADE = {
    "a.png": "a picture (PNG)", "a.jpg": "a picture (JPEG)", "a.gif": "a picture (GIF)", "a.webp": "a picture (WebP)",
    "a.tiff": "a picture (TIFF)", "a.bmp": "a picture (BMP)", "a.wav": "a recording (WAV)",
    "a.aiff": "a recording (AIFF)", "a.flac": "a recording (FLAC)", "a.ogg": "a recording (Ogg)",
    "a.mp3": "a recording (MP3)", "a.npy": "an array of NumPy",
}  # fmt: skip


def made(folder, name: str) -> str:
    file, what = folder / name, MADE[name]
    if "picture" in what:
        Image.new("RGB", (40, 30), (9, 99, 199)).save(file)
    elif "recording" in what:
        soundfile.write(file, np.zeros(8000), 8000)
    else:
        np.save(file, np.zeros((2, 3)))
    return str(file)


@pytest.mark.parametrize("name", MADE)
def test_what_is_no_text_is_called_by_its_name_and_no_encoding_is_advised(name, tmp_path):
    file, what = made(tmp_path, name), re.escape(MADE[name])
    found = media_of(file)
    kind = {"picture": "image", "recording": "audio", "array": "features"}[MADE[name].split()[1]]
    assert found == (kind, MADE[name])
    with pytest.raises(DataError, match=rf"a\.\w+` is {what}, but must be text\. hint: a model that was trained "):
        list(read_lines(file))
    with pytest.raises(DataError, match=rf"a\.\w+` is {what}, but must be a table\. hint: a model that was "):
        check_table(file)
    data = (tmp_path / name).read_bytes()
    with pytest.raises(DataError, match=rf"^`stdin` is {what}, but must be text\."):
        list(lines_of(io.BytesIO(data), "stdin"))
    (tmp_path / "a.gz").write_bytes(gzip.compress(data))
    with pytest.raises(DataError, match=rf"a\.gz` is {what}, but must be text\."):
        list(read_lines(tmp_path / "a.gz"))


@pytest.mark.parametrize("text", ["GIF89a is a format", "ID3 tags", "RIFF", "BM 25", "fLaC", "OggS", "FORM A", "II*"])
def test_text_about_them_is_text(text, tmp_path):
    (tmp_path / "a.txt").write_text(f"{text}\n")
    assert media_in(text.encode()) is None and media_of(tmp_path / "a.txt") is None
    assert list(read_lines(tmp_path / "a.txt")) == [text]


def test_what_is_no_file_is_nothing(tmp_path):
    assert media_of(tmp_path) is media_of(tmp_path / "none") is media_of("a\0b") is None
