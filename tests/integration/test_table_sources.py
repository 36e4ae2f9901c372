"""Models whose sources are the columns of a table, from the command line: trained, resumed, translated, scored.

The features follow a rule: each number word of the target is two rows of numbers, an angle for the number and the time
since the word began.
"""

import json
import math
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

GERMAN = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]
SETTINGS = (
    "data.inputs=[frames:features] data.target=words data.tgt=de data.train=[train.tsv] data.dev=[dev.jsonl] "
    "data.test=[test.tsv] tokenizer.sampling=0.1 batch.pool=100 schedule.warmup_steps=20 optim.lr=1e-2 "
    "train.log_every=1 train.validate_every=40 model.dropout=0.02 model.matching=1 tokenizer.vocab_size=40"
)
STEPS = 320


def rows_for(words: list[str]) -> list[list[float]]:
    angles = [2 * math.pi * GERMAN.index(word) / len(GERMAN) for word in words]
    return [[20 * math.cos(a), 20 * math.sin(a), part] for a in angles for part in (0.0, 20.0)]


def write_table(folder: Path, name: str, count: int, seed: int) -> None:
    """A table and its array, below it in a folder of its own: items are runs of rows, some files of their own."""
    draw = random.Random(seed)
    (folder / "arrays").mkdir(exist_ok=True)
    rows: list[list[float]] = []
    lines = []
    for number in range(count):
        words = draw.choices(GERMAN, k=draw.randint(2, 5))
        found = rows_for(words)
        if number % 4:
            cell = f"arrays/{name}.npy:{len(rows)}:{len(rows) + len(found)}"
            rows += found
        else:
            cell = f"arrays/{name}-{number}.npy"
            np.save(folder / cell, np.array(found, np.float64))
        lines.append({"words": " ".join(words), "number": str(number), "frames": cell})
    np.save(folder / f"arrays/{name}.npy", np.array(rows, np.float32))
    if name == "dev":
        (folder / "dev.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    else:
        text = ["\t".join(lines[0]), *("\t".join(line.values()) for line in lines)]
        (folder / f"{name}.tsv").write_text("\n".join(text) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for name, count, seed in (("train", 800, 1), ("dev", 20, 2), ("test", 40, 3)):
        write_table(folder, name, count, seed)
    return folder


@pytest.fixture(scope="module")
def trained(home, command, run) -> Path:
    done = run(home, *command("whole"))
    assert done.returncode == 0, done.stderr.decode()
    assert "input `frames`: features, 3 numbers a row, scale" in done.stderr.decode()
    assert "  mt translate runs/whole -i TABLE\n  mt evaluate runs/whole\n" in done.stdout.decode()
    return home / "runs/whole"


def test_the_words_are_read_off_the_features_one_line_for_each_row(home, trained, run):
    scores = {one["name"]: one["value"] for one in json.loads((trained / "eval/test.json").read_text())["scores"]}
    assert scores["BLEU"] > 60  # guessing words gives less than 10
    done = run(home, "translate", "runs/whole", "-i", "test.tsv")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == (trained / "eval/test.hyp.txt").read_text()
    evaluated = run(home, "evaluate", "runs/whole", "--test", "test.tsv", "--bootstrap", "0", "--json")
    again = {one["name"]: one["value"] for one in json.loads(evaluated.stdout)["scores"]}
    assert again == pytest.approx(scores)
    scored = run(home, "score", "runs/whole", "--pairs", "test.tsv")
    assert scored.stdout.count(b"\n") == 40
    table = (home / "test.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n")
    (home / "bad.tsv").write_text("\n".join([*table, "eins\t0\tno.npy"]), encoding="utf-8")
    assert (
        b"bad.tsv:42: column `frames`: no.npy cannot" in run(home, "score", "runs/whole", "--pairs", "bad.tsv").stderr
    )
    for sides in (["--queries", "test.tsv", "--candidates", "test.tsv"],
                  ["--candidates-are", "sources", "--queries", "test.tsv", "--candidates", "test.tsv"]):  # fmt: skip
        found = run(home, "rank", "runs/whole", *sides, "--by", "sources", "--recall").stdout.decode()
        assert float(found.split()[1]) > 80 and found.endswith("(40 queries, 40 candidates)\n")  # by chance 2.5
    ranked = run(home, "rank", "runs/whole", "--queries", "test.tsv", "--candidates", "test.tsv", "--by", "matching")
    assert ranked.stdout.count(b"\n") == 40, ranked.stderr.decode()


def test_rows_from_stdin_name_files_from_the_current_folder_and_bad_ones_are_counted(home, trained, run):
    header, first, second, *_ = (home / "test.tsv").read_text(encoding="utf-8").split("\n")
    expected = (trained / "eval/test.hyp.txt").read_text(encoding="utf-8").split("\n")[:2]
    whole = f"{header}\n{first}\n\n{second}\n"
    done = run(home, "translate", "runs/whole", stdin=whole.encode())
    assert done.stdout.decode().split("\n") == [expected[0], "", expected[1], ""], done.stderr
    records = [dict(zip(header.split("\t"), row.split("\t"), strict=True)) for row in (first, second)]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    assert run(home, "translate", "runs/whole", stdin=lines.encode()).stdout.decode().split("\n")[:2] == expected
    (home / "two.jsonl").write_text(f"{lines}\n" + '{"frames": "no"}\n', encoding="utf-8")
    done = run(home, "translate", "runs/whole", "--skip-bad", "-i", "two.jsonl")
    assert (
        done.stdout.decode().split("\n") == [*expected, "", "", ""] and "two.jsonl:4: column `" in done.stderr.decode()
    )
    bad = f"{header}\n{first.replace('arrays', 'nowhere')}\n{second}\n"
    done = run(home, "translate", "runs/whole", stdin=bad.encode())
    assert done.returncode == 3 and done.stdout == b""
    assert "stdin:2: column `frames`: nowhere/test-0.npy cannot be read: No such file or directory." in str(done.stderr)
    done = run(home, "translate", "runs/whole", "--skip-bad", stdin=bad.encode())
    assert done.stdout.decode().split("\n") == ["", expected[1], ""]
    assert "1 line skipped and left empty: stdin:2: column `frames`: nowhere/" in done.stderr.decode()


def test_a_file_of_prefixes_has_a_line_for_each_row_and_none_for_the_header(home, trained, run):
    words = (trained / "eval/test.hyp.txt").read_text(encoding="utf-8").splitlines()
    (home / "firsts.txt").write_text("".join(f"{words[n - 3].split()[0]}\n" for n in range(40)), encoding="utf-8")
    done = run(home, "translate", "runs/whole", "-i", "test.tsv", "--prefix", "@firsts.txt", "--beam", "1")
    assert done.returncode == 0, done.stderr.decode()
    begun = [line.split()[0] for line in done.stdout.decode().splitlines()]
    assert begun == (home / "firsts.txt").read_text(encoding="utf-8").split()
    refused = run(home, "translate", "runs/whole", "-i", "dev.jsonl", "--prefix", "@firsts.txt")
    assert refused.returncode == 3 and refused.stderr.decode() == (
        "mt translate: `firsts.txt` has 40 lines, but `dev.jsonl` has 20 rows; "
        "--prefix needs one line for each row of the table.\n"
    )
    (home / "none.tsv").write_text("", encoding="utf-8")
    none = run(home, "translate", "runs/whole", "-i", "none.tsv", "--prefix", "@firsts.txt")
    assert none.returncode == 3 and "`none.tsv` has 0 rows; --prefix needs" in none.stderr.decode()


def of_verbs(file: str) -> dict[str, list[str]]:
    """Every verb that reads the table `file` with a model."""
    targets, pages = ["--candidates", "words.txt"], ["inspect", "attention", "runs/whole"]
    return {
        "translate": ["translate", "runs/whole", "-i", file],
        "nbest": ["translate", "runs/whole", "-i", file, "--nbest", "2"],
        "evaluate": ["evaluate", "runs/whole", "--test", file],
        "score": ["score", "runs/whole", "--pairs", file],
        "rank": ["rank", "runs/whole", "--queries", file, *targets],
        "turned": [
            "rank", "runs/whole", "--candidates-are", "sources", "--queries", "words.txt", "--candidates", file,
        ],
        "inspect": [*pages, "--input", file],
        "given": [*pages, "--input", file, "--references", "words.txt", "-o", "page.html"],
    }  # fmt: skip


BAD_CELLS = {
    "missing": ("arrays/none.npy", "column `frames`: arrays/none.npy cannot be read: No such file or directory."),
    "long": ("arrays/train.npy:0:70", "70 rows"),
}


@pytest.mark.parametrize("verb", of_verbs(""))
@pytest.mark.parametrize("bad", BAD_CELLS)
def test_every_verb_names_the_line_of_a_row_that_cannot_be_used(bad, verb, home, trained, run):
    cell, fault = BAD_CELLS[bad]
    header, first, *_ = (home / "test.tsv").read_text(encoding="utf-8").split("\n")
    (home / "words.txt").write_text("eins\nzwei\ndrei\n")
    (home / f"{bad}.tsv").write_text("\n".join([header, first, first, f"eins\t0\t{cell}", ""]), encoding="utf-8")
    done = run(home, *of_verbs(f"{bad}.tsv")[verb])
    told = done.stderr.decode()
    assert done.returncode == 3 and f"{bad}.tsv:4: " in told and fault in told and "input " not in told, told
    assert "at most 64" in told or bad != "long"


def test_a_file_that_is_no_such_table_leaves_an_old_output_as_it_is(home, trained, run):
    (home / "old.txt").write_text("kept\n")
    (home / "plain.txt").write_text("arrays/test-0.npy\n")
    done = run(home, "translate", "runs/whole", "-i", "plain.txt", "-o", "old.txt")
    told = "plain.txt:1: the table must have a column `frames`, but its first line is arrays/test-0.npy."
    hint = "hint: the first line of a table has the names of its columns, with tabs between them."
    assert done.returncode == 3 and f"{told}\n\n{hint}" in done.stderr.decode(), done.stderr.decode()
    assert (home / "old.txt").read_text() == "kept\n"


def test_an_empty_file_of_translations_is_not_as_if_there_were_none(home, trained, run):
    (home / "nothing.txt").write_text("")
    shown = ["inspect", "attention", "runs/whole", "--input", "test.tsv", "--lines", "2", "-o", "empty.html"]
    done = run(home, *shown, "--references", "nothing.txt")
    told = "2 rows cannot have 0 translations.\n\nhint: give one translation for each row."
    assert done.returncode == 3 and told in done.stderr.decode() and not (home / "empty.html").exists()


def test_two_files_are_no_sides_for_a_model_of_tables(home, trained, run):
    done = run(home, "score", "runs/whole", "--source", "test.tsv", "--target", "test.tsv")
    told = "--source and --target are for a model that reads text, but runs/whole reads rows of a table."
    hint = "hint: give the table, which has both sides, with `--pairs FILE.tsv`."
    assert done.returncode == 2 and f"{told}\n\n{hint}" in done.stderr.decode() and not done.stdout


def test_a_target_too_long_to_rank_is_named_with_its_line(home, trained, run):
    (home / "long.txt").write_text("eins\n" + "zwei " * 80 + "\n")
    done = run(home, "rank", "runs/whole", "--queries", "test.tsv", "--candidates", "long.txt")
    assert done.returncode == 3 and "long.txt:2: the target has " in done.stderr.decode(), done.stderr.decode()


def test_a_row_too_long_is_skipped_on_request_and_named(home, trained, run):
    header, first, *_ = (home / "test.tsv").read_text(encoding="utf-8").split("\n")
    rows = [header, "eins\t0\tarrays/train.npy:0:70", first, ""]
    (home / "skipped.tsv").write_text("\n".join(rows), encoding="utf-8")
    done = run(home, "translate", "runs/whole", "--skip-bad", "-i", "skipped.tsv")
    empty, other, end = done.stdout.decode().split("\n")
    assert (empty, end) == ("", "") and other, done.stderr
    fault = "1 line skipped and left empty: skipped.tsv:2: the source has 70 rows, but the model reads at most 64"
    assert fault in done.stderr.decode()


def test_killed_and_started_again_it_ends_with_the_same_bits(home, short_run, after_a_kill):
    assert after_a_kill(home) == short_run(home, "unbroken")


def test_worker_processes_make_the_same_batches(home, short_run):
    assert short_run(home, "workers", "data.workers=1") == short_run(home, "unbroken")


def goes_on(*more: str) -> list[str]:
    threads = f"train.threads={os.environ['OMP_NUM_THREADS']}"
    return ["train", "init=runs/whole", "train.device=cpu", "train.precision=fp32", threads, *more]


def test_another_run_goes_on_from_the_model_with_its_scale_and_other_names_of_columns(home, trained, run):
    for name, source, count in (("new", "train.tsv", 61), ("held", "test.tsv", 21)):
        lines = (home / source).read_text(encoding="utf-8").split("\n")[:count]
        rows = [line.split("\t") for line in lines[1:]]
        turned = ["\t".join((cell, " ".join(words.split()[::-1]))) for words, _, cell in rows]
        (home / f"{name}.tsv").write_text("\n".join(["sound\tspoken", *turned]) + "\n", encoding="utf-8")
    files = ["data.train=[new.tsv]", "data.dev=[held.tsv]", "data.test=[held.tsv]"]
    own = ["data.inputs=[sound:features]", "data.target=spoken", "optim.lr=4e-3", "run.name=turned"]
    done = run(home, *goes_on(*files, *own))
    said, log = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0, log
    assert "going on from runs/whole: whole (frames to de; frames-de, 800 pairs; weights " in log
    assert "input `sound`: features, 3 numbers a row, scale 14.1" in log
    old, new = (json.loads((home / f"runs/{name}/model/config.json").read_text()) for name in ("whole", "turned"))
    assert new["inputs"] == [{**old["inputs"][0], "column": "sound"}] and new["target"] == "spoken"
    lines = map(json.loads, (home / "runs/turned/metrics.jsonl").read_text().split("\n")[:-1])
    first, *_, last = (line["loss"] for line in lines if line["kind"] == "dev")
    assert last < first - 0.5  # it begins to write the words backwards
    assert "the test set of runs/whole, 40 sentences:\nBLEU = " in said
    before = json.loads((home / "runs/turned/eval/old.init.json").read_text())["scores"]
    assert before == json.loads((trained / "eval/test.json").read_text())["scores"]


def test_the_model_names_the_columns_where_nobody_else_does(home, trained, run):
    done = run(home, *goes_on("data.train=[train.tsv]", "data.dev=[dev.jsonl]", "run.name=again", "run.dry_run=true"))
    assert done.returncode == 0 and "training pairs   800 used" in done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("[frames:audio]", "says frames:audio, but the model of `init=runs/whole` reads frames:features."),
        ("[a:features,b:text]", "says a:features, b:text, but the model of `init=runs/whole` reads frames:features."),
        ("[]", "says text alone, but the model of `init=runs/whole` reads frames:features.\n\n"
         "hint: name a column for each input of the model, in its order."),
    ],
)  # fmt: skip
def test_inputs_of_other_kinds_are_refused(inputs, message, home, trained, run):
    done = run(home, *goes_on("data.train=[train.tsv]", "data.dev=[dev.jsonl]", f"data.inputs={inputs}"))
    assert done.returncode == 2 and f"`data.inputs` {message}" in done.stderr.decode(), done.stderr.decode()


TABLES_OF_INIT = (
    "`init=runs/whole` reads rows of a table, with the columns frames (features) and words (what it writes)"
)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (["a.en", "a.de"], "but `data.train` names a.en, which is no table."),
        (["data.train=[train.tsv]", "data.dev=[a.en,a.de]"], "but `data.dev` names a.en, which is no table."),
        (["train.tsv", "test.tsv"], "but `data.dev` names no table."),
        ([], "but `data.train` names no table."),
    ],
)
def test_text_for_a_model_of_tables_is_refused_in_words_of_what_was_typed(given, fault, home, trained, run):
    for name in ("a.en", "a.de"):
        (home / name).write_text("eins\n")
    done = run(home, *goes_on(*given))
    hint = "hint: write `data.train=[TRAIN.tsv] data.dev=[DEV.tsv]`, with the names of tables that have these columns."
    assert done.returncode == 2 and f"{TABLES_OF_INIT}, {fault}\n\n{hint}" in done.stderr.decode(), done.stderr.decode()


def test_a_dry_run_says_what_was_found(home, command, run):
    done = run(home, *command("dry", "run.dry_run=true", "batch.tokens=auto"))
    assert done.returncode == 0, done.stderr.decode()
    shown = done.stdout.decode()
    assert "training pairs   800 used" in shown and "arrays/train" in shown
    assert "input `frames`: features, 3 numbers a row, scale 14.1" in done.stderr.decode()
    assert not (home / "runs/dry").exists()


def test_changed_features_are_another_text(home, trained, run):
    """Other numbers have another scale, which belongs to the model."""
    file = home / "arrays/train.npy"
    before = file.read_bytes()
    try:
        np.save(file, 2 * np.load(file))
        done = run(home, "train", "--resume", "runs/whole")
        assert done.returncode == 3 and "the training text is not the one" in done.stderr.decode()
    finally:
        file.write_bytes(before)


def test_a_model_of_tables_without_a_test_set_is_told_to_name_a_table(home, trained, run):
    shutil.copytree(trained / "model", home / "alone")
    done = run(home, "evaluate", "alone")
    assert done.returncode == 2 and done.stderr.decode().endswith("hint: name one with `--test TABLE`.\n")
    settings = trained / "config.yaml"
    before = settings.read_text(encoding="utf-8")
    try:
        found = yaml.safe_load(before)
        found["data"]["test"] = []
        settings.write_text(yaml.safe_dump(found), encoding="utf-8")
        done = run(home, "evaluate", "runs/whole")
        assert done.returncode == 2 and done.stderr.decode().endswith("hint: name one, as in `--test test.tsv`.\n")
    finally:
        settings.write_text(before, encoding="utf-8")


def test_tables_and_the_files_they_name_may_move_together(home, trained, run):
    """The same text from another folder: a run goes on, and a score is kept as that of its test set."""
    names = ["train.tsv", "dev.jsonl", "test.tsv", "arrays"]
    (home / "moved").mkdir()
    moved = [f"data.{Path(name).stem}=[moved/{name}]" for name in names[:3]]
    try:
        for name in names:
            (home / name).rename(home / "moved" / name)
        done = run(home, "train", "--resume", "runs/whole", *moved)
        assert done.returncode == 0 and "runs/whole is finished after" in done.stdout.decode(), done.stderr.decode()
        done = run(home, "evaluate", "runs/whole", "--test", "moved/test.tsv")
        assert done.returncode == 0 and "is not that which" not in done.stderr.decode()
    finally:
        for name in names:
            (home / "moved" / name).rename(home / name)


REFUSED = {
    "a missing file": ("arrays/none.npy", "train.tsv:3: column `frames`: arrays/none.npy cannot be read: No such file"),
    "no array": ("train.tsv", "train.tsv:3: column `frames`: the cell must be file.npy, file.npy:ITEM or file.npy:"),
    "an item too many": ("arrays/3d.npy:9", "arrays/3d.npy:9 does not exist: the file has 2 items, numbered from 0."),
    "rows too many": ("arrays/train.npy:0:99999", "arrays/train.npy:0:99999 does not exist: the file has"),
    "no rows": ("arrays/train.npy:5:5", "train.tsv:3: column `frames`: arrays/train.npy:5:5 has no rows."),
    "another width": ("arrays/3d.npy:1", "arrays/3d.npy:1 must have 3 numbers in a row, like the others, but has 5."),
    "a whole file of items": ("arrays/3d.npy", "arrays/3d.npy must have the shape [P, F] to be one item, but has [2,"),
    "rows of items": ("arrays/3d.npy:0:1", "arrays/3d.npy must have the shape [N, F] to have rows FIRST:END, but has"),
    "no numbers": ("arrays/text.npy", "arrays/text.npy must hold numbers, but holds <U3."),
    "one dimension": ("arrays/flat.npy", "must have the shape [P, F], [N, F] or [N, P, F], but has [3]."),
    "not finite": ("arrays/nan.npy", "train.tsv:3: column `frames`: arrays/nan.npy holds a value that is not a finite"),
    "not numpy's": ("arrays/noise.npy", "arrays/noise.npy is not an array of numbers in NumPy's format ("),
}


@pytest.fixture(scope="module")
def spoiled(home) -> Path:
    arrays = home / "arrays"
    np.save(arrays / "3d.npy", np.zeros((2, 4, 5), np.int8))
    np.save(arrays / "text.npy", np.array([["abc"]]))
    np.save(arrays / "flat.npy", np.zeros(3))
    np.save(arrays / "nan.npy", np.array([[1.0, np.nan, 2.0]]))
    (arrays / "noise.npy").write_bytes(b"no array at all")
    return home


@pytest.mark.parametrize("case", REFUSED)
def test_a_cell_that_cannot_be_used_is_named_with_its_row_before_training_starts(case, spoiled, command, run, tmp_path):
    cell, message = REFUSED[case]
    header, first, *rows = (spoiled / "train.tsv").read_text(encoding="utf-8").split("\n")
    for name in ("arrays", "dev.jsonl", "test.tsv"):
        (tmp_path / name).symlink_to(spoiled / name)
    (tmp_path / "train.tsv").write_text("\n".join([header, first, f"eins\t0\t{cell}", *rows[:60]]), encoding="utf-8")
    done = run(tmp_path, *command("refused"))
    assert done.returncode == 3 and message in done.stderr.decode(), done.stderr.decode()
    assert not (tmp_path / "runs/refused/checkpoints").exists()


OTHER = {
    "an unknown kind": (["data.inputs=[frames:smell]"], "`data.inputs` must name kinds out of text, features, "),
    "no kind": (["data.inputs=[frames]"], "`data.inputs` must be columns with their kinds, as in [image:features"),
    "twice": (["data.inputs=[a:features,a:features]"], "`data.inputs` must name each column once, but is a:features."),
    "no target": (["data.target=null", "data.tgt=null"], "`data.target` must name the column of the target text besi"),
    "columns": (
        ["data.columns=[a,b]"],
        "`data.columns` must be empty beside `data.inputs`, but is ['a', 'b'].\n\nhint: name the c",
    ),
    "plain files": (["data.train=[a.en,a.de]"], "`a.en` must be a table, with a name that ends in .tsv, .jsonl or .nd"),
    "no column": (["data.target=nothing"], "train.tsv:1: the table must have a column `nothing`, but its first line "),
    "no field": (["data.target=number", "data.dev=[few.jsonl]"], "few.jsonl:1: there must be a field `number`, but th"),
    "no JSON": (["data.dev=[half.jsonl]"], "half.jsonl:1: the line is not a JSON object ("),
    "a short row": (["data.dev=[short.tsv]"], "short.tsv:2: the row must have at least 3 columns, but has 1."),
    "links": (["alignment.links=[x]"], "`alignment.links` needs sources of text alone.\n\nhint: leave out one of"),
}


@pytest.mark.parametrize("case", OTHER)
def test_settings_and_tables_that_do_not_fit_are_refused(case, home, command, run):
    more, message = OTHER[case]
    (home / "a.en").touch()
    (home / "few.jsonl").write_text('{"frames": "arrays/3d.npy:0"}\n')
    (home / "half.jsonl").write_text('{"frames": \n')
    (home / "short.tsv").write_text("words\tnumber\tframes\neins\n")
    done = run(home, *command("other", *more))
    assert done.returncode in (2, 3) and message in done.stderr.decode(), done.stderr.decode()


def test_what_needs_text_refuses_a_model_of_features(home, trained, run):
    done = run(home, "translate", "runs/whole", "--alignments", "-i", "test.tsv")
    assert done.returncode == 2
    assert "an alignment of words needs a model that reads text, but this one reads rows of numbers" in str(done.stderr)
    done = run(home, "serve", "runs/whole", "--device", "cpu")
    assert done.returncode == 2
    assert "mt serve: a server (`runs/whole`) needs a model that reads text, but this one reads" in str(done.stderr)
