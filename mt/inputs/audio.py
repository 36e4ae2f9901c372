"""Audio: recordings, read by libsndfile, as log-mel energies of short frames."""

import io
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from mt.config import Input
from mt.config.inputs import RATES
from mt.errors import DataError, require_package
from mt.inputs.contents import opened
from mt.inputs.kind import FrameKind, Picture, sheet

CELL = re.compile(r"(?P<file>.+?)(?::(?P<first>\d{1,15}):(?P<end>\d{1,15}))?", re.DOTALL)
WINDOW, SHIFT = 25, 10  # of a frame, in milliseconds
FEW, MANY = 40, 80  # mel bands: below 16 kHz the low ones of 80 would be narrower than the spectrum's steps
WIDE = 16_000  # Hz
LONGEST = 600  # seconds of an item
LOUD = 2.5  # standard deviations of a band, drawn black
CUT = re.compile(r"^\s*(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)  # libsndfile's remark
STREAMED = 1 << 30  # bytes: programs that write to a pipe do not know a length, and state a huge one
PAGE, SERIAL = 65_307, slice(14, 18)  # of Ogg: most bytes of a page, and where it has the number of its stream
OTHER_PART = re.compile(r"(?P<file>.+?)(?::-?[\d.]*){1,2}", re.DOTALL)  # seconds, say, or one number
PARTS = "name a part as `file:START:END`, in samples."
AGAIN = "copy or convert it again, for example to FLAC."
FULL = 32768.0  # Kaldi's energies are of samples of 16 bits


class Audio(FrameKind):
    """Cells name recordings (WAV, FLAC, Ogg and what else libsndfile reads), whole or in part:

    talk.flac             the whole file
    talk.flac:8000:12000  samples 8000 to 11999, counted from 0
    talks.zip:a/7.wav     a member of an archive; a part of it: talks.zip:a/7.wav:0:8000

    Channels are averaged. The rows are the logarithms of mel energies in windows of 25 ms, every 10 ms, as Kaldi
    computes them without dither; each band has mean 0 and deviation 1 over the item. All recordings of a column have
    the sampling rate of the first one of the training data.
    """

    def __init__(self, setting: Input) -> None:
        """Raises: ConfigError: when a package is not installed."""
        for module, package in (("soundfile", "soundfile"), ("kaldi_native_fbank", "kaldi-native-fbank")):
            require_package(module, f"column `{setting.column}` with audio", package=package)
        super().__init__(setting)

    def rows(self, cell: str) -> NDArray[np.float32]:
        found, rate = samples(cell)
        if not self.setting.rate:
            self.setting = replace(self.setting, rate=rate)
        if rate != self.setting.rate:
            raise DataError(
                f"{cell} has {rate:,} samples a second, but the training data begins with {self.setting.rate:,}",
                hint="convert it to that rate.",
            )
        return normalised(log_mel(found, rate, cell))

    def picture(self, rows: NDArray[Any], every: int) -> Picture:
        """The spectrogram, loud is dark."""
        found = sheet(rows * np.float32(self.setting.scale), every, -LOUD, LOUD)
        return replace(found, seconds=found.pixels.shape[1] * SHIFT / 1000)


def samples(cell: str) -> tuple[Float[np.ndarray, " N"], int]:
    """The samples of a cell, from -1 to 1, and how many there are a second. Raises: DataError."""
    import soundfile

    form = CELL.fullmatch(cell)
    assert form is not None
    try:
        file = opened(form["file"])
    except DataError as error:
        whole = OTHER_PART.fullmatch(form["file"])
        if whole is not None and Path(whole["file"]).is_file():
            raise DataError(f"{cell} names no part of {whole['file']}", hint=PARTS) from error
        raise
    try:
        with soundfile.SoundFile(file) as sound:
            rate, first, end = sound.samplerate, int(form["first"] or 0), int(form["end"] or sound.frames)
            if not RATES[0] <= rate <= RATES[1]:
                raise DataError(f"{cell} has {rate:,} samples a second, and must have {RATES[0]:,} to {RATES[1]:,}")
            if end < first:
                raise DataError(f"{cell} ends before it begins", hint=PARTS)
            if end > sound.frames:
                raise DataError(f"{cell} does not exist: the file has {sound.frames:,} samples")
            if end - first > LONGEST * rate:
                raise DataError(
                    f"{cell} is longer than {LONGEST} seconds", hint="name parts of it, in samples: `file:START:END`."
                )
            sound.seek(first)
            channels = sound.read(end - first, dtype="float32", always_2d=True)
            cut = _ogg_is_cut(file, form["file"]) if sound.format == "OGG" else _is_cut(sound.extra_info)
            if len(channels) < end - first or cut:
                raise DataError(f"{cell} is incomplete: its file ends before all its samples", hint=AGAIN)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"{form['file']} cannot be read as audio ({str(error).rstrip('.')})") from error
    if not np.isfinite(channels).all():
        raise DataError(f"{cell} holds a value that is not a finite number")
    return channels.mean(1), rate


def _is_cut(remarks: str) -> bool:
    """Whether the header of a file states more bytes of sound than there are, which libsndfile reads without a word."""
    found = CUT.search(remarks)
    return found is not None and int(found[2]) < int(found[1]) < STREAMED


def _ogg_is_cut(file: str | io.BytesIO, name: str) -> bool:
    """Whether the last page of an Ogg file (RFC 3533) is incomplete, or is not marked as the end of its stream.

    Raises: DataError: for several streams one after the other, of which libsndfile reads the first one only.
    """
    with nullcontext(file) if isinstance(file, io.BytesIO) else Path(file).open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(0, size - PAGE))
        tail = stream.read()
        stream.seek(0)
        begin = stream.read(SERIAL.stop)
    place = tail.rfind(b"OggS")
    if place < 0:  # nothing else than bytes after the end
        return False
    page = tail[place:]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    if len(page) < 27 or len(page) < 27 + page[26] + sum(segments) or not page[5] & 4:
        return True
    if page[SERIAL] != begin[SERIAL]:
        raise DataError(f"{name} holds several streams of sound, of which only the first would be read", hint=AGAIN)
    return False


def log_mel(found: Float[np.ndarray, " N"], rate: int, cell: str) -> Float[np.ndarray, "P F"]:
    """Raises: DataError: for fewer samples than a window has; names the cell."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = rate
    options.frame_opts.dither = 0
    options.frame_opts.frame_length_ms, options.frame_opts.frame_shift_ms = WINDOW, SHIFT
    options.mel_opts.num_bins = MANY if rate >= WIDE else FEW
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(rate, (found * np.float32(FULL)).tolist())  # a list is read faster than an array
    bank.input_finished()
    if not bank.num_frames_ready:
        least = rate * WINDOW // 1000
        raise DataError(f"{cell} has {len(found):,} samples, too few for a frame of {WINDOW} ms ({least:,} samples)")
    return np.stack([bank.get_frame(number) for number in range(bank.num_frames_ready)])


def normalised(rows: Float[np.ndarray, "P F"]) -> Float[np.ndarray, "P F"]:
    """Each band with mean 0 and deviation 1 over the item; a band that never changes is 0."""
    exact = rows.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of samples beyond all sound; `FrameKind.read` refuses what comes of them
        return (exact - exact.mean(0)) / np.maximum(exact.std(0), 1e-3)
