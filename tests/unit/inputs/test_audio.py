"""Audio: which samples a cell names, which frames they become, and what is refused."""

import re
import zipfile

import numpy as np
import pytest
import soundfile
import torch

from mt.config import Input, InputKind
from mt.errors import ConfigError, DataError
from mt.inputs.audio import FULL, Audio, log_mel, normalised, samples
from mt.inputs.reader import described, fit

RATE = 8000


def audio(**more) -> Input:
    return Input(column="speech", kind=InputKind.audio, **more)


def tone(hertz: float, seconds: float = 0.1, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


@pytest.fixture
def sounds(tmp_path) -> str:
    """A low tone, then a high one."""
    soundfile.write(tmp_path / "two.flac", np.concatenate([tone(300), tone(2000)]), RATE)
    return f"{tmp_path}/two.flac"


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_file_is_frames_of_25_ms_every_10_ms(suffix, tmp_path):
    soundfile.write(tmp_path / f"a.{suffix}", tone(440, 1.0), RATE)
    rows = Audio(audio()).read(f"{tmp_path}/a.{suffix}")
    assert rows.shape == (98, 40) and rows.dtype is torch.float32  # 1 + (1000 - 25) // 10
    assert rows.mean(0).abs().max() < 1e-4 and rows.std(0, correction=0).max() < 1.001


def test_a_part_is_named_by_its_samples(sounds):
    low, rate = samples(f"{sounds}:0:800")
    high, _ = samples(f"{sounds}:800:1600")
    whole, _ = samples(sounds)
    assert rate == RATE and np.array_equal(np.concatenate([low, high]), whole)
    assert np.allclose(high, tone(2000), atol=1e-4)


def test_a_higher_tone_has_its_energy_in_a_higher_band():
    bands = [
        int(log_mel(tone(hertz).astype(np.float32), RATE, "").mean(0).argmax()) for hertz in (300, 1000, 2000, 3500)
    ]
    assert bands == sorted(set(bands))


def test_the_frames_are_those_of_kaldis_definition():
    """A slow oracle of the first frame: no dither, mean taken off, pre-emphasis, Povey's window, power, triangles."""
    draw = np.random.default_rng(1).normal(0, 0.1, 400).astype(np.float32)
    frame = draw[:200].astype(np.float64) * FULL
    frame -= frame.mean()
    frame = np.concatenate([[frame[0] * (1 - 0.97)], frame[1:] - 0.97 * frame[:-1]])
    frame *= (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(200) / 199)) ** 0.85
    power = np.abs(np.fft.rfft(frame, 256)) ** 2
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    points = np.linspace(mel(20), mel(RATE / 2), 42)
    bins = mel(np.arange(129) * RATE / 256)
    for band, energy in enumerate(log_mel(draw, RATE, "")[0]):
        left, middle, right = points[band : band + 3]
        weights = np.clip(np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)), 0, None)
        assert energy == pytest.approx(np.log((weights[:128] * power[:128]).sum()), abs=1e-3)


def test_channels_are_averaged_and_a_band_that_never_changes_is_zero(tmp_path):
    soundfile.write(tmp_path / "stereo.wav", np.stack([tone(440), np.zeros(800)], 1), RATE, subtype="FLOAT")
    assert np.allclose(samples(f"{tmp_path}/stereo.wav")[0], tone(440) / 2, atol=1e-6)
    soundfile.write(tmp_path / "silence.wav", np.zeros(800), RATE)
    assert not Audio(audio()).read(f"{tmp_path}/silence.wav").any()
    assert normalised(np.array([[1.0, 7], [3, 7]], np.float32)).tolist() == [[-1, 0], [1, 0]]


def test_a_member_of_an_archive_is_read_whole_and_in_part(sounds, tmp_path):
    with zipfile.ZipFile(tmp_path / "talks.zip", "w") as archive:
        archive.write(sounds, "a/two.flac")
    for part in ("", ":100:900"):
        assert np.array_equal(samples(f"{tmp_path}/talks.zip:a/two.flac{part}")[0], samples(sounds + part)[0])


def test_rate_and_bands_are_found_in_the_training_data(tmp_path, sounds):
    (found,) = fit([audio()], [sounds, "", f"{sounds}:0:1000"], ["a:1", "a:2", "a:3"])
    assert (found.rate, found.size) == (RATE, 40) and found.scale == pytest.approx(1, abs=0.05)
    assert described(found).startswith("audio, 8,000 samples a second, 40 numbers a row, scale ")
    assert Audio(found).read("").tolist() == [[0] * 40]
    soundfile.write(tmp_path / "wide.wav", tone(440, rate=16000), 16000)
    (wide,) = fit([audio()], [f"{tmp_path}/wide.wav"], ["a:1"])
    assert (wide.rate, wide.size) == (16000, 80)
    told = r"^a:2: column `speech`: .*wide\.wav has 16,000 samples a second, but the training data begins with 8,000\. "
    with pytest.raises(DataError, match=told + r"hint: convert it to that rate\.$"):
        fit([audio()], [sounds, f"{tmp_path}/wide.wav"], ["a:1", "a:2"])
    with pytest.raises(
        DataError, match=r"has 8,000 samples a second, but the training data begins with 16,000 hint: convert"
    ):
        Audio(wide).read(sounds)


def written(folder, found, rate: int = RATE, **more) -> str:
    soundfile.write(folder / "a.wav", found, rate, **more)
    return f"{folder}/a.wav"


def bytes_of(folder, data: bytes, name: str = "a.wav") -> str:
    (folder / name).write_bytes(data)
    return f"{folder}/{name}"


def half(folder, suffix: str) -> str:
    """A recording whose second half was never written."""
    soundfile.write(folder / f"whole.{suffix}", np.random.default_rng(1).normal(0, 0.1, 40_000), RATE)
    data = (folder / f"whole.{suffix}").read_bytes()
    return bytes_of(folder, data[: len(data) // 2], f"half.{suffix}")


def ogg(folder, kind: str, part: float) -> str:
    """A recording in Ogg of which only this part was copied."""
    noise = np.random.default_rng(1).normal(0, 0.1, 80_000)
    soundfile.write(folder / "whole.ogg", noise, RATE, format="OGG", subtype=kind)
    data = (folder / "whole.ogg").read_bytes()
    return bytes_of(folder, data[: int(part * len(data))], "cut.ogg")


def two_streams(folder) -> str:
    for name, hertz in (("a", 440), ("b", 880)):
        soundfile.write(folder / f"{name}.ogg", tone(hertz), RATE)
    return bytes_of(folder, b"".join((folder / f"{name}.ogg").read_bytes() for name in "ab"), "two.ogg")


REFUSED = {
    "missing": (lambda folder: f"{folder}/no.wav", r"no\.wav cannot be read: No such file or directory$"),
    "empty": (lambda folder: bytes_of(folder, b""), r"a\.wav cannot be read as audio \("),
    "text": (lambda folder: bytes_of(folder, b"hello" * 99), r"a\.wav cannot be read as audio \(.*ormat not recognise"),
    "raw samples": (lambda folder: bytes_of(folder, b"12" * 99, "a.raw"), r"a\.raw cannot be read as audio \("),
    "no samples": (lambda folder: written(folder, np.zeros(0)), r"a\.wav has 0 samples, too few for a frame of 25 ms "),
    "too few": (lambda folder: written(folder, np.zeros(199)), r"has 199 samples, too few for a frame of 25 ms \(200 "),
    "seconds": (
        lambda folder: written(folder, tone(440)) + ":0.5:1.0",
        r":0\.5:1\.0 names no part of .*\.wav hint: name a part as `file:START:END`, in samples\.$",
    ),
    "one number": (lambda folder: written(folder, tone(440)) + ":7", r":7 names no part of .*\.wav hint: name a part"),
    "seconds of nothing": (lambda folder: f"{folder}/b.wav:0.5:1", r"b\.wav:0\.5:1 cannot be read: No such file"),
    "backwards": (lambda folder: written(folder, tone(440)) + ":700:100", r":700:100 ends before it begins hint: name"),
    "backwards beyond": (lambda folder: written(folder, tone(440)) + ":9999:90", r":9999:90 ends before it begi"),
    "beyond": (lambda folder: written(folder, tone(440)) + ":0:801", r":0:801 does not exist: the file has 800 sample"),
    "far beyond": (lambda folder: written(folder, tone(440)) + ":5:999999999999999", r"does not exist: the file has 8"),
    "slow": (lambda folder: written(folder, tone(440), 4000), r"a\.wav has 4,000 samples a second, and must have 8,00"),
    "long": (lambda folder: written(folder, np.zeros(8000 * 601, np.int16)), r"than 600 seconds hint: name parts"),
    "not a number": (
        lambda folder: written(folder, np.full(800, np.nan), subtype="FLOAT"), r"a\.wav holds a value that is not a fi",
    ),
    "too loud": (
        lambda folder: written(folder, tone(440) * 1e30, subtype="DOUBLE"), r"a\.wav holds a value that is not a fini",
    ),
    "cut WAV": (lambda folder: half(folder, "wav"), r"half\.wav is incomplete: its file ends before all its samples h"),
    "cut AIFF": (lambda folder: half(folder, "aiff"), r"half\.aiff is incomplete: its file ends before all"),
    "cut AU": (lambda folder: half(folder, "au"), r"half\.au is incomplete: its file ends before all its samples hint"),
    "cut FLAC": (lambda folder: half(folder, "flac"), r"half\.flac cannot be read as audio \(Error : flac decoder"),
    "cut MP3": (lambda folder: half(folder, "mp3"), r"half\.mp3 is incomplete: its file ends before all its sample"),
    "a part of a cut MP3": (lambda folder: half(folder, "mp3") + ":0:39000", r"half\.mp3:0:39000 is incomplete: its "),
    "cut Vorbis": (lambda folder: ogg(folder, "VORBIS", 0.5), r"cut\.ogg is incomplete: its file ends before all its"),
    "cut Opus": (lambda folder: ogg(folder, "OPUS", 0.5), r"cut\.ogg is incomplete: its file ends before all its sa"),
    "a part of a cut Ogg": (lambda folder: ogg(folder, "VORBIS", 0.9) + ":0:800", r"cut\.ogg:0:800 is incomplete: it"),
    "Ogg after Ogg": (two_streams, r"two\.ogg holds several streams of sound, of which only the first would be read h"),
    "no member": (
        lambda folder: f"{written(folder, tone(440))}.zip:b.wav", r"a\.wav\.zip cannot be read: No such file or direct",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_recording_is_refused_in_one_sentence(case, tmp_path):
    make, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as caught:
        Audio(audio()).read(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["VORBIS", "OPUS"])
def test_an_ogg_file_is_whole_where_its_last_page_says_so(kind, tmp_path):
    whole = bytes_of(tmp_path, (tmp_path / ogg(tmp_path, kind, 1)).read_bytes(), "copy.ogg")
    assert len(samples(whole)[0]) == 80_000
    data = (tmp_path / "copy.ogg").read_bytes()
    with zipfile.ZipFile(tmp_path / "talks.zip", "w") as archive:
        archive.write(whole, "whole.ogg")
        archive.writestr("cut.ogg", data[:-1])
    assert len(samples(f"{tmp_path}/talks.zip:whole.ogg:8:808")[0]) == 800
    assert len(samples(bytes_of(tmp_path, data + bytes(99), "more.ogg"))[0]) == 80_000  # as some programs append
    assert len(samples(bytes_of(tmp_path, data + bytes(99_999), "much.ogg"))[0]) == 80_000
    with pytest.raises(DataError, match=r"talks\.zip:cut\.ogg is incomplete: its file ends before all its samples"):
        samples(f"{tmp_path}/talks.zip:cut.ogg")
    pages = [found.start() for found in re.finditer(b"OggS", data)]
    assert len(pages) > 4
    for page in pages[3:]:  # the first ones are headers, without which nothing can be read
        for end in (page, page + 2, page + 4, page + 20, page + 30):
            with pytest.raises(DataError, match=r"cut\.ogg is incomplete: its file ends before all its samples hint: "):
                samples(bytes_of(tmp_path, data[:end], "cut.ogg"))
    for end in (1, 40, pages[1], pages[2]):
        with pytest.raises(DataError, match=r"cut\.ogg (is incomplete|cannot be read as audio)"):
            samples(bytes_of(tmp_path, data[:end], "cut.ogg"))


@pytest.mark.parametrize("stated", [(1 << 31) - 37, (1 << 32) - 1])
def test_a_length_that_a_pipe_did_not_let_the_writer_know_is_no_damage(stated, tmp_path):
    data = (tmp_path / written(tmp_path, tone(440))).read_bytes()
    at = data.index(b"data") + 4
    streamed = data[:at] + stated.to_bytes(4, "little") + data[at + 4 :]
    assert len(samples(bytes_of(tmp_path, streamed))[0]) == 800


def test_a_name_may_have_any_sign(sounds, tmp_path):
    with zipfile.ZipFile(tmp_path / "two\ntalks.zip", "w") as archive:
        archive.write(sounds, "a\nb.flac")
    (tmp_path / "a\nb.flac").write_bytes((tmp_path / "two.flac").read_bytes())
    for name in ("a\nb.flac", "two\ntalks.zip:a\nb.flac"):
        assert np.array_equal(samples(f"{tmp_path}/{name}:100:900")[0], samples(f"{sounds}:100:900")[0])
    with pytest.raises(
        DataError, match=r"no\nsound\.wav cannot be read: No such file or directory hint: relative names"
    ):
        samples("no\nsound.wav")


@pytest.mark.parametrize("missing, package", [("soundfile", "soundfile"), ("kaldi_native_fbank", "kaldi-native-fbank")])
def test_without_a_package_the_extra_is_named(missing, package, monkeypatch):
    monkeypatch.setattr("mt.errors.find_spec", lambda name: None if name == missing else "there")
    told = f"column `speech` with audio needs the package `{package}`. hint: install it with `pip install {package}`."
    with pytest.raises(ConfigError, match=f"^{re.escape(told)}$"):
        Audio(audio())
