"""A value means what was typed: on the command line, in lists, in sweeps and in YAML."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from mt.cli.compose import compose
from mt.cli.hydra_job import combinations, distinct
from mt.cli.typed import as_typed, in_list, in_shell, quoted, unquoted
from mt.errors import CheckpointError, ConfigError

# What YAML 1.1 or Hydra's grammar reads as something else than text.
ODD = [
    "no", "on", "yes", "off", "true", "False", "y", "n", "1.10", "1e5", "010", "0x10", "12:30", "2024_11_27",
    "2024-11-27", "1_000", ".5", "-1", "inf", "nan", "~x", "NULL", "a b", "a (1)", "[x", "x]", "a=b", "#1", "it's",
    "say \"so\"", "é", "文", "back\\slash", "end\\", "a:b", "{x", "@x", "*", "a|b", "x,", "%",
]  # fmt: skip
TABLE = "data.train=[t.tsv]"  # a corpus of the catalogue has no columns
TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: "${" not in text)


@pytest.mark.parametrize("text", ODD)
def test_text_that_looks_like_something_else_is_text(text, tmp_path):
    if "," not in text:
        listed = "a" if set("[]{}()") & set(text) else text
        data = compose([TABLE, f"data.corpus={text}", f"data.columns=[{listed},b]"]).data
        assert (data.corpus, data.columns) == (text, [listed, "b"])
    data = compose([TABLE, f"data.corpus={quoted(text)}", f"data.columns=[a,{quoted(text)}]"]).data
    assert (data.corpus, data.columns) == (text, ["a", text])
    file = tmp_path / "my.yaml"
    file.write_text(
        yaml.safe_dump({"data": {"train": ["t.tsv"], "corpus": text, "columns": [text, "b"]}}, allow_unicode=True)
    )
    data = compose([], config_file=file).data
    assert (data.corpus, data.columns) == (text, [text, "b"])


@given(text=TEXT)
def test_any_text_in_quotes_arrives_as_it_is(text):
    assert unquoted(quoted(text)) == text
    for override in (f"data.corpus={quoted(text)}", f"+data.corpus={quoted(text)}"):
        assert as_typed(override) == override
    (parsed,) = OverridesParser.create().parse_overrides([f"data.corpus={quoted(text)}"])
    assert parsed.value() == text


@given(text=TEXT.filter(lambda text: not set(text) & set(",'\"[](){}") and text != "null"))
def test_any_text_without_quotes_commas_and_brackets_arrives_as_it_is(text):
    for key, wanted in (("data.corpus", text), ("data.columns", [text.strip()])):
        typed = text if key == "data.corpus" else f"[{text}]"
        if typed.strip(" []"):
            (parsed,) = OverridesParser.create().parse_overrides([as_typed(f"{key}={typed}")])
            assert parsed.value() == wanted


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("no", "no"), ("12:30", "12:30"), ("2024-11-27", "2024-11-27"), ("1e5", "1e5"), ("010", "010"), ("null", None),
        ("~", None), ("", None), ("'null'", "null"), ("!!str null", "null"), ("0x1F", "0x1F"), ("1_000", "1_000"),
    ],
)  # fmt: skip
def test_plain_yaml_is_text_but_for_null(plain, value, tmp_path):
    file = tmp_path / "my.yaml"
    listed = plain or "x"
    file.write_text(f"data:\n  src: {plain}\n  train: [a, b]\n  columns: [{listed}, on]\nrun: {{name: 2024-11-27}}\n")
    config = compose([], config_file=file)
    assert (config.data.src, config.run.name) == (value, "2024-11-27")
    assert config.data.columns == [listed.split()[-1].strip("'"), "on"]


def test_in_a_sweep_each_value_is_text():
    sweep = as_typed("data.corpus=no,1.10,it's,'a,b'", multirun=True)
    jobs = [job[0] for job in combinations([sweep])]
    assert [compose([job]).data.corpus for job in jobs] == ["no", "1.10", "it's", "a,b"]
    lists = as_typed("data.columns=[1,no],[my col,é]", multirun=True)
    assert [compose([TABLE, *job]).data.columns for job in combinations([lists])] == [["1", "no"], ["my col", "é"]]
    choice = as_typed("data.corpus=choice(true,1e5)", multirun=True)
    assert [compose(job).data.corpus for job in combinations([choice])] == ["true", "1e5"]
    assert as_typed("data.corpus=glob(a*)", multirun=True) == "data.corpus=glob(a*)"


def test_equal_jobs_of_a_sweep_are_refused():
    with pytest.raises(
        ConfigError, match=r"^two jobs of the sweep are equal \(train.seed=1\)\. hint: give each value once\.$"
    ):
        list(distinct(combinations(["train.seed=1,2,1"])))


def test_home_and_variables_are_filled_in_everywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CORPORA", "/my corpora")
    train = "data.train=[~/a.en,'$CORPORA/b.de']"
    config = compose([train, "data.root=${CORPORA}/x", "run.root='~/runs'"])
    assert config.data.train == [f"{tmp_path}/a.en", "/my corpora/b.de"]
    assert (config.data.root, config.run.root) == ("/my corpora/x", f"{tmp_path}/runs")
    file = tmp_path / "my.yaml"
    file.write_text("data: {train: [~/a.en, $CORPORA/b.de], cache: '${CORPORA}/c'}\n")
    config = compose([], config_file=file)
    assert config.data.train == [f"{tmp_path}/a.en", "/my corpora/b.de"] and config.data.cache == "/my corpora/c"


def test_a_variable_that_is_not_set_is_named_unless_a_file_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORPORA", raising=False)
    with pytest.raises(ConfigError, match=r"^`data.train` names \$CORPORA/a.en, but the environment variable CORPORA"):
        compose(["data.train=[$CORPORA/a.en,b.de]"])
    Path("$5.en").touch()
    assert compose(["data.train=[$5.en,b.de]"]).data.train == ["$5.en", "b.de"]


def test_in_a_section_in_braces_text_is_text():
    run = compose(["run={name: 1e5, root: 'x, y'}"]).run
    assert (run.name, run.root) == ("1e5", "x, y")
    config = compose(["alignment={links: [no, my file], weight: 1e-2}", "batch={tokens: 300, pool: 5}"])
    assert (config.alignment.links, config.alignment.weight) == (["no", "my file"], 0.01)
    assert (config.batch.tokens, config.batch.pool) == (300, 5)


def test_in_merged_yaml_text_is_text(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("data: {<<: {train: [no, on], tgt: no, src: yes}, src: off}\n")
    data = compose([], config_file=file).data
    assert (data.train, data.src, data.tgt) == (["no", "on"], "off", "no")


def test_a_list_in_a_list_of_texts_is_refused(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("data: {train: [[a], b]}\n")
    with pytest.raises(ConfigError, match=r"`data.train` must be a list, as in \[first,second\], but is \[\['a'"):
        compose([], config_file=file)


def test_values_in_any_script_are_shown_as_a_list_to_type():
    with pytest.raises(
        ConfigError,
        match=r"several values, é.en,文 a.de\. hint: .*, or write `'data.train=\[é.en,文 a.de\]'` for a list\.",
    ):
        compose(["data.train=é.en,文 a.de"])
    with pytest.raises(ConfigError, match=r"must be a list, as in \[first,second\], but is é.en"):
        compose(["data.train=é.en"])


# What is special in shells, in Hydra's grammar, in OmegaConf's, or in none.
NAMES = [
    "é", "文", "a b", " a", "a (1)", "[x]", "{a: b}", "a=b", "a,b", "a#1", "it's", 'say "so"', "a\\'b", "$5", "${x}",
    "$HOME", "~x", "no", "1e5", "100%", "a;b", "a:b", "tab\tx", "new\nline",
    os.fsdecode(b"caf\xe9"), os.fsdecode(b"\xe9'\\ ${x}"),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_the_line_that_is_advised_for_files_means_these_files(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [f"{name}.en", f"{name}.de"]
    for file in files:
        Path(file).touch()
    with pytest.raises(ConfigError) as caught:
        compose(files)
    advised = str(caught.value).partition("to train on it write `")[2].removesuffix("`.")
    assert advised == in_shell(f"data.train=[{','.join(map(in_list, files))}]")
    raw = subprocess.run(["bash", "-c", f"printf %s {advised}"], capture_output=True, check=True).stdout
    assert compose([os.fsdecode(raw)]).data.train == files


def test_the_model_of_init_is_a_path_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELS", str(tmp_path))
    missing = rf"^`{re.escape(str(tmp_path))}/m` does not exist"
    for typed in ("init=$MODELS/m", "init='${MODELS}/m'"):
        with pytest.raises(CheckpointError, match=missing):
            compose([typed])
    file = tmp_path / "my.yaml"
    file.write_text("init: $MODELS/m\n")
    with pytest.raises(CheckpointError, match=missing):
        compose([], config_file=file)
