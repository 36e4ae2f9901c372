"""Models of pictures and of recordings, from the command line: trained, resumed, translated, scored, shown.

The data is made on the spot. A picture has one coloured square in one of its quarters, and is named by colour and
place; a recording is a run of tones, each named by a number.
"""

import json
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

COLOURS = {"rot": (220, 30, 30), "blau": (30, 40, 220), "gelb": (230, 220, 40), "schwarz": (0, 0, 0)}
PLACES = {"oben links": (0, 0), "oben rechts": (1, 0), "unten links": (0, 1), "unten rechts": (1, 1)}
TONES = {"eins": 400, "zwei": 800, "drei": 1500, "vier": 2800}
RATE = 8000
SETTINGS = (
    "data.target=words data.tgt=de data.train=[train.tsv] data.dev=[dev.tsv] data.test=[test.tsv] batch.pool=100 "
    "batch.tokens=1000 schedule.warmup_steps=20 optim.lr=1e-2 train.log_every=1 train.validate_every=60 "
    "model.dropout=0.02 tokenizer.vocab_size=40"
)
INPUT = {
    "photo": "data.inputs=[photo:image:16:4]",
    "speech": "data.inputs=[speech:audio] model.spec_augment=0.05 loss.ctc=0.2",
}
STEPS = {"photo": 130, "speech": 130}


def picture(folder: Path, name: str, draw: random.Random) -> tuple[str, str]:
    colour, place = draw.choice(list(COLOURS)), draw.choice(list(PLACES))
    side = draw.choice([20, 32, 50])
    drawn = Image.new("RGBA", (side, side), (0, 0, 0, 0))  # transparent, which is white
    x, y = (side * part // 2 + draw.randint(0, 2) for part in PLACES[place])
    drawn.paste((*COLOURS[colour], 255), (x, y, x + side // 2 - 2, y + side // 2 - 2))
    drawn.save(folder / f"{name}.png")
    return f"{name}.png", f"{colour} {place}"


def recording(folder: Path, name: str, draw: random.Random) -> tuple[str, str]:
    words = draw.choices(list(TONES), k=draw.randint(1, 2))
    time = np.arange(RATE // 10) / RATE
    parts = [0.3 * np.sin(2 * np.pi * TONES[word] * time + draw.random()) for word in words]
    noise = np.random.default_rng(draw.randint(0, 1 << 30)).normal(0, 0.01, len(time) * len(words))
    file = f"{name}.{draw.choice(['wav', 'flac'])}"
    soundfile.write(folder / file, np.concatenate(parts) + noise, RATE)
    return file, " ".join(words)


MAKE = {"photo": picture, "speech": recording}


def write_tables(home: Path, column: str) -> Path:
    """Three tables; half of the files are members of an archive."""
    folder = home / column
    (folder / "files").mkdir(parents=True)
    with zipfile.ZipFile(folder / "files.zip", "w") as archive:
        for name, count, seed in (("train", 240, 1), ("dev", 10, 2), ("test", 20, 3)):
            draw, rows = random.Random(seed), []
            for number in range(count):
                file, words = MAKE[column](folder / "files", f"{name}{number}", draw)
                if number % 2:
                    archive.write(folder / "files" / file, file)
                rows.append(f"{words}\tfiles{'.zip:' if number % 2 else '/'}{file}")
            (folder / f"{name}.tsv").write_text("\n".join([f"words\t{column}", *rows]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=list(MAKE))
def column(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def home(column, tmp_path_factory) -> Path:
    return write_tables(tmp_path_factory.mktemp("media"), column)


@pytest.fixture(scope="module")
def command(tiny, column):
    def make(name: str, *more: str) -> list[str]:
        steps = f"train.steps={STEPS[column]}"
        return ["train", *tiny, *SETTINGS.split(), *INPUT[column].split(), f"run.name={name}", steps, *more]

    return make


@pytest.fixture(scope="module")
def trained(home, command, run, column) -> Path:
    done = run(home, *command("whole"))
    assert done.returncode == 0, done.stderr.decode()
    found = {"photo": "image, a grid of 4 x 4 patches, 48", "speech": "audio, 8,000 samples a second, 40"}[column]
    assert f"input `{column}`: {found} numbers a row, scale" in done.stderr.decode()
    return home / "runs/whole"


def test_what_was_not_seen_in_training_is_named_one_line_for_each_row(home, trained, run):
    scores = {one["name"]: one["value"] for one in json.loads((trained / "eval/test.json").read_text())["scores"]}
    done = run(home.parent, "translate", f"{home.name}/runs/whole", "-i", f"{home.name}/test.tsv")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == (trained / "eval/test.hyp.txt").read_text()
    right = [line.split("\t")[0] for line in (home / "test.tsv").read_text(encoding="utf-8").split("\n")[1:]]
    assert sum(map(str.__eq__, done.stdout.decode().split("\n"), right)) > 6  # of 20; a guess has one or two
    evaluated = run(home, "evaluate", "runs/whole", "--test", "test.tsv", "--bootstrap", "0", "--json")
    again = {one["name"]: one["value"] for one in json.loads(evaluated.stdout)["scores"]}
    assert again == pytest.approx(scores)
    assert run(home, "score", "runs/whole", "--pairs", "test.tsv").stdout.count(b"\n") == 20


def test_killed_and_started_again_it_ends_with_the_same_bits(home, short_run, after_a_kill):
    assert after_a_kill(home) == short_run(home, "unbroken")


def test_a_bad_cell_is_named_before_training_starts_and_skipped_on_request(home, trained, command, run, column):
    header, first, *rows = (home / "train.tsv").read_text(encoding="utf-8").split("\n")
    (home / "bad.tsv").write_text("\n".join([header, first, "rot\tfiles.zip:none", *rows[:60]]), encoding="utf-8")
    done = run(home, *command("bad", "data.train=[bad.tsv]"))
    assert done.returncode == 3
    assert f"bad.tsv:3: column `{column}`: files.zip has no member 'none'." in done.stderr.decode()
    done = run(home, "translate", "runs/whole", "--skip-bad", "-i", "bad.tsv")
    lines = done.stdout.decode().split("\n")
    assert lines[1] == "" and all(lines[:1] + lines[2:-1])
    assert f"1 line skipped and left empty: bad.tsv:3: column `{column}`: files.zip has no" in done.stderr.decode()


def test_a_bad_cell_of_the_test_set_is_named_before_training_starts_as_well(home, trained, command, run, column):
    header, first, *_ = (home / "test.tsv").read_text(encoding="utf-8").split("\n")
    (home / "last.tsv").write_text("\n".join([header, first, "rot\tfiles.zip:none"]), encoding="utf-8")
    done = run(home, *command("late", "data.test=[last.tsv]"))
    assert done.returncode == 3 and "step" not in done.stderr.decode()
    assert f"last.tsv:3: column `{column}`: files.zip has no member 'none'." in done.stderr.decode()
    if column == "speech":
        soundfile.write(home / "long.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
        (home / "last.tsv").write_text(f"{header}\n{first}\neins\tlong.wav\n", encoding="utf-8")
        told = run(home, *command("late", "data.test=[last.tsv]")).stderr.decode()
        assert "last.tsv:3: the source has 98 rows, but the model will read at most 64 (`batch.max_length`)." in told


def test_the_page_of_attention_shows_what_the_model_saw_under_its_words(home, trained, run, column):
    done = run(home, "inspect", "attention", "runs/whole", "--input", "test.tsv", "--lines", "2-4", "-o", "page.html")
    assert done.returncode == 0, done.stderr.decode()
    (text,) = re.findall(r'id="data">(.*?)</script>', (home / "page.html").read_text(encoding="utf-8"), re.DOTALL)
    (model,) = json.loads(text)["models"]
    cells = [row.split("\t")[1] for row in (home / "test.tsv").read_text(encoding="utf-8").split("\n")[2:5]]
    assert [pair["source"] for pair in model["pairs"]] == cells and model["name"] == "whole"
    shown = [pair["inputs"][0] for pair in model["pairs"]]
    assert [one["grid"] for one in shown] == [[4, 4] if column == "photo" else [1, one["width"] // 4] for one in shown]
    assert [one["seconds"] is None for one in shown] == [column == "photo"] * 3
    done = run(home, "inspect", "attention", "runs/whole", "--input", "test.tsv", "--lines", "1", "--png", "one.png")
    assert done.returncode == 0 and (home / "one.png").read_bytes().startswith(b"\x89PNG"), done.stderr.decode()
    assert not (home / "attention.html").exists()


def test_too_many_patches_are_refused_before_the_tables_are_read(home, command, run, column):
    if column != "photo":
        return
    header, first, *_ = (home / "train.tsv").read_text(encoding="utf-8").split("\n")
    (home / "bad.tsv").write_text("\n".join([header, first, "rot\tfiles.zip:none"]), encoding="utf-8")
    for more in ([], ["run.dry_run=true"]):
        done = run(home, *command("fine", "data.inputs=[photo:image:64:4]", "data.train=[bad.tsv]", *more))
        told = done.stderr.decode()
        assert done.returncode == 2 and "`data.inputs` cuts photo:image:64:4 into 256 patches, a row each, but" in told
        assert "hint: set `batch.max_length=256` or more, or make patches larger" in told and "corpus" not in told


def test_a_picture_or_a_recording_in_place_of_a_table_is_told_the_line_to_type(home, trained, run, column):
    file = str(next((home / "files").glob("test*.png" if column == "photo" else "test*.wav")).relative_to(home))
    what = "a picture (PNG)" if column == "photo" else "a recording (WAV)"
    told = f"`{file}` is {what}, but the model reads a table, in which the column `{column}` names such files."
    for given in (["runs/whole", "-i", file], ["runs/whole", file], ["runs/whole", "-i", file, "--skip-bad"], [file]):
        done = run(home, "translate", *given)
        assert done.returncode == 3 and told in done.stderr.decode() and not done.stdout, done.stderr.decode()
    line = json.dumps({column: file})
    done = run(home, "translate", "runs/whole", "-i", file)
    assert f"hint: `echo '{line}' | mt translate runs/whole` translates one row." in done.stderr.decode()
    done = run(home, "translate", "runs/whole", stdin=f"{line}\n".encode())
    assert done.returncode == 0 and done.stdout.strip()
    np.save(home / "x.npy", np.zeros((2, 3)))
    done = run(home, "translate", "runs/whole", "-i", "x.npy")
    kind = "image" if column == "photo" else "audio"
    told = f"`x.npy` is an array of NumPy, but the model reads rows of a table, with the columns {column} ({kind})."
    assert done.returncode == 3 and told in done.stderr.decode()
    with (home / file).open("rb") as opened:
        argv = [sys.executable, "-m", "mt", "translate", "runs/whole"]
        done = subprocess.run(argv, cwd=home, stdin=opened, capture_output=True, check=False)
    assert done.returncode == 3 and f"`stdin` is {what}, but the model reads a table".encode() in done.stderr
    assert json.dumps({column: "FILE"}).encode() in done.stderr


def test_a_model_of_text_says_that_it_reads_no_picture(home, run):
    file = next((home / "files").glob("test*.*")).relative_to(home)
    golden = Path(__file__).parents[1] / "golden/schema-1/runs/golden"
    done = run(home, "translate", str(golden), "-i", str(file))
    told = done.stderr.decode()
    assert done.returncode == 3 and f"`{file}` is a " in told
    assert "), but the model reads text.\n\nhint: a model that was trained with `data.inputs` reads a table" in told


def test_tensorboard_shows_where_the_model_looked(trained):
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().split("\n")[:-1]]
    assert all(line["entropy_1"] > 0 for line in lines if line["kind"] == "dev")
    (events,) = (trained / "tensorboard").iterdir()
    assert events.read_bytes().count(b"attention") >= 3


def test_a_page_needs_rows_a_translation_of_each_and_no_option_of_words(home, trained, run):
    refused = {
        ("--text", "a", "--svg", "a.svg"): "--svg needs a model that reads text, but runs/whole reads columns of a ta",
        ("--text", "a", "--spaces"): "--spaces needs a model that reads text, but runs/whole reads columns of a table.",
        ("--text", "a", "--reference", "b", "c"): "1 row cannot have 2 translations.",
        (
            "--input",
            "header.tsv",
        ): "header.tsv has no row to show.\n\nhint: the first row of a TSV table is its header.",
        ("--input", "test.tsv", "--lines", "90-99"): "test.tsv has no row to show.\n\nhint: lower the numbers of --lin",
        ("--text", "none.x"): "row 1: column `",
        ("--input", "bad.tsv", "--lines", "4-6"): "bad.tsv:6: column `",
    }
    (home / "header.tsv").write_text("words\tphoto\tspeech\n")
    header, first, *_ = (home / "test.tsv").read_text(encoding="utf-8").split("\n")
    (home / "bad.tsv").write_text("\n".join([header, *[first] * 3, "", "eins\tnone.x"]), encoding="utf-8")
    for options, message in refused.items():
        done = run(home, "inspect", "attention", "runs/whole", *options)
        assert done.returncode in (2, 3) and message in done.stderr.decode(), done.stderr.decode()
