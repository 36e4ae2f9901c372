"""Files for retrieval: all captions of the test photographs, and the numbers of those of each."""

import gzip

import flickr8k_tables
import pytest


def test_numbers_of_the_right_captions_skip_empty_ones(tmp_path):
    flickr8k_tables.write_retrieval(tmp_path, [["a dog", "", "dogs"], ["a cat"]])
    assert (tmp_path / "captions.txt").read_text() == "a dog\ndogs\na cat\n"
    assert (tmp_path / "right.txt").read_text() == "1 2\n3\n"


@pytest.fixture
def folder(tmp_path):
    """Two photographs for training and two for the test, the last of each without German captions."""
    languages = [f"caption_{language}_{number}" for language in ("en", "de") for number in range(5)]
    rows = [["index", "f8k_split", *languages]]
    for index, split in enumerate(("train", "train", "dev", "test", "test")):
        texts = [f"A dog, {index}." for _ in range(5)] + ["Ein Hund!" if index in (0, 2, 3) else ""] * 5
        rows.append([str(index), split, *texts])
    with gzip.open(tmp_path / "captions.tsv.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(map("\t".join, rows)) + "\n")
    return tmp_path


def captions_of(folder, name):
    return [line.split("\t")[1] for line in (folder / f"out/{name}.tsv").read_text().split("\n")[1:-1]]


def test_captions_of_two_languages_begin_with_a_tag(folder):
    flickr8k_tables.make(folder, folder / "out", ["en"])
    assert captions_of(folder, "train") == ["a dog 0"] * 5 + ["a dog 1"] * 5
    flickr8k_tables.make(folder, folder / "out", ["en", "de"])
    assert captions_of(folder, "train") == ["<2en> a dog 0"] * 5 + ["<2de> ein hund"] * 5 + ["<2en> a dog 1"] * 5
    assert captions_of(folder, "dev") == ["<2en> a dog 2", "<2de> ein hund"]
    assert captions_of(folder, "test") == ["<2en> a dog 3", "<2en> a dog 4"]


def test_photographs_without_captions_in_the_language_are_not_scored(folder, capsys):
    (folder / "de.txt").write_text("<2de> ein hund\n<2de> was auch immer\n", encoding="utf-8")
    flickr8k_tables.score(folder, [str(folder / "de.txt")], "de")
    assert "de.txt: BLEU = 0.00 100.0/100.0/0.0/0.0 (BP = 1.000 ratio = 1.000 hyp_len = 2" in capsys.readouterr().out
