"""Numbers as they are typed, what is typed and empty, options that a dataclass states, and files to write."""

import argparse
import math
import os
import shlex
import sys
from pathlib import Path

import pytest

from mt.cli import align, evaluate, inspect, options, rank, score, train, translate
from mt.cli.options import Parser, Switch, add_options, check_new, check_output, number
from mt.config import DecodeConfig
from mt.config.decode import COUNT_FROM_0, FROM_0, PATIENCE, options_of
from mt.decode.request import Sampling
from mt.errors import ConfigError

NUMBERS = {"whole_from_0": number(int, COUNT_FROM_0), "positive_or_inf": number(float, PATIENCE)}
NUMBERS |= {"number_from_0": number(float, FROM_0)}
NUMBERS |= {name: getattr(options, name) for name in ("positive_int", "share", "resamples", "width")}


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("positive_int", "1", 1), ("positive_int", "+5", 5), ("whole_from_0", " 0", 0), ("number_from_0", "0", 0.0),
        ("positive_or_inf", "1e-3", 0.001), ("positive_or_inf", "inf", math.inf), ("share", "1", 1.0),
        ("resamples", "0", 0), ("resamples", "40", 40),
    ],
)  # fmt: skip
def test_numbers_that_fit(name, text, found):
    assert NUMBERS[name](text) == found


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("positive_int", "0", "a whole number of at least 1"), ("positive_int", "²", "a whole number of at least 1"),
        ("positive_int", "1.5", "a whole number of at least 1"), ("whole_from_0", "-1", "a whole number of at least 0"),
        ("number_from_0", "-0.1", "a number of at least 0"), ("number_from_0", "nan", "a number of at least 0"),
        ("number_from_0", "1e400", "a number of at least 0"), ("positive_or_inf", "0", "a number above 0, or inf"),
        ("positive_or_inf", "nan", "a number above 0, or inf"), ("share", "1.01", "a number from 0 to 1"),
        ("share", "nan", "a number from 0 to 1"), ("resamples", "1000001", "0 (no intervals) or from 40 to 1,000,000"),
        ("resamples", "39", "0 (no intervals) or from 40 to 1,000,000"),
        ("resamples", "-40", "0 (no intervals) or from 40 to 1,000,000"),
        ("whole_from_0", "9" * 5000, "a whole number"),
        ("whole_from_0", "9" * 400, "a whole number"), ("width", "1001", "a whole number from 1 to 1,000"),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit(name, text, wanted):
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        NUMBERS[name](text)
    assert str(refused.value).startswith(f"must be {wanted}") and str(refused.value).endswith(f"but is {text}")


@pytest.mark.parametrize(("section", "without"), [(DecodeConfig, {"max_extra", "batch_tokens"}), (Sampling, set())])
def test_each_field_that_is_an_option_is_one(section, without):
    """Its default passes its own check, and so does what a user may type for it."""
    found = options_of(section)
    assert set(section.__dataclass_fields__) - set(found) == without
    parser = Parser(prog="mt verb")
    for group in dict.fromkeys(one.group for one in found.values()):
        add_options(parser.add_argument_group(group), section, group)
    assert vars(parser.parse_args([])) == dict.fromkeys(found)
    typed = {name: value for name in found if (value := getattr(section(), name)) is not None}
    argv = [f"--{name.replace('_', '-')}={value}" for name, value in typed.items()]
    assert vars(parser.parse_args(argv)) == dict.fromkeys(found) | typed
    assert all(one.help in " ".join(parser.format_help().split()) for one in found.values())


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["m", "--input", ""], "--input"), (["m", "--input="], "--input"), (["m", "-i", ""], "-i"),
        ([""], "an argument"), (["m", ""], "an argument"),
    ],
)  # fmt: skip
def test_what_is_given_and_empty_is_refused(argv, what):
    parser = Parser(prog="mt verb")
    parser.add_argument("model", nargs="+")
    parser.add_argument("-i", "--input")
    with pytest.raises(ConfigError) as refused:
        parser.parse_args(argv)
    assert str(refused.value) == (
        f"{what} has an empty value (is a variable not set?). hint: `mt verb --help` lists the options."
    )
    for given in (["-i", "a="], ["--input=a="], ["--input", "a="]):
        assert parser.parse_args(["m", *given]).input == "a="


def test_a_file_that_is_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in", "out"):
        (tmp_path / name).write_text("kept")
    (tmp_path / "link").symlink_to("in")
    for output, *inputs in ([Path("out"), "in", None], [None, "in"], [Path("new"), "in"], [Path("out"), "missing"]):
        check_output(output, *inputs)
    with pytest.raises(ConfigError, match=r"^`--output link` is also an input file. hint: name another file\.$"):
        check_output(Path("link"), "out", "in")
    check_output(Path("/dev/null"), "/dev/null")  # no harm is done


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("there", "`--svg there` is a folder. hint: name a file."),
        ("-", "`--svg -` names no file. hint: name one, as in `--svg out.txt`."),
        ("no/a", "`--svg no/a` cannot be written: there is no folder `no`. hint: create it with `mkdir -p no`."),
        (
            "file/a",
            "`--svg file/a` cannot be written: there is no folder `file`. hint: create it with `mkdir -p file`.",
        ),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch, output, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as refused:
        check_output(Path(output), option="--svg")
    assert str(refused.value) == sentence
    check_output(Path("out.txt"), option="--svg")


@pytest.mark.parametrize(
    ("name", "what"),
    [("stdin", "name a file to read with `-i FILE`"), ("stdout", "give the results a file with `> FILE`")],
)
def test_a_process_without_a_stream_is_told_what_to_do(monkeypatch, name, what):
    monkeypatch.setattr(sys, name, None)
    with pytest.raises(ConfigError, match=rf"^{name} is closed\. hint: {what}"):
        getattr(options, name)()


@pytest.mark.parametrize("name", ["stdin", "stdout"])
def test_a_stream_that_does_not_wait_is_made_to(monkeypatch, name):
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    with os.fdopen(ends[0]) as reader, os.fdopen(ends[1], "w") as writer:
        stream = reader if name == "stdin" else writer
        monkeypatch.setattr(sys, name, stream)
        getattr(options, name)()
        assert os.get_blocking(stream.fileno())


@pytest.mark.parametrize("there", [False, True])
def test_a_file_or_folder_without_the_right_to_write_is_refused_before_any_work(tmp_path, monkeypatch, there):
    monkeypatch.chdir(tmp_path)
    if there:
        Path("out").touch()
    asked = []
    monkeypatch.setattr(os, "access", lambda *given: asked.append(given))
    with pytest.raises(ConfigError) as refused:
        check_output(Path("out"))
    assert str(refused.value) == "`--output out` cannot be written: permission denied. hint: name another file."
    assert asked == [(Path("out" if there else "."), os.W_OK)]
    if not there:
        with pytest.raises(ConfigError) as refused:
            check_new(Path("new/out"))
        assert str(refused.value) == "`new/out` cannot be created: permission denied. hint: name another folder."
        assert asked[1:] == [(tmp_path, os.W_OK)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--beam 4 --beam 5", "--beam takes one value, but is given 4 and 5; leave out one of them."),
        ("--beam=4 --beam=4", "--beam takes one value, but is given 4 and 4; leave out one of them."),
        ("-o a --output b", "--output takes one value, but is given a and b; leave out one of them."),
        ("--by sum --by mean", "--by takes one value, but is given sum and mean; leave out one of them."),
        ("--pair a b --pair c d", "--pair takes one value, but is given a b and c d; leave out one of them."),
        ("--maybe --maybe x", "--maybe takes one value, but is given none and x; leave out one of them."),
        ("--names a b --names c", "--names is given twice; write all its values behind one --names."),
        ("--verify --no-verify", "--verify and --no-verify contradict each other; leave out one of them."),
    ],
)
@pytest.mark.parametrize("parse", ["parse_args", "parse_intermixed_args"])
def test_an_option_that_is_given_twice_is_refused(line, said, parse):
    parser = repeated()
    with pytest.raises(ConfigError) as refused:
        getattr(parser, parse)(["model", *line.split()])
    assert refused.value.message == said
    assert getattr(parser, parse)(["model", "--beam", "4"]).beam == 4  # the parser keeps nothing of an earlier line


def test_nothing_of_an_earlier_line_is_kept_by_newer_versions_of_python(monkeypatch):
    """Which parse mixed lines without `parse_known_args`."""
    parser, known = repeated(), argparse.ArgumentParser.parse_known_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_intermixed_args", lambda *given: known(*given))
    monkeypatch.setattr(Parser, "parse_known_args", known)
    for beam in (4, 5):
        assert parser.parse_args(["model", "--beam", str(beam)]).beam == beam


@pytest.mark.parametrize("line", ["--verify --verify", "--jsonl --jsonl", "--more a --more b", "--beam 4 --by sum"])
def test_options_that_may_be_repeated(line):
    found = repeated().parse_args(["model", *line.split()])
    assert found.more == (["a", "b"] if "more" in line else None)


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("fst", "the word behind `mt verb` must be one of first, last, but is fst.", "did you mean `first`?"),
        ("nothing", "the word behind `mt verb` must be one of first, last, but is nothing.", "`mt verb --help` lists"),
        ("last --metrics bleu blue", "-m/--metrics must be one of bleu, ter, but is blue.", "did you mean `bleu`?"),
        ("last --size 3", "--size must be one of 1, 2, but is 3.", "`mt verb --help` lists the options."),
    ],
)
def test_a_choice_that_is_none_is_refused_with_the_nearest(line, message, hint):
    parser = Parser(prog="mt verb")
    parser.add_argument("what", choices=["first", "last"])
    parser.add_argument("-m", "--metrics", nargs="+", choices=["bleu", "ter"])
    parser.add_argument("--size", type=int, choices=[1, 2])
    with pytest.raises(ConfigError) as refused:
        parser.parse_args(line.split())
    assert refused.value.message == message and refused.value.hint.startswith(hint)
    if hint.startswith("did you mean"):
        mended = line.replace(message.split()[-1].rstrip("."), hint.split("`")[1])
        parser.parse_args(mended.split())


@pytest.mark.parametrize(
    ("verb", "line", "name"),
    [
        (align, "--source - --target b", "source"), (align, "--source a --target -", "target"),
        (score, "model --source - --target b", "source"), (score, "model --source a --target -", "target"),
        (rank, "model --queries - --candidates b", "queries"), (rank, "model --queries a --candidates -", "candidates"),
        (evaluate, "--hypotheses - --references b", "hypotheses"),
    ],
)  # fmt: skip
def test_a_dash_in_place_of_a_file_of_text_is_stdin(verb, line, name):
    assert getattr(verb.parse(line.split()), name) == "/dev/stdin"


def test_any_of_several_references_may_be_stdin():
    assert evaluate.parse(["--hypotheses", "a", "--references", "b", "-"]).references == ["b", "/dev/stdin"]


@pytest.mark.parametrize("line", ["a --beam 4 b", "a b --beam 4", "--beam 4 a b"])
def test_options_may_stand_between_the_other_words(line):
    parser = Parser(prog="mt verb")
    parser.add_argument("model", nargs="?")
    parser.add_argument("document", nargs="?")
    parser.add_argument("--beam", type=int)
    assert vars(parser.parse_args(line.split())) == {"model": "a", "document": "b", "beam": 4}


def repeated():
    parser = Parser(prog="mt verb")
    parser.add_argument("model")
    group = parser.add_argument_group("a group")
    group.add_argument("--beam", type=int, default=1)
    group.add_argument("--output", "-o", type=Path)
    parser.add_mutually_exclusive_group().add_argument("--by", choices=["sum", "mean"], default="mean")
    parser.add_argument("--pair", nargs=2)
    parser.add_argument("--maybe", nargs="?", const="")
    parser.add_argument("--names", nargs="+", default=[])
    parser.add_argument("--more", action="append")
    parser.add_argument("--jsonl", action="store_true")
    parser.add_argument("--verify", action=Switch)
    return parser


@pytest.mark.parametrize("check", [check_new, check_output])
def test_nothing_is_put_into_the_folder_of_a_model(check, tmp_path, monkeypatch):
    """Nobody could load the model then; by its name alone, from within, and through a link."""
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to("model")
    (tmp_path / "model/model.safetensors").touch()
    check(tmp_path / "model/out")  # has no manifest yet
    (tmp_path / "model/MANIFEST.json").touch()
    for start, out in (("", "model/out"), ("", "link/out"), ("model", "out")):
        monkeypatch.chdir(tmp_path / start)
        with pytest.raises(ConfigError) as refused:
            check(Path(out))
        assert str(refused.value) == (
            f"`{out}` would be in the folder of a model, `{tmp_path.resolve() / 'model'}`, whose files are all in its "
            "manifest. hint: name a place outside it."
        )
    check(Path("../out"))


@pytest.mark.parametrize(
    ("verb", "line", "meant"),
    [
        (score, "m a.en a.de", "mt score m --source a.en --target a.de"),
        (score, "a.tsv m --jsonl", "mt score m --jsonl --pairs a.tsv"),
        (align, "m a.en a.de --device cpu", "mt align m --device cpu --source a.en --target a.de"),
        (evaluate, "m a.en a.de", "mt evaluate m --test a.en a.de"),
        (evaluate, "m a.tsv", "mt evaluate m --test a.tsv"),
        (rank, "m a.en 'my a.de'", "mt rank m --queries a.en --candidates 'my a.de'"),
        (inspect, "attention m a.en", "mt inspect attention m --input a.en"),
        (inspect, "attention m a.en a.de", "mt inspect attention m --input a.en --references a.de"),
    ],
)
def test_files_that_stand_alone_are_shown_behind_their_options(tmp_path, monkeypatch, verb, line, meant):
    monkeypatch.chdir(tmp_path)
    for name in ("a.en", "a.de", "my a.de", "a.tsv"):
        Path(name).touch()
    with pytest.raises(ConfigError) as refused:
        verb.parse(shlex.split(line))
    assert refused.value.hint == f"did you mean `{meant}`?"
    verb.parse(shlex.split(meant)[2:])


@pytest.mark.parametrize("line", ["m missing.en missing.de", "m a.en a.en a.en", "m --device cpu"])
def test_other_words_are_not_taken_for_files(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    Path("a.en").touch()
    with pytest.raises(ConfigError) as refused:
        align.parse(line.split())
    assert refused.value.hint == "`mt align --help` lists the options."


@pytest.mark.parametrize(("line", "taken", "written"), [
    (["-i", "-a.en"], "argument -i/--input: expected one argument", "-i=-a.en"),
    (["-o", "-b$.en", "-i", "x"], "argument -o/--output: expected one argument", "'-o=-b$.en'"),
    (["-a.html", "--to", "x.html"], "unrecognized arguments: -a.html", "./-a.html"),
])  # fmt: skip
def test_a_word_that_begins_with_a_dash_is_shown_as_it_is_written(tmp_path, monkeypatch, line, taken, written):
    monkeypatch.chdir(tmp_path)
    for name in ("-a.en", "-a.html"):
        Path(name).touch()
    with pytest.raises(ConfigError) as refused:
        translate.parse(["m", *line])
    assert refused.value.message == f"{taken}."
    assert refused.value.hint == f"a word that begins with a dash is written as `{written}`."
    [typed] = shlex.split(written)
    given = translate.parse(["m", typed, *(line[2:] if "=" in typed else line[1:])])
    assert typed.partition("=")[2] in map(str, vars(given).values()) or given.document == Path(typed)


def test_a_file_to_train_on_whose_name_begins_with_a_dash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-a.en").touch()
    with pytest.raises(
        ConfigError, match=r"-a\.en\. hint: a word that begins with a dash is written as `\./-a\.en`\.$"
    ):
        train.parse(["-a.en", "a.de"])
    assert train.parse(["./-a.en", "a.de"]).overrides == ["./-a.en", "a.de"]


@pytest.mark.parametrize("line", [["-o", "--beem", "3"], ["-o"], ["-x"], ["--beem", "-3"]])
def test_other_words_with_a_dash_are_options(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"hint: (?!.*dash)"):
        translate.parse(["m", *line])
