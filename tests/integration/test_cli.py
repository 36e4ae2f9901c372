"""The whole command line on toy text: its output on stdout and stderr, and its errors."""

import filecmp
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = str(Path(__file__).resolve().parents[2])
PYTHON_PATH = {**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])}
STEPS = ["train.steps=30", "train.validate_every=15", "optim=adamw", "optim.lr=5e-3", "schedule.warmup_steps=10"]
FILES = ["data.train=[train.en,train.de]", "data.dev=[dev.en,dev.de]", "data.test=[test.en,test.de]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory, numbers, run, tiny) -> Path:
    """A folder with text and a trained run `runs/toy`."""
    path = tmp_path_factory.mktemp("cli")
    for seed, (name, count) in enumerate({"train": 200, "dev": 12, "test": 12}.items()):
        numbers(path, name, count, seed)
    done = run(path, "train", *FILES, *tiny, *STEPS, "run.name=toy", fresh=True)
    assert done.returncode == 0, done.stderr.decode()
    (path / "trained.txt").write_bytes(done.stdout)
    return path


def refusal(done: subprocess.CompletedProcess[bytes]) -> str:
    """The message at the end of stderr, with its hint; asserts that stdout is empty and that there is no traceback."""
    said = done.stderr.decode()
    assert done.stdout == b"", done.stdout
    assert "Traceback" not in said and "internal error" not in said, said
    message, _, hint = said.strip().partition("\n\nhint: ")
    return message.split("\n")[-1] + (f" hint: {hint}" if hint else "")


# ---------------------------------------------------------------- train


def test_training_ends_with_scores_and_the_next_command(home: Path, run):
    said = (home / "trained.txt").read_text()
    assert "Trained 30 updates" in said and "Test set of en-de, 12 sentences:" in said and "BLEU = " in said
    assert {p.name for p in (home / "runs/toy").iterdir() if not p.name.startswith(".")} == {
        "config.yaml", "manifest.json", "train.log", "metrics.jsonl", "tensorboard", "checkpoints", "samples", "eval",
        "model",
    }  # fmt: skip
    assert sorted(p.name for p in (home / "runs/toy/model").iterdir()) == [
        "MANIFEST.json", "README.md", "config.json", "model.safetensors", "tokenizer.model"
    ]  # fmt: skip
    advice = next(line for line in said.split("\n") if line.startswith("  echo "))
    python = f"{sys.executable} -m mt"
    done = subprocess.run(
        advice.replace("| mt", f"| {python}"), shell=True, cwd=home, capture_output=True, timeout=600,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": "/usr/bin:/bin"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 1), done.stderr


def test_compressed_files_and_tsv_in_a_row_are_the_same_text(home: Path, run, tiny, tmp_path: Path):
    sides = [(home / f"train.{side}").read_text(encoding="utf-8").split("\n")[:-1] for side in ("en", "de")]
    rows = list(zip(*sides, strict=True))
    (tmp_path / "first.tsv").write_text("".join(f"{s}\t{t}\n" for s, t in rows[:90]), encoding="utf-8")
    for n, side in enumerate(("en", "de")):
        (tmp_path / f"rest.{side}.gz").write_bytes(gzip.compress("".join(f"{r[n]}\n" for r in rows[90:]).encode()))
        shutil.copy(home / f"dev.{side}", tmp_path)
    files = "data.train=[first.tsv,rest.en.gz,rest.de.gz]"
    done = run(tmp_path, "train", files, FILES[1], *tiny, *STEPS, "run.name=parts")
    assert done.returncode == 0, done.stderr.decode()
    weights = [folder / "model/model.safetensors" for folder in (tmp_path / "runs/parts", home / "runs/toy")]
    assert filecmp.cmp(*weights, shallow=False)  # pytest would look for what differs for minutes


def test_a_dry_run_shows_what_would_happen_and_leaves_nothing(home: Path, run, tiny):
    done = run(home, "train", "--dry-run", *FILES, *tiny, *STEPS, "run.name=dry")
    assert done.returncode == 0, done.stderr.decode()
    page = done.stdout.decode()
    wanted = ("training pairs   200 used; read 200", "unknown pieces", "parameters", "lengths in pieces", "###",
              "examples:", "the limit of steps", "▁")  # fmt: skip
    assert all(words in page for words in wanted), page
    assert not (home / "runs/dry").exists()


def test_a_sweep_ends_with_a_table_of_its_runs(home: Path, run, tiny):
    steps = ["train.steps=2", "train.validate_every=2"]
    sweep = ["--multirun", "train.seed=1,2", "optim.lr=1e-3"]
    done = run(home, "train", *FILES[:2], "run.root=sweep", *tiny, *steps, *sweep)
    assert done.returncode == 0, done.stderr.decode()
    table, means = done.stdout.decode().split("\n\n")[-2:]
    header, *rows = table.split("\n")
    assert header.split()[:3] == ["run", "data", "direction"]
    names = [f"sweep/en-de-small-seed={seed}" for seed in (1, 2)]
    assert means.startswith("runs that differ in nothing but the seed: mean ± standard deviation\nruns ")
    assert [row.split()[0] for row in rows] == names and all("finished" in row for row in rows)
    assert sorted(str(path.relative_to(home)) for path in (home / "sweep").glob("en-de*")) == names


def test_a_run_goes_on_by_its_folder_alone(home: Path, run, tiny, tmp_path: Path):
    """With other limits, from another folder, to the weights of a run that was never stopped."""
    for steps in (4, 6):
        done = run(home, "train", *FILES, *tiny, f"train.steps={steps}", "schedule=constant", f"run.name=to{steps}")
        assert done.returncode == 0, done.stderr.decode()
    done = run(tmp_path, "train", "--resume", str(home / "runs/to4"), "train.steps=6")
    assert done.returncode == 0, done.stderr.decode()
    assert b"going on from step 4" in done.stderr
    weights = [home / f"runs/{name}/checkpoints/step-00000006/model.safetensors" for name in ("to4", "to6")]
    assert filecmp.cmp(*weights, shallow=False)
    for name in ("to4", "to6"):
        shutil.rmtree(home / "runs" / name)


def test_a_second_train_in_a_folder_in_use_is_refused(home: Path, start, run, tiny):
    command = ["train", *FILES, *tiny, "train.steps=100000", "run.name=busy"]
    first = start(home, *command)
    try:
        assert first.wait_for(lambda: (home / "runs/busy/metrics.jsonl").exists())
        second = run(home, *command)
    finally:
        first.signal(signal.SIGTERM)
        assert first.end() == 75
    assert second.returncode == 1
    assert refusal(second).startswith(f"mt train: `runs/busy` is in use by process {first.inner.pid} on ")
    shutil.rmtree(home / "runs/busy")


# ---------------------------------------------------------------- translate


def test_one_line_out_for_one_line_in(home: Path, run):
    lines = ["one two", "", "   ", "three\u2028four", "five six\r", "seven\u0085eight", "nine ten"]
    done = run(home, "translate", "runs/toy", stdin="\n".join(lines).encode())
    assert done.returncode == 0, done.stderr.decode()
    out = done.stdout.decode().split("\n")
    assert len(out) == len(lines)
    assert out[1] == out[2] == "" and all(out[i].strip() for i in (0, 3, 4, 5, 6))
    assert [line.endswith("\r") for line in out] == [line.endswith("\r") for line in lines]


@pytest.mark.parametrize("option", [[], ["--line-buffered"]])
def test_another_program_gets_an_answer_to_each_line_it_writes(home: Path, run, option):
    command = [sys.executable, "-m", "mt", "translate", "runs/toy", *option]
    with subprocess.Popen(
        command, cwd=home, env=PYTHON_PATH, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        answers = []
        for line in (b"one two\n", b"three\n"):
            process.stdin.write(line)
            process.stdin.flush()
            answers.append(process.stdout.readline())  # waits for ever where the answer waits for more input
        process.stdin.close()
        assert process.wait(timeout=600) == 0
    assert b"".join(answers) == run(home, "translate", "runs/toy", stdin=b"one two\nthree\n").stdout


def test_a_last_line_keeps_its_end_and_no_input_gives_no_output(home: Path, run):
    done = run(home, "translate", "runs/toy", stdin=b"\xef\xbb\xbfone two\n\nthree\r\n")
    assert done.stdout.endswith(b"\r\n") and done.stdout.count(b"\n") == 3
    plain = run(home, "translate", "runs/toy", stdin=b"one two\n\nthree")
    assert plain.stdout == done.stdout.replace(b"\r\n", b"")
    empty = run(home, "translate", "runs/toy", stdin=b"")
    assert (empty.returncode, empty.stdout) == (0, b"")


def test_files_compressed_or_not_and_nbest(home: Path, run):
    (home / "in.gz").write_bytes(gzip.compress(b"one two\nthree\n"))
    done = run(home, "translate", "runs/toy/model", "-i", "in.gz", "-o", "out.jsonl", "--nbest", "3", "--beam", "4")
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()
    rows = [json.loads(line) for line in (home / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert [row["source"] for row in rows] == ["one two", "three"]
    for row in rows:
        scores = [t["score"] for t in row["translations"]]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True)
        assert len(row["translations"][0]["pieces"]) <= len(row["translations"][0]["piece_log_probs"])
    plain = run(home, "translate", "runs/toy", "-i", "in.gz", "--beam", "4", "--length-penalty", "1")
    assert plain.stdout.decode().split("\n")[:-1] == [row["translations"][0]["text"] for row in rows]


def test_markup_survives_and_links_count_the_words_of_the_lines(home: Path, run):
    files = ["--source", "dev.en", "--target", "dev.de", "-o", "links.txt"]
    shutil.copytree(home / "runs/toy/model", home / "linked", dirs_exist_ok=True)
    assert run(home, "align", "linked", *files, fresh=True).returncode == 0
    lines = ["one <b>two</b> three", "four {name} at https://a.example/?b=c.", "", "five<br/>six &amp; seven"]
    done = run(home, "translate", "linked", "--markup", "--alignments", "--flags", stdin="\n".join(lines).encode())
    assert done.returncode == 0, done.stderr.decode()
    said = done.stdout.decode().split("\n")
    assert len(said) == len(lines)
    for line, (text, links) in zip(lines, (one.split(" ||| ") for one in said), strict=True):
        for mark in ("<b>", "</b>", "{name}", "https://a.example/?b=c", "<br/>"):
            assert text.count(mark) == line.count(mark)
        pairs = [tuple(map(int, link.split("-"))) for link in links.split()]
        assert all(i < len(line.split()) and j < len(text.split()) for i, j in pairs)
        assert bool(pairs) == bool(line)


def test_a_reader_that_leaves_is_no_error(home: Path, start):
    line = f"yes one two | head -n 5000 | {sys.executable} -m mt translate runs/toy --beam 1 | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"{line}; echo ${{PIPESTATUS[2]}}"], cwd=home, capture_output=True, timeout=600, check=False,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    first, code = done.stdout.decode().strip().split("\n")
    assert (code, done.stderr) in [("141", b""), ("-13", b"")] and first


def test_python_loads_a_run_and_a_model(home: Path):
    import mt

    run, model = (mt.load(home / name, device="cpu", precision="fp32") for name in ("runs/toy", "runs/toy/model"))
    texts = ["one two three", "", "four"]
    assert run.translate(texts) == model.translate(texts)
    assert run.translate("four") == run.translate(texts)[2] and run.translate(texts)[1] == ""
    best = mt.load(home / "runs/toy/checkpoints/step-00000030", device="cpu", precision="fp32")
    assert len(best.translate(texts)) == 3


# ---------------------------------------------------------------- evaluate


def test_evaluate_scores_compares_and_writes_down(home: Path, run):
    done = run(home, "evaluate", "runs/toy", "--json", "--bootstrap", "50", "--compare", "test.de", fresh=True)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert [score["name"] for score in told["scores"]] == ["BLEU", "chrF++", "TER"] and told["sentences"] == 12
    assert all(score["signature"] and score["confidence"] is not None for score in told["scores"])
    assert [row["name"] for row in told["comparison"]] == ["BLEU", "chrF++", "TER"]
    assert told["comparison"][0]["baseline"] == pytest.approx(told["scores"][0]["value"])
    assert told["comparison"][0]["other"] == pytest.approx(100)
    kept = home / "runs/toy/eval"
    assert json.loads((kept / "test.json").read_text())["scores"] == told["scores"]
    again = run(
        home, "evaluate", "--hypotheses", "runs/toy/eval/test.hyp.txt", "--references", "test.de", "--bootstrap", "50"
    )
    assert again.returncode == 0, again.stderr.decode()
    assert f"BLEU = {told['scores'][0]['value']:.1f} ± {told['scores'][0]['confidence']:.1f}" in again.stdout.decode()


def test_evaluate_compares_two_models(home: Path, run):
    (home / "short.en").write_bytes((home / "dev.en").read_bytes())
    (home / "short.de").write_bytes((home / "dev.de").read_bytes())
    done = run(home, "evaluate", "runs/toy", "--test", "short.en", "short.de", "--compare", "runs/toy/model",
               "--bootstrap", "50", "--beam", "1")  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().strip().split("\n")
    assert lines[0] == "short, 12 sentences"
    assert all("(+0.0, p = 1.000)" in line for line in lines[-3:])
    assert not (home / "runs/toy/eval/short.json").exists()  # a run keeps the scores of its own test set


# ---------------------------------------------------------------- refusals: one sentence, the right code


@pytest.fixture(scope="module")
def bad(home: Path) -> Path:
    """Files with one fault each."""
    (home / "short.txt").write_text("eins\n" * 3)
    (home / "latin.de").write_bytes(b"eins\n" * 4 + "fünf\n".encode("latin-1") + b"eins\n" * 195)
    (home / "empty.en").write_bytes(b"")
    (home / "empty.de").write_bytes(b"")
    (home / "blank.en").write_bytes(b"\n" * 200)
    for name, damage in {"without": None, "flipped": "model.safetensors", "flipped-pieces": "tokenizer.model"}.items():
        shutil.copytree(home / "runs/toy/model", home / name)
        if damage is None:
            (home / name / "model.safetensors").unlink()
        else:
            content = bytearray((home / name / damage).read_bytes())
            content[len(content) // 2] ^= 1
            (home / name / damage).write_bytes(content)
    return home


TRAIN = {
    "missing": (3, ["data.train=[tarin.en,train.de]"], "`tarin.en` does not exist. hint: did you mean `train.en`?"),
    "unequal": (3, ["data.train=[train.en,test.de]"], "`train.en` has 200 lines, but `test.de` has 12"),
    "bytes": (3, ["data.train=[train.en,latin.de]"], "latin.de:5: byte 2 (0xfc) is not UTF-8"),
    "empty": (3, ["data.train=[empty.en,empty.de]"], "there are no pairs in `empty.en`, `empty.de`"),
    "blank": (3, ["data.train=[blank.en,train.de]", FILES[1]], "is empty, so no tokenizer"),
    "odd": (3, ["data.train=[train.en]"], "`train.en` has no partner"),
    "key": (2, [FILES[0], "train.stpes=1"], "`train.stpes` is not a setting. hint: did you mean `train.steps`?"),
    "enum": (2, [FILES[0], "model.norm=bathc"], "`model.norm` must be one of pre, post, but is bathc"),
    "number": (2, [FILES[0], "optim.lr=inf"], "`optim.lr` must be a finite number, but is inf"),
    "folder name": (2, [FILES[0], "run.name=../elsewhere"], "`run.name` must be the name of one folder"),
    "two vocabularies": (2, [FILES[0], "tokenizer.joint=false"], "`model.tying` is all, which needs a joint voc"),
}


@pytest.fixture(scope="module")
def refused(bad: Path, run, tiny) -> dict[str, subprocess.CompletedProcess[bytes]]:
    """The results of all refused commands, run two at a time, because each takes seconds to start."""
    nowhere = bad / "nowhere"
    nowhere.mkdir()

    def train(case: str) -> subprocess.CompletedProcess[bytes]:
        return run(bad, "train", *tiny, *STEPS, f"run.name=bad-{case.replace(' ', '-')}", *TRAIN[case][1])

    def other(case: str) -> subprocess.CompletedProcess[bytes]:
        return run(nowhere if case == "no run" else bad, *OTHERS[case][1], stdin=b"one\n")

    with ThreadPoolExecutor(2) as pool:
        return dict(zip([*TRAIN, *OTHERS], [*pool.map(train, TRAIN), *pool.map(other, OTHERS)], strict=True))


@pytest.mark.parametrize("case", TRAIN)
def test_train_refuses(case, bad: Path, refused):
    code, _, sentence = TRAIN[case]
    line = refusal(refused[case])
    assert line.startswith("mt train: ") and sentence in line and refused[case].returncode == code
    assert not any(bad.glob("runs/bad*/checkpoints")) and not (bad / "elsewhere").exists()


def test_settings_may_be_mended_before_anything_was_learnt(bad: Path, run, tiny):
    wrong = run(bad, "train", *tiny, *STEPS, "run.name=mended", "data.train=[tarin.en,train.de]")
    assert wrong.returncode == 3
    right = run(bad, "train", *tiny, *STEPS, "run.name=mended", FILES[0])
    assert right.returncode == 0, right.stderr.decode()


OTHERS = {
    "no run": (1, ["translate"], "there is no run in `runs`"),
    "no model": (1, ["translate", "runs/tyo"], "`runs/tyo` does not exist. hint: did you mean `runs/toy`?"),
    "no weights": (
        1,
        ["translate", "without"],
        "`without/model.safetensors` is in the manifest of its folder, but missing",
    ),
    "flipped": (1, ["translate", "flipped"], "`flipped/model.safetensors` must have SHA-256"),
    "flipped pieces": (1, ["translate", "flipped-pieces"], "`flipped-pieces/tokenizer.model` must have SHA-256"),
    "input": (3, ["translate", "runs/toy", "-i", "tset.en"], "`tset.en` does not exist. hint: did you mean `test.en`?"),
    "output": (
        2,
        ["translate", "runs/toy", "-i", "test.en", "-o", "no/out"],
        "`--output no/out` cannot be written: there is no f",
    ),
    "itself": (2, ["translate", "runs/toy", "-i", "test.en", "-o", "test.en"], "is also an input file"),
    "nbest": (2, ["translate", "runs/toy", "--beam", "2", "--nbest", "3"], "needs a beam at least as wide"),
    "precision": (2, ["translate", "runs/toy", "--precision", "fp8"], "int8, but is fp8"),
    "lengths": (
        3,
        ["evaluate", "runs/toy", "--hypotheses", "short.txt"],
        "short.txt has 3 lines, but there are 12 ref",
    ),
    "given": (
        3,
        ["evaluate", "--hypotheses", "short.txt", "--references", "test.de"],
        "`short.txt` has 3 lines, but `test.de` has 12",
    ),
    "compare": (3, ["evaluate", "runs/toy", "--compare", "tset.de"], "`tset.de` does not exist"),
    "no such run": (1, ["evaluate", "runs/nothing"], "`runs/nothing` does not exist"),
    "no test set": (2, ["evaluate", "flipped"], "this model is not in a run folder, so it has no test set"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_translate_and_evaluate_refuse(case, refused):
    code, argv, sentence = OTHERS[case]
    line = refusal(refused[case])
    assert line.startswith(f"mt {argv[0]}: ") and sentence in line and refused[case].returncode == code


def test_what_is_piped_is_scored(home: Path, run):
    scores = ["evaluate", "--references", "test.de", "--metrics", "bleu", "--bootstrap", "0", "--hypotheses"]
    done = run(home, *scores, "-", stdin=(home / "test.de").read_bytes())
    assert done.returncode == 0 and b"\nBLEU = 100.0 (" in done.stdout
    assert done.stdout == run(home, *scores, "test.de").stdout.replace(b"test.de,", b"stdin,")


def test_bytes_that_are_no_text_on_stdin_are_named(home: Path, run):
    done = run(home, "translate", "runs/toy", stdin=b"one\n\xff\n")
    assert done.stderr.startswith(b"mt translate: stdin:2: byte 1 (0xff) is not UTF-8") and done.returncode == 3
    assert done.stdout.count(b"\n") == 1  # what came before it


def test_names_that_are_not_utf_8_are_shown_escaped(home: Path, run, tiny, tmp_path: Path):
    names = [os.fsdecode(f"caf\xe9.{side}".encode("latin-1")) for side in ("en", "de")]
    for name in names:
        shutil.copy(home / f"train.{name[-2:]}", tmp_path / name)
    train = ["train", f"data.train=[{','.join(names)}]", *tiny, *STEPS]
    refused = run(tmp_path, *train, "run.root=r\udce9")
    assert (refused.returncode, refusal(refused)) == (
        2, "mt train: `run.root` must be a name in UTF-8, because libraries that write there need one: r\\udce9"
    )  # fmt: skip
    done = run(tmp_path, *train)
    assert done.returncode == 0, done.stderr.decode()
    assert rb"corpus caf\xe9: " in done.stderr
    [folder] = (tmp_path / "runs").iterdir()
    model = str(folder.relative_to(tmp_path))
    assert rb"caf\xe9" in (folder / "model/README.md").read_bytes()
    assert run(tmp_path, "translate", model, "-i", names[0], "-o", "out\udce9").returncode == 0
    assert run(tmp_path, "evaluate", model, "--test", *names).returncode == 0
    assert [run(tmp_path, verb, *more).returncode for verb, *more in (["runs"], ["info", model])] == [0, 0]
    again = run(tmp_path, "train", "--resume", model, "train.steps=31")
    assert again.returncode == 0, again.stderr.decode()
    missing = run(tmp_path, "evaluate", model, "--test", names[0], "no\udce9.de")
    assert missing.returncode == 3 and rb"`no\udce9.de` does not exist" in missing.stderr
