"""Tables of spoken digits: which recording has which text, and error rates."""

import gzip
import io
import zipfile

import fsdd_tables
import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")
HEADER = "id\tsplit\tspeaker\trecordings\tdigits\tenglish\tgerman_digits\tgerman_number"
ROWS = [
    "0\ttrain\tana\ta b\t2 1\t-\tzwei eins\teinundzwanzig",
    "1\ttrain\tben\tc\t2\t-\tzwei\tzwei",
    "2\tdev\tana\ta\t2\t-\tzwei\tzwei",
    "3\ttest\tana\tb a\t1 2\t-\teins zwei\tzwölf",
    "4\ttest\tben\tc c\t2 2\t-\tzwei zwei\tzweiundzwanzig",
]
SOUNDS = {"a": [1, 2, 3], "b": [4, 5], "c": [6, 7, 8, 9]}


@pytest.fixture
def tables(tmp_path):
    with zipfile.ZipFile(tmp_path / "recordings.zip", "w") as archive:
        for name, samples in SOUNDS.items():
            data = io.BytesIO()
            soundfile.write(data, np.array(samples, np.int16), 8000, format="FLAC", subtype="PCM_16")
            archive.writestr(f"{name}.flac", data.getvalue())
    with gzip.open(tmp_path / "strings.tsv.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join([HEADER, *ROWS]) + "\n")
    fsdd_tables.make(tmp_path, tmp_path / "out", "ben")
    return tmp_path / "out"


def heard(folder, table):
    """(samples, text) of each row."""
    found = []
    for line in (folder / table).read_text(encoding="utf-8").split("\n")[1:-1]:
        cell, _, words = line.split("\t")
        name, start, end = cell.split(":")
        found.append((soundfile.read(folder / name, dtype="int16")[0][int(start) : int(end)].tolist(), words))
    return found


def test_each_text_stands_beside_its_recording(tables):
    two_one = [*SOUNDS["a"], *SOUNDS["b"]]
    train = heard(tables, "train.tsv")
    assert train[:2] == [(two_one, "<2number> einundzwanzig"), (two_one, "<2digits> zwei eins")]
    assert train[2:] == [
        (SOUNDS[name], f"<2{task}> {word}")
        for name, word in (("a", "zwei"), ("b", "eins"))
        for task in ("digits", "digits", "digits", "number")
    ]
    assert heard(tables, "dev.tsv") == [(SOUNDS["a"], "<2number> zwei")]
    one_two = [*SOUNDS["b"], *SOUNDS["a"]]
    assert heard(tables, "test.tsv") == heard(tables, "shuffled.tsv") == [(one_two, "<2number> zwölf")]
    assert heard(tables, "digits.tsv") == [(one_two, "<2digits> eins zwei")]
    assert heard(tables, "unseen.tsv") == [(SOUNDS["c"] * 2, "<2number> zweiundzwanzig")]
    assert heard(tables, "spoken_train.tsv") == [(two_one, "two one"), (SOUNDS["a"], "two"), (SOUNDS["b"], "one")]
    assert heard(tables, "spoken_test.tsv") == [(one_two, "one two")]
    assert heard(tables, "spoken_dev.tsv") == [(SOUNDS["a"], "two")]
    assert heard(tables, "spoken_unseen.tsv") == [(SOUNDS["c"] * 2, "two two")]


def test_errors_are_counted_in_words_parts_and_letters(tables, tmp_path, capsys):
    (tmp_path / "found.txt").write_text("<2number> zwanzig\n", encoding="utf-8")
    fsdd_tables.score(tables / "unseen.tsv", [str(tmp_path / "found.txt")])
    found, floor = capsys.readouterr().out.splitlines()
    # zwei und zwanzig has three parts and fourteen letters
    assert found.endswith("word error rate 100.00%, part error rate 66.67%, letter error rate 50.00% (1 numbers)")
    assert floor.startswith("floor, one number for all (zweiundzwanzig): word error rate 0.00%")


@pytest.mark.parametrize(
    "number, word",
    [
        (1, "eins"), (12, "zwölf"), (17, "siebzehn"), (21, "einundzwanzig"), (101, "einhunderteins"), (60, "sechzig"),
        (1001, "eintausendeins"), (21_101, "einundzwanzigtausendeinhunderteins"), (100_000, "einhunderttausend"),
        (49_612, "neunundvierzigtausendsechshundertzwölf"), (999_016, "neunhundertneunundneunzigtausendsechzehn"),
    ],
)  # fmt: skip
def test_german_numbers_by_hand(number, word):
    assert fsdd_tables.german(number) == word


def test_further_strings_are_made_of_training_recordings_of_one_speaker(tmp_path):
    rows = [
        {"speaker": "ana", "recordings": "a b", "digits": "2 1", "german_digits": "zwei eins"},
        {"speaker": "ben", "recordings": "c d", "digits": "2 0", "german_digits": "zwei null"},
    ]
    lengths = {"ana": {"zwei": 100, "eins": 200}, "ben": {"zwei": 400, "null": 800}}
    sounds = {name: np.ones(length, np.int16) for name, length in zip("abcd", (100, 200, 400, 800), strict=True)}
    found = fsdd_tables.joined_anew(tmp_path, [("", row) for row in rows], sounds, 30)
    assert {row["speaker"] for _, row in found} == {"ana", "ben"} and len(found) == 30
    speeds = []
    for place, (cell, row) in enumerate(found):
        words = row["german_digits"].split()
        assert len(words) == place % 6 + 1
        number = int("".join({"zwei": "2", "eins": "1", "null": "0"}[word] for word in words))
        assert row["digits"].replace(" ", "") == str(number)
        assert row["german_number"] == fsdd_tables.german(number) and number >= 10 ** (len(words) - 1)
        _, start, end = cell.split(":")
        speeds.append(sum(lengths[row["speaker"]][word] for word in words) / (int(end) - int(start)))
    assert 0.84 < min(speeds) < 0.9 and 1.1 < max(speeds) < 1.16
    assert len(soundfile.read(tmp_path / "more.flac")[0]) == int(found[-1][0].split(":")[2])


@pytest.mark.parametrize("speed", [0.85, 1.0, 1.15])
def test_a_faster_tape_has_a_higher_tone_and_ends_sooner(speed):
    tone = (1000 * np.sin(2 * np.pi * 40 * np.arange(800) / 800)).astype(np.int16)  # 40 periods
    found = fsdd_tables.at_speed(tone, speed)
    assert len(found) == round(800 / speed)
    assert np.abs(np.fft.rfft(found)).argmax() == 40 and np.abs(found).max() == pytest.approx(1000, abs=60)
    loud = np.full(100, 32767, np.int16)
    loud[::2] = -32768
    assert np.abs(fsdd_tables.at_speed(loud, speed).astype(int)).max() <= 32768
