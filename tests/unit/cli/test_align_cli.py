"""`mt align`: links out, the choice kept, and what is refused."""

import json

import pytest
from toy import number_pairs, number_tokenizer, tiny_config, trained_numbers

from mt.alignment import symmetrize
from mt.checkpoint import verify_folder, write_folder
from mt.checkpoint.model_folder import Description
from mt.cli.align import HEURISTICS, parse, run
from mt.config import DecodeConfig, Precision
from mt.errors import CheckpointError, ConfigError, DataError

PAIRS = number_pairs(40, seed=9)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two model folders, one for each direction."""
    home, tokenizer = tmp_path_factory.mktemp("models"), number_tokenizer()
    for name, src, tgt in (("forward", "en", "de"), ("backward", "de", "en")):
        told = Description(
            src=src, tgt=tgt, src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size, max_length=64,
            precision=Precision.fp32, model=tiny_config(dim=32, ffn_dim=64), decode=DecodeConfig(beam=1),
        )  # fmt: skip
        weights = dict(trained_numbers(name == "backward").named_parameters())
        write_folder(home / name, {**told.files(tokenizer), "model.safetensors": weights}, meta={"step": 7})
    return home


@pytest.fixture
def text(tmp_path):
    for name, lines in (("en", [p.src for p in PAIRS]), ("de", [p.tgt for p in PAIRS])):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in [*lines, ""]), encoding="utf-8")
    gold = [" ".join(f"{i + 1}-{i + 1}" for i in range(len(p.src.split()))) for p in PAIRS]
    (tmp_path / "gold").write_text("\n".join([*gold, ""]) + "\n")
    return tmp_path


def align(folders, text, *more, model="forward"):
    return run([str(folders / model), "--source", str(text / "en"), "--target", str(text / "de"), *more])


def test_a_line_for_each_pair_and_the_choice_is_kept(folders, text, capsys):
    assert align(folders, text, "--choose-again") == 0
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == len(PAIRS) + 2
    assert lines[-2] == ""
    right = sum(link.split("-")[0] == link.split("-")[1] for line in lines for link in line.split())
    assert right > 0.9 * sum(len(line.split()) for line in lines)
    manifest = verify_folder(folders / "forward")
    assert manifest.meta == {"step": 7}
    kept = json.loads((folders / "forward" / "alignment.json").read_text())
    assert (kept["criterion"], kept["pairs"]) == ("regularity", len(PAIRS))
    assert align(folders, text, "-o", str(text / "out")) == 0
    assert (text / "out").read_text() == "\n".join(lines)
    assert json.loads((folders / "forward" / "alignment.json").read_text()) == kept


def test_a_model_is_hashed_once_to_read_it(folders, text, monkeypatch):
    hashed = []
    monkeypatch.setattr("mt.checkpoint.model_folder.verify_folder", lambda folder: hashed.append(folder.name))
    for more in (["--choose-again"], []):  # with a choice to keep, `keep` looks at the folder itself
        hashed.clear()
        assert align(folders, text, "--reverse", str(folders / "backward"), *more) == 0
        assert hashed == ["forward", "backward"]


def test_a_choice_on_a_few_pairs_is_not_kept(folders, text, capsys, caplog):
    before = (folders / "backward" / "MANIFEST.json").read_bytes()
    for name in ("en", "de"):
        (text / name).write_text("\n".join((text / name).read_text().split("\n")[:2]) + "\n")
    assert run([str(folders / "backward"), "--source", str(text / "de"), "--target", str(text / "en"),
                "--choose-again"]) == 0  # fmt: skip
    assert len(capsys.readouterr().out.split("\n")) == 3
    assert "the choice is not saved, because fewer than 30 pairs are too few for it." in caplog.text
    assert (folders / "backward" / "MANIFEST.json").read_bytes() == before


def test_both_directions_and_gold_links(folders, text, capsys):
    more = ["--reverse", str(folders / "backward"), "--choose-again", "--gold", str(text / "gold"), "--gold-base", "1"]
    for name in ("grow-diag", "joint"):
        assert align(folders, text, *more, "--symmetrize", name) == 0
        said = capsys.readouterr().out
        assert float(said.split()[1]) < 10
        assert said.rstrip().endswith(f"41 pairs, words of {text / 'gold'} counted from 1)")
    kept = [json.loads((folders / name / "alignment.json").read_text()) for name in ("forward", "backward")]
    assert [one["criterion"] for one in kept] == ["agreement"] * 2


def test_soft_weights(folders, text, capsys):
    assert align(folders, text, "--soft", "--least", "0.2") == 0
    for line in capsys.readouterr().out.split("\n"):
        for item in line.split():
            assert 0.2 <= float(item.split(":")[1]) <= 1


def test_a_checkpoint_is_read_and_not_written(folders, text, tmp_path, caplog):
    files = {path.name: path.read_bytes() for path in (folders / "forward").iterdir() if path.name != "MANIFEST.json"}
    files.pop("alignment.json", None)
    write_folder(tmp_path / "step-00000001", {**files, "optimizer.safetensors": b""})
    assert run([str(tmp_path / "step-00000001"), "--source", str(text / "en"), "--target", str(text / "de")]) == 0
    assert "is a checkpoint, which only its run writes to. The choice is not saved." in caplog.text
    assert not (tmp_path / "step-00000001" / "alignment.json").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--gold", "g"], "--gold and --gold-base must be given together"),
        (["--gold-base", "0"], "--gold and --gold-base must be given together"),
        (["--learn"], "--learn needs models of both directions: name the second with --reverse"),
        (["--symmetrize", "union"], "--symmetrize needs a second model: name it with --reverse"),
        (["--soft", "--reverse", "m"], "--soft prints the weights of one direction"),
        (["--gold", "g", "--gold-base", "0", "-o", "g"], "--gold prints scores instead of links; leave out --output"),
    ],
)
def test_options_that_do_not_go_together(more, message):
    with pytest.raises(ConfigError, match=message):
        parse(["m", "--source", "a", "--target", "b", *more])


def test_a_dash_is_stdout(text, capsys):
    files = ["--source", str(text / "en"), "--target", str(text / "de")]
    assert run(files) == run([*files, "-o", "-"]) == 0
    links = capsys.readouterr().out
    assert links and links[: len(links) // 2] == links[len(links) // 2 :]


@pytest.mark.parametrize("least", ["2", "1.01", "-0.1", "nan", "inf", "much"])
def test_a_weight_of_links_is_a_share(least):
    files = ["--source", "a", "--target", "b", "--least"]
    with pytest.raises(ConfigError, match=rf"^argument --least: must be a number from 0 to 1, but is {least}\. hint: "):
        parse([*files, least])
    assert [parse([*files, text]).least for text in ("0", "1")] == [0, 1]


@pytest.mark.parametrize("more", [["--reverse", "m"], ["--choose-again"], ["--device", "cpu"]])
def test_options_that_need_a_model(more):
    with pytest.raises(ConfigError, match="--choose-again and --device need a model, but none is given"):
        parse(["--source", "a", "--target", "b", *more])


def test_without_a_model_links_are_learnt_from_the_text(text, capsys, caplog):
    files = ["--source", str(text / "en"), "--target", str(text / "de")]
    assert run(files) == 0
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == len(PAIRS) + 2
    assert lines[-2] == ""
    assert "word links learnt from only 41 pairs are unreliable: add more text." in caplog.text
    assert run([*files, "--gold", str(text / "gold"), "--gold-base", "1", "--symmetrize", "joint"]) == 0
    assert float(capsys.readouterr().out.split()[1]) < 10
    assert run([*files, "--soft", "--least", "0.2"]) == 0
    weights = [float(item.split(":")[1]) for item in capsys.readouterr().out.split()]
    assert all(0.2 <= weight <= 1 for weight in weights)
    assert len(weights) >= sum(len(line.split()) for line in lines)


def test_learning_starts_from_both_models(folders, text, capsys):
    both = ["--reverse", str(folders / "backward"), "--learn"]
    assert align(folders, text, *both, "--gold", str(text / "gold"), "--gold-base", "1") == 0
    assert float(capsys.readouterr().out.split()[1]) < 5
    assert align(folders, text, *both, "--soft") == 0
    assert len(capsys.readouterr().out.split("\n")) == len(PAIRS) + 2


def test_files_of_unequal_length_are_refused(folders, text):
    (text / "short").write_text("0-0\n")
    with pytest.raises(
        DataError, match=r"short` has 1 line, but `.*de` has 41: both must have the same number of lines"
    ):
        run([str(folders / "forward"), "--source", str(text / "short"), "--target", str(text / "de")])
    with pytest.raises(DataError, match=r"short must have a line for each of 41 pairs, but has 1\.$"):
        align(folders, text, "--gold", str(text / "short"), "--gold-base", "0")


def test_gold_links_past_the_words_are_refused(folders, text):
    gold = (text / "gold").read_text().split("\n")
    (text / "gold").write_text("\n".join([*gold[:2], "1-1 9-1", *gold[3:]]))
    with pytest.raises(DataError, match=r"gold:3: the link 9-1 is past the words of its pair, .* count from 1\.$"):
        align(folders, text, "--gold", str(text / "gold"), "--gold-base", "1")


def test_nothing_to_choose_on_is_refused(folders, text):
    for name in ("en", "de"):
        (text / name).write_text("\n\n")
    with pytest.raises(DataError, match="have no line with text in both to choose heads on"):
        align(folders, text, "--choose-again")


@pytest.mark.parametrize(("source", "target"), [("", ""), ("\n\n", "\n\n"), ("one\n\n", "\neins\n")])
def test_nothing_to_learn_from_is_refused(tmp_path, source, target):
    (tmp_path / "en").write_text(source)
    (tmp_path / "de").write_text(target)
    with pytest.raises(DataError, match=r"^there is nothing to learn from: --source and --target have no line"):
        run(["--source", str(tmp_path / "en"), "--target", str(tmp_path / "de")])


def test_a_damaged_choice_is_refused(folders, text, tmp_path):
    files = {path.name: path.read_bytes() for path in (folders / "forward").iterdir() if path.name != "MANIFEST.json"}
    write_folder(tmp_path / "m", {**files, "alignment.json": b'{"schema": 9}'})
    with pytest.raises(
        CheckpointError, match=r"alignment\.json must have schema 1, but has 9\. hint: remove the file\.$"
    ):
        run([str(tmp_path / "m"), "--source", str(text / "en"), "--target", str(text / "de")])


def test_the_help_names_every_heuristic():
    assert set(HEURISTICS) == {*symmetrize.HEURISTICS, "joint"}


def test_a_reverse_model_must_go_the_other_way(folders, text):
    with pytest.raises(ConfigError, match="forward translates from en to de, but a model"):
        align(folders, text, "--reverse", str(folders / "forward"))


def test_the_text_is_not_written_over(folders, text):
    before = (text / "de").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=r"de` is also an input file\. hint: name another file"):
        align(folders, text, "-o", str(text / "de"))
    assert (text / "de").read_text(encoding="utf-8") == before


def test_text_without_spaces_is_refused_or_linked_by_characters(tmp_path, capsys):
    pairs = [
        ("one and two", "一和二"),
        ("two and three", "二和三"),
        ("three and one", "三和一"),
        ("one and four", "一和四"),
    ] * 10
    for name, lines in (("en", [a for a, _ in pairs]), ("zh", [b for _, b in pairs])):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    files = ["--source", str(tmp_path / "en"), "--target", str(tmp_path / "zh")]
    with pytest.raises(ConfigError, match=r"zh is written without spaces between words, so each line"):
        run(files)
    assert run([*files, "--words", "reading"]) == 0
    assert capsys.readouterr().out.split("\n")[:4] == ["0-0 1-1 2-2"] * 4


def test_heads_are_chosen_without_very_long_lines(folders, tmp_path, capsys, monkeypatch):
    chosen = []

    def measure(aligner, sources, targets, *reverse):
        chosen.append(list(zip(sources, targets, strict=True)))
        return really(aligner, sources, targets, *reverse)

    import mt.alignment.aligner as module

    really = module.choose
    monkeypatch.setattr(module, "choose", measure)
    lines = [(p.src, p.tgt) for p in PAIRS[:3]]
    long = (" ".join(["eight"] * 40), " ".join(["acht"] * 40))
    monkeypatch.setattr("mt.cli.align.LONG", 120)
    for number, some in enumerate(([*lines[:2], long, *lines[2:]], [long])):
        for name, side in (("en", 0), ("de", 1)):
            (tmp_path / f"{number}.{name}").write_text("".join(f"{pair[side]}\n" for pair in some), encoding="utf-8")
        files = ["--source", f"{tmp_path}/{number}.en", "--target", f"{tmp_path}/{number}.de"]
        assert run([str(folders / "forward"), *files, "--choose-again"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == len(some)
    assert chosen == [lines, [long]]
