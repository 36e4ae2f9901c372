"""`mt train init=MODEL`: what stays of the model, what is new, and that it resumes exactly."""

import hashlib
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

TINY = (
    "model=small tokenizer.vocab_size=64 tokenizer.byte_fallback=false model.dim=32 model.heads=2 model.ffn_dim=48 "
    "model.encoder_layers=1 model.decoder_layers=1 model.dropout=0.1 batch.tokens=256 batch.max_length=64 "
    "optim.lr=1e-2 schedule.warmup_steps=10 decode.beam=2 train.steps=200 train.validate_every=100"
)
HERE = (
    f"train.device=cpu train.threads={os.environ['OMP_NUM_THREADS']} train.precision=fp32 train.minutes=null "
    "train.log_every=1 data.workers=0"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, numbers, run) -> Path:
    path = tmp_path_factory.mktemp("go_on")
    numbers(path, "train", 160, seed=1)
    numbers(path, "dev", 12, seed=2)
    numbers(path, "old", 20, seed=3)
    for side in ("en", "de"):  # the new text has its words in another order
        lines = (path / f"train.{side}").read_text("utf-8").split("\n")[:60]
        turned = [" ".join(reversed(line.split())) if side == "de" else line for line in lines]
        (path / f"new.{side}").write_text("".join(f"{line}\n" for line in turned), "utf-8")
        (path / f"test.{side}").write_text("".join(f"{line}\n" for line in turned[:10]), "utf-8")
    text = "data.train=[train.en,train.de] data.dev=[dev.en,dev.de] data.test=[old.en,old.de] run.name=base"
    done = run(path, "train", *TINY.split(), *HERE.split(), *text.split())
    assert done.returncode == 0, done.stderr.decode()
    return path


def new_run(name: str, *more: str, model: str = "runs/base") -> list[str]:
    return ["train", f"init={model}", "new.en", "new.de", *HERE.split(), f"run.name={name}", *more]


@pytest.fixture(scope="module")
def adapted(folder, run):
    done = run(folder, *new_run("adapted", "data.test=[test.en,test.de]", "optim.lr=2e-3"))
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def weights(path: Path) -> str:
    return hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()


def metrics(path: Path, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().split("\n")[:-1]]
    times = {"seconds", "time", "src_tokens_per_s", "tgt_tokens_per_s"}
    return [{k: v for k, v in line.items() if k not in times} for line in lines if line["kind"] == kind]


def test_the_model_keeps_its_tokenizer_and_its_shape(folder, adapted):
    old, new = folder / "runs/base/model", folder / "runs/adapted/model"
    assert (new / "tokenizer.model").read_bytes() == (old / "tokenizer.model").read_bytes()
    told = [json.loads((path / "config.json").read_text()) for path in (old, new)]
    for key in ("src", "tgt", "model", "decode", "src_size", "tgt_size", "max_length"):
        assert told[0][key] == told[1][key]
    assert told[1]["usual_length"] >= told[0]["usual_length"]
    assert weights(new) != weights(old)


def test_the_first_validation_is_of_the_weights_it_starts_from(folder, adapted):
    first, *others = metrics(folder / "runs/adapted", "dev")
    assert first["step"] == 0
    assert "step 0: dev loss" in adapted[1]
    assert others[0]["step"] == 5  # an epoch has fewer than five updates
    assert min(line["loss"] for line in others) < first["loss"]


def test_the_start_names_the_model_and_the_settings_that_were_filled_in(folder, adapted):
    said = adapted[1]
    assert "going on from runs/base: base (en to de; en-de, 160 pairs; weights " in said
    limit = "at most 20 epochs (or 200 updates, if that is more), or 3 validations without a"
    assert f"learning rate 0.002 after 20 updates of warm-up; {limit}" in said
    first = metrics(folder / "runs/adapted", "train")[0]
    assert first["lr"] == pytest.approx(2e-3 / 20)


def test_both_models_are_scored_on_the_new_and_on_the_old_test_set(folder, adapted):
    said, reports = adapted[0], folder / "runs/adapted/eval"
    assert "runs/base (before) -> this run (after), paired bootstrap" in said
    assert "the test set of new, 10 sentences:\nBLEU = " in said
    assert "the test set of runs/base, 20 sentences:\nBLEU = " in said
    bleu = {
        name: json.loads((reports / f"{name}.json").read_text())["scores"][0]["value"]
        for name in ("test", "test.init", "old", "old.init")
    }
    assert bleu["test"] > bleu["test.init"]  # it has learnt the new order
    own = json.loads((folder / "runs/base/eval/test.json").read_text())["scores"][0]["value"]
    assert bleu["old.init"] == own
    assert f"BLEU = {bleu['old.init']:.1f} -> {bleu['old']:.1f} (" in said
    assert len((reports / "old.hyp.txt").read_text("utf-8").split("\n")) == 21


def test_the_manifests_keep_the_ancestry_through_two_generations(folder, adapted, run):
    second = run(folder, *new_run("second", "train.epochs=1", model="runs/adapted/model"))
    assert second.returncode == 0, second.stderr.decode()
    for place in ("manifest.json", "model/MANIFEST.json"):
        kept = json.loads((folder / "runs/second" / place).read_text())
        found = kept.get("meta", kept)["ancestry"]
        assert [(one["name"], one["data"], one["pairs"]) for one in found] == [
            ("adapted", "new", 53),
            ("base", "en-de", 160),
        ]
        assert found[0]["weights"] == weights(folder / "runs/adapted/model")
        assert found[1]["weights"] == weights(folder / "runs/base/model")
    card = (folder / "runs/second/model/README.md").read_text("utf-8")
    assert f"went on from: base (en-de, licence: not stated; weights sha256 {found[1]['weights']})" in card
    shutil.copytree(folder / "runs/second/model", folder / "alone")  # a model folder without its run knows it, too
    for model in ("runs/second", "alone"):
        line = next(s for s in run(folder, "info", model).stdout.decode().split("\n") if "goes on from" in s)
        assert "adapted (en to de; new, 53 pairs; weights " in line
        assert ", and that from base (en to de; en-de, 160 pairs; weights " in line
        told = json.loads(run(folder, "info", model, "--json").stdout)
        assert told["ancestry"] == found
        assert told["data"]["train"] == 53


def test_without_a_test_set_both_are_scored_on_dev(folder, run):
    done = run(folder, *new_run("untested", "train.epochs=1"))
    assert done.returncode == 0, done.stderr.decode()
    assert "the dev set of new, which chose the weights, 6 sentences:\nBLEU = " in done.stdout.decode()


def test_updates_that_only_harm_leave_the_model_as_it_was(folder, run):
    done = run(folder, *new_run("harmed", "optim.lr=30", "schedule.warmup_steps=0", "optim.clip_norm=0"))
    assert done.returncode == 0, done.stderr.decode()
    assert weights(folder / "runs/harmed/model") == weights(folder / "runs/base/model")
    assert "Trained 15 updates" in done.stdout.decode()
    assert "(no better loss in 3 validations)" in done.stdout.decode()


@pytest.mark.parametrize("ema", ["0.0", "0.9"])
def test_killed_and_resumed_it_equals_an_unbroken_run(folder, run, start, ema):
    settings = ["train.epochs=null", "train.steps=40", f"train.ema={ema}", "train.patience=null"]
    whole = run(folder, *new_run(f"whole{ema}", *settings))
    assert whole.returncode == 0, whole.stderr.decode()
    place = folder / f"runs/broken{ema}"
    shutil.copytree(folder / "runs/base", folder / f"origin{ema}")
    process = start(folder, *new_run(f"broken{ema}", *settings, model=f"origin{ema}"))
    file = place / "metrics.jsonl"
    process.wait_for(lambda: file.exists() and file.read_bytes().count(b"\n") >= 12)
    process.signal(signal.SIGKILL)
    process.end()
    shutil.rmtree(folder / f"origin{ema}")  # a run that has begun does not need it
    done = run(folder, "train", "--resume", str(place))
    assert done.returncode == 0, done.stderr.decode()
    assert "The model before this run cannot be compared: " in done.stdout.decode()
    assert [metrics(place, kind) for kind in ("train", "dev")] == [
        metrics(folder / f"runs/whole{ema}", kind) for kind in ("train", "dev")
    ]
    assert weights(place / "model") == weights(folder / f"runs/whole{ema}/model")


def test_a_checkpoint_gives_its_average_and_names_its_run(folder, run):
    text = "init=runs/base new.en new.de train.epochs=5 train.ema=0.5 run.name=averaged"
    assert run(folder, "train", *text.split(), *HERE.split()).returncode == 0
    [checkpoint, *_] = sorted((folder / "runs/averaged/checkpoints").glob("step-*"), reverse=True)
    done = run(folder, "train", f"init={checkpoint}", "new.en", "new.de", *HERE.split(), "train.epochs=1")
    assert done.returncode == 0, done.stderr.decode()
    kept = json.loads((folder / "runs/new-from-averaged/manifest.json").read_text())["ancestry"]
    assert kept[0]["weights"] == hashlib.sha256((checkpoint / "ema.safetensors").read_bytes()).hexdigest()
    assert [one["name"] for one in kept] == ["averaged", "base"]


def test_a_dry_run_shows_the_model(folder, run):
    done = run(folder, *new_run("dry"), "--dry-run")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().startswith("init             runs/base: base (en to de; en-de, 160 pairs; weights ")
    assert not (folder / "runs/dry").exists()


SHAPE, TOKENIZER = "`init=runs/base` keeps the shape of its model, in which it is", "keeps the tokenizer of its model"
REFUSED = {
    "model.dim=64": (2, f"`model.dim` is 64, but {SHAPE} 32.\n\nhint: leave out `model.dim`, or leave out `init`."),
    "model.bias=false": (2, f"`model.bias` is false, but {SHAPE} true"),
    "data.inputs=[a:text]": (2, "`data.dev` must name tables beside `data.inputs`"),
    "tokenizer.vocab_size=99": (2, f"`tokenizer.vocab_size` is 99, but `init=runs/base` {TOKENIZER}"),
    "tokenizer.kind=bpe": (2, f"`tokenizer.kind` is bpe, but `init=runs/base` {TOKENIZER} (unigram)"),
    "model=base": (2, "`model=base` cannot be used with `init`, which keeps the shape of its model; leave one of them"),
    "tokenizer=bpe": (2, f"`tokenizer=bpe` cannot be used with `init`, which {TOKENIZER}"),
    "experiment=multi30k_en_de": (2, "`model=tiny` cannot be used with `init`, which keeps the shape of its model"),
    "init=nowhere": (1, "`nowhere` does not exist."),
    "init=": (2, "`init` must name a run or a model folder, but is empty."),
    "init=7": (1, "`7` does not exist."),
    "init=[7]": (2, "`init` must name a run or a model folder, but is [7]."),
    "data.train=[new.de,new.en]": (3, "the file names say de to en, but `init=runs/base` translates en to de"),
    "data.test=[test.de,test.en]": (3, "the file names say de to en, but `init=runs/base` translates en to de"),
    "data.src=de data.tgt=en data.train=[hub:a/b]":
        (2, "`init=runs/base` translates from en to de, but a model from de to en is needed here."),
    "data=tatoeba_en_es data.train=[]":
        (2, "`init=runs/base` translates from en to de, but the corpus tatoeba_en_es is en to es.\n\n"
            "hint: name your own text with `data.train`."),
}  # fmt: skip


@pytest.mark.parametrize("settings", REFUSED)
def test_what_does_not_fit_is_named(settings, folder, run):
    text = [] if "data.train" in settings else ["new.en", "new.de"]
    base = [] if settings.startswith("init") else ["init=runs/base"]
    done = run(folder, "train", *base, *text, *settings.split())
    code, sentence = REFUSED[settings]
    assert done.returncode == code
    assert f"\nmt train: {sentence}" in f"\n{done.stderr.decode()}"
    assert done.stdout == b""


def test_another_language_is_a_warning_because_a_language_has_several_codes(folder, run):
    for name, side in (("new.en", "xx.en"), ("new.de", "xx.nl")):
        shutil.copy(folder / name, folder / side)
    done = run(folder, "train", "init=runs/base", "xx.en", "xx.nl", "--dry-run", *HERE.split())
    assert done.returncode == 0, done.stderr.decode()
    assert "`init=runs/base` translates from en to de, not from en to nl." in done.stderr.decode()


def test_a_run_keeps_the_model_it_began_with(folder, adapted, run):
    refused = run(folder, "train", "--resume", "runs/adapted", "init=runs/base")
    assert refused.returncode == 2
    assert (
        "`init=runs/base` cannot be used with --resume: a run keeps the model it began with." in refused.stderr.decode()
    )
    shutil.copytree(folder / "runs/base", folder / "runs/twin")
    refused = run(folder, *new_run("adapted", "data.test=[test.en,test.de]", "optim.lr=2e-3", model="runs/twin"))
    assert refused.returncode == 2
    assert "`init.path` was runs/base when `runs/adapted` was started, but is runs/twin now" in refused.stderr.decode()


def test_a_file_of_settings_may_name_the_model(folder, run):
    for number, text in enumerate(("init: runs/base", "init:\n  path: runs/base")):
        (folder / f"my{number}.yaml").write_text(
            f"{text}\ndata:\n  train: [new.en, new.de]\noptim:\n  lr: 0.001\n", encoding="utf-8"
        )
        done = run(folder, "train", "--config", f"my{number}.yaml", "--cfg", "job")
        assert done.returncode == 0, done.stderr.decode()
        shown = done.stdout.decode()
        for line in ("  path: runs/base", "  dim: 32", "  lr: 0.001", "  warmup_steps: 20", "  validate_every: auto"):
            assert f"{line}\n" in shown
    (folder / "bad.yaml").write_text("init: runs/base\nmodel: base\n", encoding="utf-8")
    refused = run(folder, "train", "--config", "bad.yaml", "--cfg", "job")
    assert refused.returncode == 2
    assert "`model=base` cannot be used with `init`, which keeps the shape of its model" in refused.stderr.decode()
