"""Tables of questions about pictures: what is held out shares no picture, and the floor is by hand."""

import json

import easy_vqa_tables


def test_tables_and_floor(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(easy_vqa_tables, "DEV", 1)
    questions = {
        "train": [["what?", "red", n] for n in range(3)] + [["what?", "blue", 3], ["is it?", "yes", 0]],
        "test": [["what?", "red", 0], ["what?", "blue", 1], ["is it?", "no", 1]],
    }
    for split, found in questions.items():
        (tmp_path / "data" / split).mkdir(parents=True)
        (tmp_path / "data" / split / "questions.json").write_text(json.dumps(found))
    out = tmp_path / "tables"
    easy_vqa_tables.make(tmp_path / "data", out)
    tables = {file.stem: [line.split("\t") for line in file.read_text().split("\n")[1:-1]] for file in out.iterdir()}
    assert set(tables) == {"train", "dev", "test", "blind", "shuffled"}
    assert len(tables["train"]) + len(tables["dev"]) == 5
    assert not {row[0] for row in tables["train"]} & {row[0] for row in tables["dev"]}
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
