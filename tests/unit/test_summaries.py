"""What a summary must beat is measured on the files that are given; long sources are measured one by one."""

import summaries


def test_the_first_words_are_scored_and_compared(tmp_path, capsys):
    sources, targets = ["one two three", "four five six"] * 6, ["one two", "six"] * 6
    for name, lines in (("s.en", sources), ("t.en", targets), ("right", targets)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    argv = ["floor", str(tmp_path / "s.en"), str(tmp_path / "t.en"), "--words", "2"]
    summaries.main([*argv, "--hypotheses", str(tmp_path / "right")])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "the first 2 words of 12 sources:"
    assert [line.split(" ±")[0] for line in said[1:4]] == ["ROUGE-1 = 50.0", "ROUGE-2 = 50.0", "ROUGE-L = 50.0"]
    assert said[7].startswith("ROUGE-L = 50.0 -> 100.0 (+50.0, p = ")


def test_the_lead_is_whole_words_and_short_sources_stay():
    assert summaries.lead(["a b  c d", "a", ""], 3) == ["a b c", "a", ""]


def test_the_leads_of_a_file_are_written_line_by_line(tmp_path):
    (tmp_path / "s.en").write_text("one two  three\nfour\n\n")
    summaries.main(["lead", str(tmp_path / "s.en"), str(tmp_path / "s.lead"), "--words", "2"])
    assert (tmp_path / "s.lead").read_text() == "one two\nfour\n\n"


def test_words_are_linked_to_the_first_equal_word_of_the_source(tmp_path):
    for name, lines in (
        ("s.en", ["The cat, (a cat) sat - on it.", "C, C++"]),
        ("t.en", ["Cat - sat on mats", "c++ c#"]),
    ):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    summaries.main(["links", *(str(tmp_path / name) for name in ("s.en", "t.en", "links"))])
    assert (tmp_path / "links").read_text() == "1-0 4-2 6-3\n1-0\n"


def test_a_long_source_has_a_row(capsys):
    small = ["model.dim=16", "model.heads=2", "model.ffn_dim=16", "model.encoder_layers=1", "model.decoder_layers=1"]
    summaries.main(["lengths", *small, "--tokens", "64", "--updates", "1", "--length", "32"])
    cells = [cell.strip() for cell in capsys.readouterr().out.strip().strip("|").split("|")]
    assert cells[:2] == ["32", "2"] and float(cells[2]) >= 0 and float(cells[3].replace(",", "")) > 0
