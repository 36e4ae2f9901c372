"""The comparison with other toolkits: their logs, their configurations, the arithmetic of ratios. No peer is run."""

import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import bench_peers
import pytest
from peers import eole_peer, fairseq_peer, hf_peer, hf_train, marian_peer, measure, ours, pieces, recipe
from peers.install import PeerError, install, last_line
from peers.job import SHAPES, Job, Logged, Peer
from peers.measure import Stamped, summarise
from peers.report import best_against_best, compare, grouped, report

from mt.errors import DataError
from mt.text.tokenizer import Tokenizer


@pytest.fixture
def job(tmp_path):
    for name in ("run", "pieces"):
        (tmp_path / name).mkdir()
    (tmp_path / "pieces/vocabulary.txt").write_text("<unk>\n<s>\n</s>\n<pad>\n▁a\nb\n", encoding="utf-8")
    (tmp_path / "pieces/train.src").write_text("▁a b\n▁a\n", encoding="utf-8")
    return Job(
        shape=SHAPES["base"], precision="bf16", threads=2, updates=20, tokens=1000,
        folder=str(tmp_path / "run"), text=str(tmp_path / "pieces"), venv="/env",
    )  # fmt: skip


def read_json(file):
    return json.loads(Path(file).read_text(encoding="utf-8"))


# ---- logs -------------------------------------------------------------------------------------------------------


def test_eole_tells_means_of_a_window():
    line = (
        "[2026-01-01 01:23:53,963 INFO] Step 10/   15; acc: 4.3; ppl: 100.00; xent: 4.61; aux: 0.000; mtp: 0.000; "
        "attn_ent: 0.000; lr: 1.00e-04; sents:     957; bsz: 3341/3688/191; 803/887 tok/s;     59 sec;"
    )
    assert eole_peer.parse(line) == Logged(10, 5 * 3688.0, math.log(100))
    assert eole_peer.parse("[2026-01-01 INFO] Train perplexity: 6464.39") is None


def test_marian_tells_time_and_rate_of_a_window():
    line = "[2026-01-01 01:31:14] Ep. 1 : Up. 1,010 : Sen. 2,997 : Cost 8.92 : Time 20.00s : 250.50 words/s : gNorm 3.1"
    assert marian_peer.parse(line) == Logged(1010, 5010.0, 8.92)
    assert marian_peer.parse("[2026-01-01 01:32:27] Training finished") is None


def test_fairseq_tells_bits():
    values = {"epoch": 1, "loss": "2", "nll_loss": "1", "wpb": "400.5", "num_updates": "15", "lr": "0.001"}
    found = fairseq_peer.parse(f"2026-01-01 | INFO | train_inner | {json.dumps(values)}")
    assert found == Logged(15, 2002.5, 2 * math.log(2), math.log(2))
    assert fairseq_peer.parse(f"2026-01-01 | INFO | train | {json.dumps({'train_loss': '1'})}") is None


@pytest.mark.parametrize("peer", [ours.PEER, hf_peer.PEER], ids=lambda peer: peer.name)
def test_our_own_runners_print_what_is_read(peer):
    assert peer.parse('{"update": 5, "tgt_tokens": 7, "loss": 2.5}\n') == Logged(5, 7, 2.5, None)
    assert peer.parse("{'loss': '2.5'}") is None


# ---- configurations ---------------------------------------------------------------------------------------------


def test_eole_is_given_the_shape_and_a_rate_with_the_common_peak(job):
    found = eole_peer.config(job, pairs=2, pieces=6)
    model, training = found["model"], found["training"]
    assert isinstance(model, dict) and isinstance(training, dict)
    assert [model[name] for name in ("hidden_size", "heads", "transformer_ff", "layers")] == [512, 8, 2048, 6]
    assert (training["compute_dtype"], training["batch_size"], training["train_steps"]) == ("bf16", 1000, 20)
    warm_up = recipe.RATE_WARM_UP
    noam = training["learning_rate"] * 512**-0.5 * min(warm_up**-0.5, warm_up * warm_up**-1.5)
    assert noam == pytest.approx(recipe.PEAK_RATE)
    command = eole_peer.command(job)
    assert command[:2] == ["/env/bin/eole", "train"]
    assert read_json(command[3])["training"]["bucket_size"] == 2


def test_marian_has_its_marks_first_and_every_piece_once(job):
    assert marian_peer.vocabulary(["<unk>", "<s>", "</s>", "b"]) == {"</s>": 0, "<unk>": 1, "<s>": 2, "b": 3}
    command = marian_peer.command(job)
    found = read_json(command[3])
    assert [found[name] for name in ("dim-emb", "enc-depth", "mini-batch-words", "after")] == [512, 6, 1000, "20u"]
    assert sorted(read_json(found["vocabs"][0]).values()) == list(range(6))
    assert marian_peer.PEER.precisions == ("fp32",)


def test_fairseq_has_its_own_marks_and_keeps_its_binary_text(job):
    before = fairseq_peer.before(job)
    assert before[0] == "/env/bin/fairseq-preprocess"
    folder = job.pieces / "fairseq"
    assert (folder / "pieces.txt").read_text(encoding="utf-8") == "▁a 1\nb 1\n"
    command = fairseq_peer.command(job)
    assert {"--cpu", "--max-tokens=1000", "--encoder-layers=6", "--decoder-embed-dim=512"} <= set(command)
    assert fairseq_peer.PEER.precisions == ("fp32",)
    (folder / "train.src-tgt.tgt.idx").touch()
    assert fairseq_peer.before(job) == []


def test_hf_gets_shifted_padded_rows_and_counts_sentences_by_tokens(tmp_path):
    (tmp_path / "ids.jsonl").write_text("[[4, 5], [6]]\n[[7], [8, 9]]\n")
    examples = hf_train.read_examples(tmp_path)
    found = {name: rows.tolist() for name, rows in hf_train.collate(examples).items()}
    assert found == {
        "input_ids": [[4, 5, 2], [7, 2, 3]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "decoder_input_ids": [[1, 6, 3], [1, 8, 9]],
        "labels": [[6, 2, -100], [8, 9, 2]],
    }
    assert hf_train.sentences_per_batch(examples, 100) == 40  # 2.5 tokens each


def test_a_job_survives_its_file(job):
    assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job
    assert Job.from_dict(read_json(ours.command(job)[-1])) == job


def test_all_toolkits_get_the_pieces_of_our_tokenizer(tmp_path):
    sources, targets = ["a man walks", "two men", " "], ["ein Mann läuft", "zwei Männer", "leer"]
    for side, lines in (("en", sources), ("de", targets)):
        (tmp_path / f"train.{side}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    folder = pieces.prepare(tmp_path, tmp_path / "work")
    tokenizer, vocabulary = Tokenizer.load(folder), pieces.read_vocabulary(folder)
    assert len(vocabulary) == tokenizer.tgt_size and pieces.num_pairs(folder) == 2  # the third has no source
    lines = (folder / "train.tgt").read_text(encoding="utf-8").split("\n")
    assert [[vocabulary.index(piece) for piece in line.split()] for line in lines[:2]] == tokenizer.encode_target(
        targets[:2]
    )
    ids = [json.loads(line) for line in (folder / "ids.jsonl").read_text().strip().split("\n")]
    assert [[*source, tokenizer.eos] for source, _ in ids] == tokenizer.encode_source(sources[:2])
    written = (folder / "ids.jsonl").stat().st_mtime_ns
    assert pieces.prepare(tmp_path, tmp_path / "work") == folder
    assert (folder / "ids.jsonl").stat().st_mtime_ns == written
    with pytest.raises(DataError, match=r"train\.en"):
        pieces.training_pairs(tmp_path / "work")


# ---- arithmetic -------------------------------------------------------------------------------------------------


def test_the_rate_is_of_what_came_after_the_warm_up():
    log = [Stamped(9, Logged(5, 1000, 9.0)), Stamped(10, Logged(10, 1000, 8.0, 7.0))]
    log += [Stamped(12, Logged(15, 1000, 6.0, 5.0)), Stamped(13, Logged(20, 3000, 4.0, 3.0))]
    found = summarise(log, peak_gib=1.5, seconds=20)
    assert found.rate == 4000 / 3 and found.windows == [500, 3000]
    assert (found.tokens_per_update, found.start_s) == (400, 10)
    assert (found.loss, found.nll) == (4.5, 3.5)  # 1000 tokens at one loss, 3000 at the other
    assert summarise([*log[:2], Stamped(14, Logged(15, 10, 1.0))], peak_gib=1, seconds=20).nll is None
    with pytest.raises(PeerError, match="only 1 lines of the log report 10 updates or more"):
        summarise(log[:2], peak_gib=1, seconds=20)


def pair(peer, precision, our_rate, their_rate):
    sides = [{"rate": r, "peak_gib": 1.0, "loss": 5.0, "tokens_per_update": 100.0} for r in (our_rate, their_rate)]
    return {"peer": peer, "precision": precision, "ours": sides[0], "theirs": {**sides[1], "loss": None}}


def test_the_ratio_is_of_pairs():
    found = compare([pair("a", "fp32", 300, 100), pair("a", "fp32", 200, 100), pair("a", "fp32", 100, 200)])
    assert (found.ours, found.theirs, found.ratio, found.least, found.most) == (200, 100, 2, 0.5, 3)


def test_fastest_against_fastest_needs_two_precisions():
    pairs = [pair("a", "fp32", 100, 50), pair("b", "fp32", 100, 80)]
    assert best_against_best(grouped(pairs)) == []
    lines = best_against_best(grouped([*pairs, pair("a", "bf16", 400, 40)]))
    assert lines == [
        "- fastest against fastest: ours in bf16 over a in fp32: 8.00",
        "- fastest against fastest: ours in bf16 over b in fp32: 5.00",
    ]


def test_the_report_names_what_was_passed_over_and_what_differs():
    record = {
        "processor": "P", "cores": 2, "load_average_at_start": 0.1, "date": "2026-01-01",
        "settings": {"threads": 2, "model": "small", "updates": 40, "rounds": 1},
        "pairs": [pair("eole", "bf16", 3000, 1500)],
        "errors": {"hf": "no wheel"},
    }  # fmt: skip
    found = report(record, bench_peers.PEERS)
    assert (
        "| eole | bf16 | 3,000 | 1,500 | **2.00** (2.00 to 2.00) | 1.00 / 1.00 GiB | 5.000 / - | 100 / 100 |" in found
    )
    assert "- hf was passed over: no wheel" in found
    assert "- eole 0.6.4: a batch is sentences times the longest side" in found


# ---- processes --------------------------------------------------------------------------------------------------


def printer(job, code):
    """A toolkit that is a line of Python."""
    return Peer("fake", "1", ("fp32",), lambda job: [sys.executable, "-c", code], Logged.of_line)


LINES = "".join(f"""print('{{"update": {n}, "tgt_tokens": 10, "loss": 1.0}}');""" for n in (5, 10, 15, 20))


def test_a_run_is_followed_to_its_end(job):
    found = measure.run(printer(job, LINES), job)
    assert (found.loss, found.tokens_per_update) == (1.0, 2) and found.peak_gib > 0
    assert (job.rundir / "log.txt").read_text().count("update") == 4


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit('no such option')", "ended with 1: no such option"),
        (LINES[: LINES.index("print", 9)], "the log reports 5 updates, not 20"),
        ("", "the log reports 0 updates, not 20"),
    ],
)
def test_a_toolkit_that_fails_is_told_in_one_line(job, code, message):
    with pytest.raises(PeerError, match=message):
        measure.run(printer(job, code), job)


def test_what_comes_before_may_fail_too(job):
    peer = replace(printer(job, LINES), before=lambda job: [sys.executable, "-c", "raise SystemExit('no text')"])
    with pytest.raises(PeerError, match="ended with 1: no text"):
        measure.run(peer, job)


def test_an_interrupt_leaves_nothing_running(job):
    code = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    seen = []

    def interrupted(line):
        seen.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure.run(replace(printer(job, code), parse=interrupted), job)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_threads_are_set_and_variables_of_the_peer_win(job, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    peer = replace(printer(job, ""), environment={"MALLOC_MMAP_MAX_": "0"})
    found = measure.environment(peer, job)
    assert (found["OMP_NUM_THREADS"], found["MALLOC_MMAP_MAX_"], found["CUDA_VISIBLE_DEVICES"]) == ("2", "0", "")
    assert "PYTHONPATH" not in found


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_is_that_of_the_whole_tree():
    assert measure.tree_bytes(os.getpid()) > 1 << 20
    assert measure.tree_bytes(2**22 + 1) == 0  # above the highest id that Linux gives


# ---- installing -------------------------------------------------------------------------------------------------


def fake_environment(work, name):
    """Where a virtual environment would be; its Python is ours."""
    folder = work / "venvs" / name / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    return folder.parent


def test_an_environment_is_made_once_and_a_failed_import_is_told(tmp_path, capsys):
    folder = fake_environment(tmp_path, "fake")
    peer = Peer("fake", "1", (), lambda job: [], Logged.of_line, imports="json")
    assert install(peer, tmp_path) == folder and "installing 1" in capsys.readouterr().err
    assert install(replace(peer, imports="no_such_module"), tmp_path) == folder  # nothing is done, nothing imported
    assert capsys.readouterr().err == ""
    (folder / "installed.json").unlink()
    with pytest.raises(PeerError, match="No module named 'no_such_module'"):
        install(replace(peer, imports="no_such_module"), tmp_path)
    assert "torch>=" in (tmp_path / "constraints.txt").read_text()


def test_the_last_line_that_says_something():
    assert last_line("a\n  ERROR: b \n\n[notice] a new release\n") == "ERROR: b"
    assert last_line("\n") == "no output"


def test_only_small_files_are_kept_of_a_run(tmp_path):
    (tmp_path / "log.txt").write_text("x")
    (tmp_path / "model.npz").write_bytes(bytes(2 << 20))
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    bench_peers.tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


# ---- the command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--updates", "12"], "--updates must be a multiple of 5 from 15 on"),
        (["--updates", "10"], "--updates must be a multiple of 5 from 15 on"),
        (["--rounds", "0"], "--threads and --rounds must be at least 1, --tokens at least 256"),
        (["--peer-env", "X"], "--peer-env takes NAME=VALUE, but was given X"),
    ],
)
def test_wrong_options(wrong, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        bench_peers.parse_arguments(["--data", "d", "--work", "w", *wrong])
    assert message in capsys.readouterr().err


@pytest.fixture
def order():
    """What was run, in order."""
    return []


@pytest.fixture
def bench(tmp_path, monkeypatch, order):
    """Two rounds with rates made up; hf fails in bf16."""
    options = bench_peers.parse_arguments(["--data", "d", "--work", str(tmp_path), "--precision", "bf16", "fp32"])
    made = bench_peers.Bench(options, tmp_path, dict.fromkeys(("eole", "marian", "hf"), tmp_path))

    def fake(peer, job):
        order.append(f"{peer.name} {job.precision}")
        if order[-1] == "hf bf16":
            raise PeerError("ended with 1: no bf16")
        return measure.Measured(100, [100], 10, 5.0, None, 1.0, 1.0, 2.0)

    monkeypatch.setattr(bench_peers, "run", fake)
    return made


def test_ours_and_theirs_take_turns_and_what_failed_once_is_left_out(bench, order, capsys):
    assert bench.all() == 0
    bf16, fp32 = ["ours bf16", "eole bf16"], ["ours fp32", "eole fp32", "ours fp32", "marian fp32", "ours fp32"]
    fp32 += ["hf fp32"]
    assert order == [*bf16, "ours bf16", "hf bf16", *fp32, *bf16, *fp32]
    assert len(bench.pairs) == 8 and bench.errors == {"hf bf16": "ended with 1: no bf16"}
    assert "hf bf16: ended with 1: no bf16" in capsys.readouterr().err


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (PeerError("ended with 1"), 1)])
def test_what_cuts_the_rounds_short_leaves_what_was_measured(bench, monkeypatch, raised, code, capsys):
    first, calls = bench_peers.run, []

    def fake(peer, job):
        calls.append(peer)
        if len(calls) == 3:
            raise raised
        return first(peer, job)

    monkeypatch.setattr(bench_peers, "run", fake)
    assert bench.all() == code and len(bench.pairs) == 1
    assert ("stopped" if code == 130 else "error: ours ended with 1") in capsys.readouterr().err
