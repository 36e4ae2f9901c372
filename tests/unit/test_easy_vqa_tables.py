"""Tables of questions about pictures: what is held out shares no picture, and the floor is by hand."""

import io
import json
import zipfile

import easy_vqa_tables
import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")


def picture_of(row):
    """Its number, without the turn."""
    return row[0].removeprefix("turned.zip:").rpartition("/")[2].partition(".")[0].partition("-")[0]


def test_each_question_about_a_picture_sees_another_turn_of_it(tmp_path):
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    Image.fromarray(image).save(tmp_path / "7.png")
    rows = easy_vqa_tables.turned([("7.png", f"{n}?", "yes") for n in range(9)], tmp_path)
    assert [row[0] for row in rows] == [f"turned.zip:7-{n % 8}.png" for n in range(9)]
    with zipfile.ZipFile(tmp_path / "turned.zip") as archive:
        found = [np.asarray(Image.open(io.BytesIO(archive.read(f"7-{n}.png")))) for n in range(8)]
    assert len({turn.tobytes() for turn in found}) == 8
    assert np.array_equal(found[0], image) and np.array_equal(found[4], image[:, ::-1])
    assert np.array_equal(found[1], np.rot90(image)) and np.array_equal(found[6], np.rot90(image[:, ::-1], 2))


def test_tables_and_floor(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(easy_vqa_tables, "DEV", 1)
    questions = {
        "train": [["what?", "red", n] for n in range(3)] + [["what?", "blue", 3], ["is it?", "yes", 0]],
        "test": [["what?", "red", 0], ["what?", "blue", 1], ["is it?", "no", 1]],
    }
    for split, found in questions.items():
        (tmp_path / "data" / split / "images").mkdir(parents=True)
        for number in range(4):
            Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)).save(
                tmp_path / "data" / split / f"images/{number}.png"
            )
        (tmp_path / "data" / split / "questions.json").write_text(json.dumps(found))
    out = tmp_path / "tables"
    easy_vqa_tables.make(tmp_path / "data", out)
    tables = {
        file.stem: [line.split("\t") for line in file.read_text().split("\n")[1:-1]] for file in out.glob("*.tsv")
    }
    assert set(tables) == {"train", "dev", "test", "blind", "shuffled"}
    assert len(tables["train"]) + len(tables["dev"]) == 5
    assert not {picture_of(row) for row in tables["train"]} & {picture_of(row) for row in tables["dev"]}
    assert tables["test"][0] == ["../data/test/images/0.png", "what?", "red"]
    assert {row[0] for row in tables["blind"]} == {""}
    assert sorted(row[0] for row in tables["shuffled"]) in (
        sorted(row[0] for row in tables["test"]),
        ["../data/test/images/0.png", "../data/test/images/0.png", "../data/test/images/1.png"],
    )
    assert (
        easy_vqa_tables.floor(
            [("a", "what?", "red"), ("b", "what?", "red"), ("c", "what?", "blue"), ("a", "is it?", "yes")],
            [("d", "what?", "red"), ("e", "what?", "blue"), ("e", "is it?", "no"), ("d", "what?", "red")],
        )
        == 50.0
    )
    assert capsys.readouterr().out.splitlines()[-1].startswith("floor, the commonest answer to each question: ")
