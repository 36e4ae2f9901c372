"""`mt evaluate`: what is asked for, what is compared, what is refused before any work."""

import json
import shutil
import sys
from types import SimpleNamespace

import pytest

from mt.cli.evaluate import parse, run
from mt.config import DataConfig
from mt.data.corpus.pair import Origin, Pair, fingerprint
from mt.errors import CheckpointError, ConfigError, DataError


@pytest.fixture
def texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    references = [f"the number {n} is a number" for n in range(10)]
    hypotheses = [*references[:5], *["that is none"] * 5]
    (tmp_path / "ref").write_text("".join(f"{line}\n" for line in references))
    (tmp_path / "hyp").write_text("".join(f"{line}\n" for line in hypotheses))
    (tmp_path / "short").write_text("one\n")
    (tmp_path / "test.tsv").write_text("".join(f"{n}\t{line}\n" for n, line in enumerate(references)))
    return references


@pytest.fixture
def model(monkeypatch, texts, tmp_path):
    """A model in `runs/a` that is always right, and one in `runs/b` that is always wrong."""
    for name in ("a", "b"):
        (tmp_path / "runs" / name / "model").mkdir(parents=True)
        for file in ("manifest.json", "config.yaml"):
            (tmp_path / "runs" / name / file).write_text("{}")

    def load(path, **settings):
        def translate(sources, names, beam, on_progress):
            assert [str(name) for name in names] == [f"test.tsv:{n}" for n in range(1, len(sources) + 1)]
            return ["no" if path.name == "b" else texts[int(s)] for s in sources]

        return SimpleNamespace(translate=translate, engine=None)

    monkeypatch.setattr("mt.decode.load.load", load)
    for room in ("mt.train.evaluation_set", "mt.checkpoint.model_folder"):
        monkeypatch.setattr(f"{room}.languages", lambda path: ("de", "en") if path.name == "turned" else ("en", "de"))
        monkeypatch.setattr(f"{room}.table_columns", lambda path: ([], "de"))
    monkeypatch.setattr("mt.train.evaluation_set.from_plain", lambda section, values, where: None)
    monkeypatch.setattr("mt.train.evaluation_set.read_config", lambda path: {"data": {}})
    monkeypatch.setattr("mt.compute.device.set_up_cpu", lambda threads: None)
    return tmp_path / "runs"


def test_a_file_is_scored_against_another(texts, capsys):
    assert run(["--hypotheses", "hyp", "--references", "ref", "--bootstrap", "40"]) == 0
    said = capsys.readouterr().out.split("\n")
    assert said[0] == "hyp, 10 sentences" and said[1].startswith("BLEU = ") and "±" in said[1]


def test_without_a_stdout_nothing_is_translated_in_vain(model, monkeypatch):
    monkeypatch.setattr("mt.decode.load.load", lambda *args, **settings: pytest.fail("translated in vain"))
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(ConfigError, match=r"^stdout is closed\. hint: give the results a file with `> FILE`\.$"):
        run(["runs/a", "--test", "test.tsv"])


def test_json_holds_scores_and_differences(texts, capsys):
    run(["--hypotheses", "hyp", "--references", "ref", "--bootstrap", "40", "--json", "--compare", "ref"])
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["sentences"]) == ("hyp", 10)
    row = told["comparison"][0]
    assert row["name"] == "BLEU" and row["baseline"] < row["other"] and row["p_value"] < 0.1
    assert (told["baseline"], told["other"]) == ("hyp", "ref")


def test_intervals_may_be_left_out_and_the_language_is_read_off_the_references(texts, tmp_path, capsys):
    for name in ("out.zh", "ref.zh.gz"):
        (tmp_path / name).write_text("你好\n")
    assert run(["--hypotheses", "out.zh", "--references", "ref.zh.gz", "--bootstrap", "0"]) == 0
    said = capsys.readouterr().out
    assert "tok:zh" in said and "±" not in said
    run(["--hypotheses", "out.zh", "--references", "ref.zh.gz", "--bootstrap", "0", "--tgt", "de"])
    assert "tok:13a" in capsys.readouterr().out


def test_files_can_be_scored_on_a_test_set_without_any_run(texts, capsys):
    assert run(["--hypotheses", "ref", "--test", "test.tsv", "--bootstrap", "40"]) == 0
    assert "BLEU = 100.0" in capsys.readouterr().out


def test_a_model_is_scored_and_compared(model, capsys):
    argv = ["runs/a", "--test", "test.tsv", "--compare", "runs/b", "--bootstrap", "40"]
    assert run(argv) == 0
    lines = capsys.readouterr().out.strip().split("\n")
    assert lines[0] == "test, 10 sentences" and lines[1].startswith("BLEU = 100.0")
    assert lines[5] == "runs/a -> runs/b, paired bootstrap"
    assert lines[6].startswith("BLEU = 100.0 -> 0.0 (-100.0, p = ")


def test_an_ensemble_is_scored_and_compared_with_one_of_its_models(model, monkeypatch, texts, capsys):
    def load_ensemble(paths, mean, device, precision):
        assert (
            [*map(str, paths)] == ["runs/a", "runs/b"]
            and mean == "log_probs"
            and (device, precision) == ("cpu", "fp32")
        )
        said = {str(n): text for n, text in enumerate(texts)}
        return SimpleNamespace(translate=lambda sources, **options: [said[one] for one in sources], engine=None)

    monkeypatch.setattr("mt.decode.load.load_ensemble", load_ensemble)
    several = ["--ensemble", "runs/b", "--ensemble-mean", "log_probs", "--device", "cpu", "--precision", "fp32"]
    argv = ["runs/a", *several, "--test", "test.tsv", "--bootstrap", "40"]
    assert run([*argv, "--compare", "runs/b"]) == 0
    lines = capsys.readouterr().out.strip().split("\n")
    assert lines[1].startswith("BLEU = 100.0") and lines[5] == "runs/a + runs/b -> runs/b, paired bootstrap"
    assert lines[6].startswith("BLEU = 100.0 -> 0.0")
    assert run([*argv, "--compare", "runs/a", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["baseline"], told["comparison"][0]["other"]) == ("runs/a + runs/b", pytest.approx(100))


def test_scores_of_an_ensemble_are_not_those_of_its_first_run(model, monkeypatch, texts):
    pairs = [Pair(str(n), text, Origin("test.tsv", n + 1)) for n, text in enumerate(texts)]
    monkeypatch.setattr("mt.train.evaluation_set.test_set", lambda model, files, tgt: (pairs, "en"))
    both = SimpleNamespace(translate=lambda sources, **options: texts, engine=None)
    monkeypatch.setattr("mt.decode.load.load_ensemble", lambda paths, **settings: both)
    assert run(["runs/a", "--ensemble", "runs/b", "--bootstrap", "40"]) == 0
    assert not (model / "a/eval").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--ensemble", "b"], "--ensemble needs a first model: mt evaluate MODEL --ensemble MODEL ..."),
        (["a", "--ensemble-mean", "log_probs"], "--ensemble-mean needs --ensemble"),
        (["a", "--ensemble", "b", "--engine", "ct2"], "--engine ct2 cannot honour --ensemble; leave out what it"),
        (["a", "--ensemble", "b", "--hypotheses", "hyp"], "--ensemble is not used when --hypotheses are given"),
    ],
)
def test_an_ensemble_that_cannot_be(argv, message, texts):
    with pytest.raises(ConfigError, match=message):
        parse(argv)


def test_files_and_models_of_the_other_direction_are_refused(model, tmp_path):
    for name in ("test.de", "test.en"):
        (tmp_path / name).write_text("0\n")
    with pytest.raises(
        DataError, match=r"^the file names say de to en, but the model translates en to de. hint: swap the source"
    ):
        run(["runs/a", "--test", "test.de", "test.en"])
    (model / "turned").mkdir()
    with pytest.raises(
        ConfigError, match=r"^--compare runs/turned translates from de to en, but a model from en to de is"
    ):
        run(["runs/a", "--test", "test.tsv", "--compare", "runs/turned", "--bootstrap", "40"])


def test_a_model_of_the_other_direction_is_not_compared_with_a_file_of_translations(model, tmp_path):
    (model / "turned").mkdir()
    for name in ("t.en", "t.de"):
        shutil.copy(tmp_path / "ref", tmp_path / name)
    argv = ["--hypotheses", "hyp", "--test", "t.en", "t.de", "--bootstrap", "40", "--compare"]
    with pytest.raises(
        DataError, match=r"^the file names say en to de, but the model of --compare translates de to en"
    ):
        run([*argv, "runs/turned"])


def test_a_run_keeps_the_report_of_its_own_test_set_and_no_other(model, monkeypatch, texts):
    pairs = [Pair(str(n), text, Origin("test.tsv", n + 1)) for n, text in enumerate(texts)]
    monkeypatch.setattr("mt.train.evaluation_set.test_set", lambda model, files, tgt: (pairs, "en"))
    kept = model / "a/eval/test.json"
    (model / "a/checkpoints/step-00000001").mkdir(parents=True)
    run(["runs/a/checkpoints/step-00000001", "--bootstrap", "40"])  # not the one that the run chose
    assert not kept.exists()
    for more in (["--precision", "bf16"], ["--tgt", "ja"]):
        run(["runs/a", "--bootstrap", "40", *more])
        assert not kept.exists()
    for more in (["--test", "test.tsv"], ["--beam", "1"], []):
        run(["runs/a", "--bootstrap", "0", *more])
        assert not kept.exists()
    run(["runs/a", "--bootstrap", "40", "--compare", "runs/b"])
    assert json.loads(kept.read_text())["scores"][0]["value"] == pytest.approx(100)
    assert not (model / "b/eval").exists()


def test_scores_are_printed_where_the_run_cannot_be_written_to(model, monkeypatch, texts, capsys, caplog):
    pairs = [Pair(str(n), text, Origin("test.tsv", n + 1)) for n, text in enumerate(texts)]
    monkeypatch.setattr("mt.train.evaluation_set.test_set", lambda model, files, tgt: (pairs, "en"))
    (model / "a/eval").write_text("no folder")
    assert run(["runs/a", "--bootstrap", "40"]) == 0
    assert capsys.readouterr().out.startswith("test, 10 sentences\nBLEU = 100.0 ")
    assert caplog.messages == [
        "`runs/a/eval/test.hyp.txt` cannot be written: File exists. The scores are only printed."
    ]


def test_another_text_than_that_of_the_training_is_no_score_of_the_run(model, monkeypatch, texts, capsys):
    pairs = [Pair(str(n), text, Origin("test.tsv", n + 1)) for n, text in enumerate(texts)]
    monkeypatch.setattr("mt.train.evaluation_set.test_set", lambda model, files, tgt: (pairs, "en"))
    facts = {"data": {"test_fingerprint": fingerprint(pairs[1:])}}
    (model / "a/manifest.json").write_text(json.dumps(facts))
    monkeypatch.setattr("mt.train.evaluation_set._section", lambda run: (DataConfig(), None))
    run(["runs/a", "--bootstrap", "40"])
    assert capsys.readouterr().out.startswith("test (not that of the training), 10 sentences\n")
    run(["runs/a", "--bootstrap", "40", "--json", "--compare", "runs/b"])
    assert json.loads(capsys.readouterr().out)["name"] == "test (not that of the training)"
    assert not (model / "a/eval").exists()
    run(["runs/a", "--bootstrap", "40", "--test", "test.tsv"])
    assert capsys.readouterr().out.startswith("test, 10 sentences\n")
    facts["data"]["test_fingerprint"] = fingerprint(pairs)
    (model / "a/manifest.json").write_text(json.dumps(facts))
    run(["runs/a", "--bootstrap", "40"])
    assert json.loads((model / "a/eval/test.json").read_text())["name"] == "test"


@pytest.mark.parametrize(
    ("argv", "kind", "sentence"),
    [
        (["--references", "ref"], ConfigError, "^--references needs --hypotheses"),
        (["--hypotheses", "hyp", "--references", "ref", "--test", "x"], ConfigError, "both name references"),
        (["--bootstrap", "10"], ConfigError, r"must be 0 \(no intervals\) or from 40 to 1,000,000, but is 10"),
        (["--bootstrap", "x"], ConfigError, r"must be 0 \(no intervals\) or from 40 to 1,000,000, but is x"),
        (
            ["--bootstrap", "0", "--compare", "ref"],
            ConfigError,
            "^--compare needs bootstrap resamples; leave out --bootstrap 0.",
        ),
        (["runs", "--hypotheses", "hyp", "--references", "ref"], ConfigError, "^a model is not used when --hypotheses"),
        (["--hypotheses", "hyp", "--beam", "3"], ConfigError, "^--beam is not used when --hypotheses are given; leave"),
        (
            ["--hypotheses", "hyp", "--tag", "<2de>"],
            ConfigError,
            "^--tag is not used when --hypotheses are given; leave",
        ),
        *(
            (["--hypotheses", "hyp", "--compare", "ref", *more], ConfigError, f"^{more[0]} is not used when --hypoth")
            for more in (["--tag", "<2de>"], ["--precision", "bf16"], ["--device", "cpu"], ["--engine", "ct2"])
        ),
        (
            ["--test", "test.tsv", "runs"],
            ConfigError,
            "^`runs` is a folder, not a file; a model goes before --test. hint: `mt evaluate",
        ),
        (
            ["--hypotheses", "hyp"],
            CheckpointError,
            "^there is no run in `runs`. hint: name the references with `--references FILE`.$",
        ),
        (["--hypotheses", "hpy", "--references", "ref"], DataError, "`hpy` does not exist. hint: did you mean `hyp`?"),
        (["--hypotheses", "hyp", "--references", "rfe"], DataError, "`rfe` does not exist"),
        (["runs/a", "--compare", "runs/c"], DataError, "`runs/c` does not exist"),
        (
            ["--hypotheses", "short", "--references", "ref"],
            DataError,
            "^`short` has 1 line, but `ref` has 10: both must have the same number of lines",
        ),
        (
            ["--hypotheses", "hyp", "--references", "ref", "--compare", "short"],
            DataError,
            "^short has 1 line, but there are ",
        ),
        (
            ["--hypotheses", "hyp", "--references", "ref", "--compare", "."],
            ConfigError,
            "needs the sources: give --test",
        ),
        (["--hypotheses", "short", "--test", "test.tsv"], DataError, "^short has 1 line, but there are "),
    ],
)
def test_what_cannot_be_done_is_refused(texts, tmp_path, argv, kind, sentence):
    (tmp_path / "runs").mkdir()
    with pytest.raises(kind, match=sentence):
        run(argv)


def test_defaults():
    asked = parse([])
    assert (asked.model, asked.test, asked.bootstrap, asked.json, asked.beam) == (None, None, 1000, False, None)


def test_examples_of_the_help_stand_on_lines_of_their_own(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert "\n  mt evaluate runs/a --compare runs/b\n" in capsys.readouterr().out


def test_the_share_of_numerals_that_survive_is_printed(texts, model, capsys):
    lines = "--bootstrap", "0"
    run([str(model / "a"), "--test", "test.tsv", *lines])
    assert capsys.readouterr().out.rstrip().split("\n")[-1] == "numerals kept = 100.0 % (10 of 10)"
    run([str(model / "b"), "--test", "test.tsv", *lines])
    assert capsys.readouterr().out.rstrip().split("\n")[-1] == "numerals kept = 0.0 % (0 of 10)"


def test_without_sources_nothing_is_said_of_numerals(texts, capsys):
    run(["--hypotheses", "hyp", "--references", "ref", "--bootstrap", "0"])
    assert "numerals" not in capsys.readouterr().out


def test_a_language_that_is_no_code_is_refused_with_the_nearest(texts):
    with pytest.raises(
        ConfigError, match=r"--tgt must be a language code .* is 'Chinese'\. hint: the nearest is `zh` \(Chinese\)"
    ):
        run(["--hypotheses", "hyp", "--references", "ref", "--tgt", "Chinese"])


def test_a_name_with_the_code_of_a_country_gives_the_tokenizer(texts, tmp_path, capsys, caplog):
    lines = "我们昨天看见了那座大桥。\n他们明天要去北京看朋友。\n"
    for name in ("out", "ref.cn", "newstest-ref.zho.txt", "ref"):
        (tmp_path / name).write_text(lines)
    for name, said in (("ref.cn", "tok:zh"), ("newstest-ref.zho.txt", "tok:zh"), ("ref", "tok:zh")):
        run(["--hypotheses", "out", "--references", name, "--bootstrap", "0"])
        shown = capsys.readouterr().out
        assert said in shown and "BLEU = 100.0" in shown and "on characters" in shown
    assert "the target language is not known, and the references are written without spaces" in caplog.text
    caplog.clear()
    run(["--hypotheses", "out", "--references", "ref", "--bootstrap", "0", "--tgt", "de"])
    assert "so that a sentence is one word and BLEU cannot tell" in caplog.text


# ---------------------------------------------------------------- other scores, several references


def test_chosen_scores_are_shown_in_their_order(texts, capsys):
    argv = ["--hypotheses", "hyp", "--references", "ref", "--bootstrap", "40", "--metrics", "exact", "wer", "rouge"]
    assert run([*argv, "--compare", "ref"]) == 0
    lines = capsys.readouterr().out.strip().split("\n")
    shown = ["exact", "WER", "ROUGE-1", "ROUGE-2", "ROUGE-L"]
    assert [line.split(" = ")[0] for line in lines if " = " in line] == shown * 2
    assert lines[1].startswith("exact = 50.0 ± ")


def test_each_line_is_compared_with_all_its_references(texts, tmp_path, capsys):
    (tmp_path / "other").write_text("\n" * 5 + "that is none\n" * 5)
    argv = ["--hypotheses", "hyp", "--references", "ref", "other", "--bootstrap", "40", "--metrics", "exact", "bleu"]
    run([*argv, "--compare", "ref", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [score["value"] for score in told["scores"]] == [100, pytest.approx(100)]
    assert all(score["signature"].startswith("nrefs:var|") for score in told["scores"])
    assert [row["other"] for row in told["comparison"]] == [100, pytest.approx(100)]


def test_further_references_must_have_as_many_lines(texts):
    with pytest.raises(DataError, match=r"^`hyp` has 10 lines, but `short` has 1: both must have the same number"):
        run(["--hypotheses", "hyp", "--references", "ref", "short"])


def test_an_unknown_score_is_refused():
    with pytest.raises(ConfigError, match=r"--metrics.*meteor"):
        parse(["--metrics", "meteor"])


def test_the_report_of_a_run_keeps_the_usual_scores(model, monkeypatch, texts):
    pairs = [Pair(str(n), text, Origin("test.tsv", n + 1)) for n, text in enumerate(texts)]
    monkeypatch.setattr("mt.train.evaluation_set.test_set", lambda model, files, tgt: (pairs, "en"))
    run(["runs/a", "--bootstrap", "40", "--metrics", "wer"])
    assert not (model / "a/eval").exists()
    run(["runs/a", "--bootstrap", "40", "--metrics", "wer", "bleu", "chrf", "ter"])
    kept = json.loads((model / "a/eval/test.json").read_text())
    assert [score["name"] for score in kept["scores"]] == ["WER", "BLEU", "chrF++", "TER"]


def test_an_empty_translation_of_a_model_is_no_shifted_line(model, monkeypatch, texts, caplog):
    pairs = [Pair(str(n), text, Origin("test.tsv", n + 1)) for n, text in enumerate(texts)]
    monkeypatch.setattr("mt.train.evaluation_set.test_set", lambda model, files, tgt: (pairs, "en"))
    texts[3:5] = ["", ""]
    run(["runs/a", "--bootstrap", "0"])
    assert caplog.messages == ["2 of 10 lines: the translation is empty; the first is test.tsv:4."]


def test_lines_that_are_empty_on_one_side_are_counted_and_named(texts, tmp_path, capsys, caplog):
    (tmp_path / "shifted").write_text("".join(f"{line}\n" for line in ["", *texts[1:4], "", *texts[4:-1]]))
    run(["--hypotheses", "hyp", "--references", "shifted", "--bootstrap", "0"])
    assert (
        "2 of 10 lines: the line has no reference; the first is shifted:1. If blank lines shifted one " in caplog.text
    )
    caplog.clear()
    run(["--hypotheses", "shifted", "--test", "test.tsv", "--bootstrap", "0"])
    assert "2 of 10 lines: the translation is empty; the first is test.tsv:1. If blank lines shifted" in caplog.text
    caplog.clear()
    run(["--hypotheses", "ref", "--references", "ref", "--bootstrap", "0"])
    assert not caplog.text
