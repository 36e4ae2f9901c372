"""Tables of DAQUAR: a cell for each photograph, and a floor by the first five words."""

import gzip

import daquar_tables


def test_tables_and_floor(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(daquar_tables, "DEV", 1)
    folder = tmp_path / "daquar"
    folder.mkdir()
    (folder / "image_order.txt").write_text("b\na\nc\n")
    rows = [
        "a\ttrain\twhat is on the left side ?\tchair",
        "a\ttrain\twhat is on the left of it ?\tchair",
        "b\ttrain\twhat is on the left edge ?\ttable, lamp",
        "b\ttrain\thow many chairs are there ?\t2",
        "c\ttest\twhat is on the left wall ?\tchair",
        "c\ttest\thow many chairs are there ?\t3",
        "c\ttest\twhere is the cat ?\tchair",  # begins as no training question does: the commonest of all answers
        'c\ttest\twhat is on the left " ?\tlamp',
    ]
    with gzip.open(folder / "qa.tsv.gz", "wt") as file:
        file.write("\n".join(["image\tsplit\tquestion\tanswer", *rows]) + "\n")
    out = tmp_path / "tables"
    daquar_tables.make(folder, out)
    tables = {file.stem: [line.split("\t") for line in file.read_text().split("\n")[1:-1]] for file in out.iterdir()}
    assert set(tables) == {"train", "dev", "test", "blind", "shuffled"}
    held, kept = ({row[0] for row in tables[name]} for name in ("dev", "train"))
    cells = {f"../daquar/pooled_256_int8.npy:{row}" for row in range(2)}
    assert held | kept == cells and len(held) == len(kept) == 1
    assert tables["test"][0] == ["../daquar/pooled_256_int8.npy:2", "what is on the left wall ?", "chair"]
    assert tables["test"][3][1] == 'what is on the left " ?'
    assert "the commonest answer by the first 5 words: 50.0 % of the test" in capsys.readouterr().out
