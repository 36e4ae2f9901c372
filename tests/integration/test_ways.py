"""Every way to translate except plain search, as commands on toy models of both directions."""

import json
from pathlib import Path

import pytest

STEPS = ["train.steps=60", "train.validate_every=20", "optim.lr=5e-3", "schedule.warmup_steps=10"]
INPUT = b"one two three\n\nfour five\nsix\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory, numbers, run, tiny) -> Path:
    """A folder with text and two trained runs, `runs/forth` and `runs/back`."""
    path = tmp_path_factory.mktemp("ways")
    for seed, (name, count) in enumerate({"train": 200, "dev": 12}.items()):
        numbers(path, name, count, seed)
    for name, first, second in (("forth", "en", "de"), ("back", "de", "en")):
        files = [f"data.{part}=[{part}.{first},{part}.{second}]" for part in ("train", "dev")]
        done = run(path, "train", *files, *tiny, *STEPS, f"run.name={name}")
        assert done.returncode == 0, done.stderr.decode()
    return path


@pytest.fixture
def lines(home: Path, run):
    """`lines("translate", ..., stdin=b"...")`: the output lines of a command that succeeds."""

    def call(*argv: str, stdin: bytes = b"", fresh: bool = False) -> list[str]:
        done = run(home, *argv, stdin=stdin, fresh=fresh)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().split("\n")[:-1]

    return call


def test_scores_are_those_that_search_gave(home: Path, lines):
    rows = [json.loads(row) for row in lines("translate", "runs/forth", "-i", "dev.en", "--jsonl")]
    best = [row["translations"][0] for row in rows]
    (home / "out.de").write_text("".join(t["text"] + "\n" for t in best), encoding="utf-8")
    files = ["--source", "dev.en", "--target", "out.de"]
    told = [json.loads(row) for row in lines("score", "runs/forth", *files, "--per-token", fresh=True)]
    alike = [(t, score) for t, score in zip(best, told, strict=True) if t["pieces"] == score["pieces"]]
    assert len(alike) >= 6  # the others have a segmentation that the tokenizer would not choose
    for t, score in alike:
        if t["finished"]:
            assert score["log_prob"] == pytest.approx(t["log_prob"], abs=1e-4)
        shown = score["piece_log_probs"][: len(t["piece_log_probs"])]
        assert shown == pytest.approx(t["piece_log_probs"], abs=1e-5)
    both = [row.split("\t") for row in lines("score", "runs/forth", *files, "--reverse", "runs/back")]
    assert [float(row[0]) for row in both] == pytest.approx([score["log_prob"] for score in told], abs=1e-5)
    assert all(len(row) == 4 and float(row[2]) < float(row[3]) < 0 for row in both)


def test_samples_are_the_same_for_the_same_seed(lines):
    first = lines("translate", "runs/forth", "--sample", "--seed", "1", stdin=INPUT)
    assert len(first) == 4 and first[1] == ""
    many = [json.loads(row) for row in lines("translate", "runs/forth", "--sample", "--seed", "1", "--samples", "3",
                                             "--temperature", "1.0", stdin=INPUT)]  # fmt: skip
    assert [row["translations"][0]["text"] for row in many] == first
    assert [len(row["translations"]) for row in many] == [3, 1, 3, 3]


def test_mbr_and_reranking_choose_from_what_the_model_says(lines):
    told = lines("translate", "runs/forth", "--mbr", "chrf", "--samples", "8", "--nbest", "2", stdin=INPUT)
    for row in map(json.loads, told):
        scores = [t["score"] for t in row["translations"]]
        assert scores == sorted(scores, reverse=True) and len({t["text"] for t in row["translations"]}) == len(scores)
    beam = ["--beam", "4", "--nbest", "4"]
    plain = [json.loads(row) for row in lines("translate", "runs/forth", *beam, stdin=INPUT)]
    back = [json.loads(row) for row in lines("translate", "runs/forth", *beam, "--rerank", "runs/back", stdin=INPUT)]
    for one, other in zip(plain, back, strict=True):
        texts = [sorted(t["text"] for t in row["translations"]) for row in (one, other)]
        scores = [t["score"] for t in other["translations"]]
        assert texts[0] == texts[1] and scores == sorted(scores, reverse=True)
    assert plain != back


def test_a_model_with_itself_and_the_mean_of_its_checkpoints(home: Path, lines, run):
    plain = lines("translate", "runs/forth", stdin=INPUT)
    assert lines("translate", "runs/forth", "--ensemble", "runs/forth", "runs/forth", stdin=INPUT) == plain
    said = lines("average", "runs/forth", "--last", "2", "-o", "mean", fresh=True)
    assert said == ["The mean of 2 models is in mean:", "  runs/forth/checkpoints/step-00000060",
                    "  runs/forth/checkpoints/step-00000040"]  # fmt: skip
    assert len(lines("translate", "mean", stdin=INPUT)) == 4
    again = run(home, "average", "runs/forth", "--last", "2", "-o", "mean")
    assert (again.returncode, again.stdout) == (2, b"")
    assert again.stderr == b"mt average: `mean` already exists.\n\nhint: name a new folder.\n"


def test_refusals_are_one_line(home: Path, run):
    short = run(home, "score", "runs/forth", "--source", "train.en", "--target", "dev.de")
    assert (short.returncode, short.stdout) == (3, b"")
    assert b"mt score: `train.en` has 200 lines, but `dev.de` has 12" in short.stderr
    same = run(home, "translate", "runs/forth", "--rerank", "runs/forth", stdin=INPUT)
    assert (same.returncode, same.stdout) == (2, b"")
    assert b"mt translate: --rerank runs/forth translates from en to de, but a model" in same.stderr
