"""Tables of captions with photographs: what is hidden, and who has which photograph."""

import gzip
import json
from pathlib import Path

import multi30k_image_tables
import pytest


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("A man in a blue shirt.", "A [v] in a [v] [v]."),
        ("Two Women and their dogs", "Two [v] and their [v]"),
        ("A manly bluebird on carpet", "A manly bluebird on carpet"),  # only whole words
    ],
)
def test_colours_and_common_nouns_are_hidden(text, hidden):
    assert multi30k_image_tables.HIDDEN.sub("[v]", text) == hidden


def test_the_test_set_has_the_captions_with_photographs(tmp_path, monkeypatch):
    monkeypatch.setattr(multi30k_image_tables, "DEV", 1)
    (tmp_path / "multi30k").mkdir()
    (tmp_path / "flickr8k_multi30k").mkdir()
    for name, count in (("train", 4), ("val", 2), ("test_2016_flickr", 2)):
        for side in ("en", "de"):
            lines = "".join(f"{name} {number} dog {side}\n" for number in range(count))
            with gzip.open(tmp_path / f"multi30k/{name}.{side}.gz", "wt") as file:
                file.write(lines)
    rows = [("0", "train", "1"), ("1", "train", "3"), ("2", "val", "0"), ("3", "test_2016_flickr", "1"), ("4", "", "")]
    with gzip.open(tmp_path / "flickr8k_multi30k/captions.tsv.gz", "wt") as file:
        file.write("\n".join(map("\t".join, [("index", "m30k_split", "m30k_row"), *rows])) + "\n")
    multi30k_image_tables.make(tmp_path, tmp_path / "out")

    def read(name):
        return [line.split("\t") for line in (tmp_path / f"out/{name}.tsv").read_text().split("\n")[1:-1]]

    array = "../flickr8k_multi30k/pooled_256_int8.npy"
    assert read("test") == [
        [f"{array}:2", "val 0 [v] en", "val 0 dog en", "val 0 dog de"],
        [f"{array}:3", "test_2016_flickr 1 [v] en", "test_2016_flickr 1 dog en", "test_2016_flickr 1 dog de"],
    ]
    assert [row[0] for row in read("shuffled")] in ([f"{array}:2", f"{array}:3"], [f"{array}:3", f"{array}:2"])
    assert [row[0] for row in read("blind")] == ["", ""]
    (held,) = read("dev")
    assert held[0] in (f"{array}:0", f"{array}:1") and held not in read("train")
    assert len(read("train")) == 3 and sum(row[0] == "" for row in read("train")) == 2


def test_texts_with_gaps_have_all_seeds_and_whole_ones_the_first(tmp_path, monkeypatch, capsys):
    calls: list[list[str]] = []

    def mt(*args: str) -> str:
        calls.append(list(args))
        scores = [{"name": name, "value": 12.345, "signature": "s"} for name in ("BLEU", "chrF++")]
        return json.dumps({"scores": scores}) if args[0] == "evaluate" else ""

    monkeypatch.setattr(multi30k_image_tables, "mt", mt)
    multi30k_image_tables.compare(Path("data/x"), [3, 4], tmp_path, ["train.steps=7"])
    made = [dict(arg.partition("=")[::2] for arg in call) for call in calls if call[0] == "train"]
    assert [(one["data.inputs"], one["train.seed"], one["train.steps"]) for one in made] == [
        ("[photo:features,en:text]", "3", "7"),
        ("[photo:features,en:text]", "4", "7"),
        ("[photo:features,whole:text]", "3", "7"),
    ]
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 9 and told[-1] == "multi30k_image_whole.3  blind     BLEU 12.35  chrF++ 12.35  s"
