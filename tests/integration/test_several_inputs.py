"""Models of several inputs from the command line: trained, killed and resumed, translated, scored and shown.

Each of two texts holds every other word of the sentence, and a mark in place of the others: neither is enough alone.
"""

import json
import random
from pathlib import Path

import numpy as np
import pytest

ENGLISH = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
GERMAN = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]
SETTINGS = (
    "data.inputs=[even:text,odd:text] data.target=words data.tgt=de data.train=[train.tsv] data.dev=[dev.tsv] "
    "data.test=[test.tsv] batch.pool=100 schedule.warmup_steps=20 optim.lr=1e-2 train.log_every=1 "
    "train.validate_every=70 model.dropout=0.02 model.source_dropout=0.1"
)
STEPS = 280


def write_table(folder: Path, name: str, count: int, seed: int) -> None:
    """Columns: the words at even and at odd places, the same as numbers, and the German words."""
    draw = random.Random(seed)
    lines, rows = ["even\todd\tframes\twords"], []
    for _ in range(count):
        digits = draw.choices(range(10), k=draw.randint(2, 5))
        texts = [" ".join(ENGLISH[d] if i % 2 == side else "x" for i, d in enumerate(digits)) for side in (0, 1)]
        begin = len(rows)
        rows += [[float(d == place) for place in range(10)] if i % 2 else [0.0] * 10 for i, d in enumerate(digits)]
        lines.append("\t".join([*texts, f"{name}.npy:{begin}:{len(rows)}", " ".join(GERMAN[d] for d in digits)]))
    np.save(folder / f"{name}.npy", np.array(rows, np.float32))
    (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    for name, count, seed in (("train", 800, 1), ("dev", 20, 2), ("test", 40, 3)):
        write_table(folder, name, count, seed)
    rows = [line.split("\t") for line in (folder / "test.tsv").read_text(encoding="utf-8").split("\n")[:-1]]
    for name, place in (("no_even", 0), ("no_odd", 1)):
        cut = [[*row[:place], "", *row[place + 1 :]] for row in rows[1:]]
        text = "\n".join("\t".join(row) for row in [rows[0], *cut])
        (folder / f"{name}.tsv").write_text(f"{text}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(home, command, run) -> Path:
    done = run(home, *command("whole"))
    assert done.returncode == 0, done.stderr.decode()
    return home / "runs/whole"


@pytest.fixture(scope="module")
def brief(home, command, run) -> Path:
    """A run of a few updates: text and frames that attend to each other."""
    more = ["data.inputs=[even:text,frames:features]", "model.fusion=co_attention", "train.steps=4"]
    done = run(home, *command("brief", *more))
    assert done.returncode == 0, done.stderr.decode()
    assert "input `frames`: features, 10 numbers a row, scale" in done.stderr.decode()
    return home / "runs/brief"


def scores(run, home, name: str, table: str) -> dict[str, float]:
    done = run(home, "evaluate", f"runs/{name}", "--test", table, "--bootstrap", "0", "--json")
    assert done.returncode == 0, done.stderr.decode()
    return {one["name"]: one["value"] for one in json.loads(done.stdout)["scores"]}


def test_only_both_sources_together_give_the_words(home, trained, run):
    both = scores(run, home, "whole", "test.tsv")
    assert both["BLEU"] > 40
    stored = json.loads((trained / "eval/test.json").read_text())["scores"]
    assert both == pytest.approx({one["name"]: one["value"] for one in stored})
    for missing in ("no_even.tsv", "no_odd.tsv"):
        assert scores(run, home, "whole", missing)["chrF++"] < both["chrF++"] - 20


def test_one_line_for_each_row_in_any_batch(home, trained, run):
    done = run(home, "translate", "runs/whole", "-i", "test.tsv")
    assert done.stdout.decode() == (trained / "eval/test.hyp.txt").read_text(encoding="utf-8")
    header, first, second, *_ = (home / "test.tsv").read_text(encoding="utf-8").split("\n")
    expected = done.stdout.decode().split("\n")[:2]
    alone = run(home, "translate", "runs/whole", stdin=f"{header}\n{second}\n\n{first}\n".encode())
    assert alone.stdout.decode().split("\n") == [expected[1], "", expected[0], ""]
    (home / "g.tsv").write_text("x\tneunzig\n")  # the glossary sees the text of all inputs
    forced = run(home, "translate", "runs/whole", "--glossary", "g.tsv", stdin=f"{header}\n{first}\n".encode())
    assert "neunzig" in forced.stdout.decode()


def test_scores_prefer_the_right_source(home, trained, run):
    header, *rows = (home / "test.tsv").read_text(encoding="utf-8").split("\n")[:-1]
    cells = [row.split("\t") for row in rows]
    swapped = [[*one[:2], *one[2:3], other[3]] for one, other in zip(cells, cells[1:] + cells[:1], strict=True)]
    (home / "wrong.tsv").write_text("\n".join([header, *map("\t".join, swapped)]) + "\n", encoding="utf-8")
    right, wrong = (run(home, "score", "runs/whole", "--pairs", f"{name}.tsv").stdout for name in ("test", "wrong"))
    means = [[float(line.split(b"\t")[1]) for line in text.splitlines()] for text in (right, wrong)]
    assert len(means[0]) == len(means[1]) == 40
    assert sum(a > b for a, b in zip(*means, strict=True)) > 35


def test_killed_and_started_again_it_ends_with_the_same_bits(home, short_run, after_a_kill):
    twice = "loss.consistency=0.5"  # what the second reading leaves out is random, and so is its dropout
    assert after_a_kill(home, twice) == short_run(home, "unbroken", twice)


def test_shares_of_attention_follow_the_source_that_has_the_word(home, trained, run):
    done = run(home, "inspect", "attention", "runs/whole", "--input", "test.tsv", "--references", "test.de")
    assert done.returncode == 3 and "test.de" in done.stderr.decode()
    references = [line.split("\t")[3] for line in (home / "test.tsv").read_text(encoding="utf-8").split("\n")[1:-1]]
    (home / "test.de").write_text("\n".join(references) + "\n", encoding="utf-8")
    given = ["--references", "test.de", "--lines", "1-40"]
    done = run(home, "inspect", "attention", "runs/whole", "--input", "test.tsv", *given)
    assert done.returncode == 0, done.stderr.decode()
    header, *rows = [line.split("\t") for line in done.stdout.decode().split("\n")[:-1]]
    assert header == ["sentence", "piece", "even", "odd"]
    assert all(abs(float(even) + float(odd) - 1) < 0.002 for _, _, even, odd in rows)
    whole = [row for row in rows if row[1].removeprefix("▁") in GERMAN]  # words of one piece, at their places
    first = [float(row[2]) for number, row in enumerate(whole) if number == 0 or whole[number - 1][0] != row[0]]
    assert sum(first) / len(first) > 0.6  # the first word is in the first input
    assert rows[-1][:2] == ["all", "mean"] and "cross-attention over 40 sentences: even " in done.stderr.decode()
    (only,) = [row for row in rows if row[:2] == ["7", "mean"]]
    one = run(home, "inspect", "attention", "runs/whole", "--input", "test.tsv", "--references", "test.de",
              "--lines", "7-7", "-o", "shares.tsv")  # fmt: skip
    assert one.stdout == b"" and [*map(str, only)] in [
        line.split("\t") for line in (home / "shares.tsv").read_text(encoding="utf-8").split("\n")
    ]


def test_text_and_frames_that_attend_to_each_other_are_loaded_again(home, brief, run):
    config = json.loads((brief / "model/config.json").read_text())
    assert config["model"]["fusion"] == "co_attention"
    assert [one["column"] for one in config["inputs"]] == ["even", "frames"]
    assert b" even:text, frames:features (co_attention), columns of a table\n" in run(home, "info", "runs/brief").stdout
    for table in ("test.tsv", "no_even.tsv"):
        assert scores(run, home, "brief", table)
    shown = run(home, "inspect", "attention", "runs/brief", "--input", "test.tsv", "--lines", "2")
    assert shown.returncode == 0 and shown.stdout.startswith(b"sentence\tpiece\teven\tframes\n1\t")
    page = ["-o", "page.html", "--png", "one.png", "--lines", "2"]
    shown = run(home, "inspect", "attention", "runs/brief", "--input", "no_even.tsv", *page)
    assert shown.returncode == 0 and shown.stdout == b"", shown.stderr.decode()
    html = (home / "page.html").read_text(encoding="utf-8")
    (model,) = json.loads(html.partition('id="data">')[2].partition("</script>")[0])["models"]
    inputs = [[(one["name"], "words" in one) for one in pair["inputs"]] for pair in model["pairs"]]
    assert inputs == [[("even", True), ("frames", False)]] * 2
    assert (home / "one.png").read_bytes().startswith(b"\x89PNG")


def test_validations_log_the_share_of_each_input(brief):
    lines = [json.loads(line) for line in (brief / "metrics.jsonl").read_text().split("\n")[:-1]]
    shares = [(line["share_even"], line["share_frames"]) for line in lines if line["kind"] == "dev"]
    assert shares and all(sum(pair) == pytest.approx(1, abs=1e-4) for pair in shares)


REFUSED = {
    "three that co-attend": (
        ["data.inputs=[even:text,odd:text,frames:features]", "model.fusion=co_attention"],
        "`model.fusion` is co_attention, which needs two inputs in `data.inputs`, but they are even:text, odd:text, ",
    ),
    "one to share": (["data.inputs=[even:text]", "model.share_encoders=true"], "`model.share_encoders` is true, which"),
    "one to leave out": (["data.inputs=[even:text]"], "`model.source_dropout` is 0.1, which needs two or more inputs"),
    "links": (["alignment.links=[x]"], "`alignment.links` needs sources of text alone.\n\nhint: leave out one of"),
    "to go on": (["init=runs/whole", "data.inputs=[]"], "`data.inputs` says text alone, but the model of `init="),
    "no column": (
        ["data.inputs=[even:text,left:text]"],
        "train.tsv:1: the table must have a column `left`, but its fi",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_cannot_work_are_refused(case, home, trained, command, run):
    more, message = REFUSED[case]
    done = run(home, *command("other", *more))
    assert done.returncode in (2, 3) and message in done.stderr.decode(), done.stderr.decode()
    assert not (home / "runs/other/checkpoints").exists()


def test_a_dry_run_says_what_was_found(home, command, run):
    done = run(
        home, *command("dry", "data.inputs=[even:text,frames:features]", "run.dry_run=true", "batch.tokens=auto")
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "input `even`: text" in done.stderr.decode() and "input `frames`: features, 10" in done.stderr.decode()
    assert "training pairs   800 used" in done.stdout.decode()


def test_what_needs_one_text_refuses_a_model_of_several_inputs(home, trained, brief, run):
    (home / "page.txt").write_text("eins\n")
    (home / "rows.csv").write_text("even,odd\none,two\n")
    for arguments, message in (
        (["translate", "runs/whole", "--alignments", "-i", "test.tsv"], "but this one reads several inputs."),
        (
            ["translate", "runs/whole", "--ensemble", "runs/brief", "-i", "test.tsv"],
            "runs/brief cannot translate toget",
        ),
        (["export", "ct2", "runs/whole", "out"], "several inputs"),
        (
            ["translate", "runs/whole", "page.txt", "--to", "out.txt"],
            "a document (`page.txt`) needs a model that reads text, but this one reads several inputs.",
        ),
        (
            ["translate", "runs/whole", "-i", "rows.csv"],
            "`rows.csv` must be a table, with a name that ends in .tsv, .jsonl or .ndjson.",
        ),
        (
            ["evaluate", "runs/whole", "--test", "test.tsv", "--compare", "runs/brief"],
            "--compare runs/brief reads rows of a table (even:text, frames:features), but runs/whole reads rows",
        ),
        (
            ["translate", "runs/whole", "-i", "test.tsv", "--rerank", "runs/brief"],
            "--rerank needs a model that reads text, but runs/whole reads rows of a table (even:text, odd:text).",
        ),
        (
            ["score", "runs/whole", "--pairs", "test.tsv", "--reverse", "runs/brief"],
            "--reverse needs a model that reads text, but runs/whole reads rows of a table (even:text, odd:text).",
        ),
        (
            ["inspect", "attention", "runs/whole", "--text", "a\tb", "--svg", "a.svg"],
            "--svg needs a model that reads te",
        ),
        (["inspect", "attention", "runs/whole", "--text", " "], "--text has no row to show."),
        (
            ["inspect", "attention", "runs/whole", "--text", "a\tb", "c\td", "--reference", "e"],
            "2 rows cannot have 1 tr",
        ),
        (
            ["inspect", "attention", "runs/whole", "--text", "a\tb", "--reference", "e " * 99],
            "tokens, but the model takes at most 64 a side.",
        ),
        (
            ["inspect", "attention", "runs/whole", "--text", "a"],
            "a source must have the cells even, odd with tabs betw",
        ),
    ):
        done = run(home, *arguments)
        assert done.returncode in (1, 2, 3) and message in done.stderr.decode(), (arguments, done.stderr.decode())
