"""What two sections must agree on, which weights are handed on, and what is read for training."""

from pathlib import Path

import pytest
import torch
from toy import number_corpus, number_pairs, number_tokenizer, tiny_model, updater_of

from mt.build import check, choose_weights, conclude, load, read_material
from mt.checkpoint import Checkpoints
from mt.config import (
    BatchConfig,
    Config,
    DataConfig,
    ModelConfig,
    Positions,
    ScheduleConfig,
    ScheduleKind,
    TokenizerConfig,
    TrainConfig,
    Tying,
    Watch,
)
from mt.corpus.catalog import Corpus
from mt.errors import CheckpointError, ConfigError
from mt.material import Material, test_set
from mt.train.folder import RunFolder
from mt.train.state import TrainState
from mt.train.validate import Validation

test_set.__test__ = False  # it is no test

# ---------------------------------------------------------------- sections that must agree


def config(**sections) -> Config:
    return Config(**{"train": TrainConfig(steps=5), **sections})


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"tokenizer": TokenizerConfig(joint=False)},
         "`model.tying` is all, which needs one vocabulary; set `tokenizer.joint=true`"),
        ({"schedule": ScheduleConfig(name=ScheduleKind.cosine), "train": TrainConfig(patience=3)},
         "`schedule.name` is cosine, which must know where the run ends; set `train.steps`"),
        ({"batch": BatchConfig(max_length=600)},
         "`batch.max_length` is 600, but `model.max_length` gives the model 512 positions only"),
    ],
)  # fmt: skip
def test_sections_that_disagree_are_refused(sections, sentence):
    with pytest.raises(ConfigError) as refused:
        check(config(**sections))
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    "sections",
    [
        {}, {"tokenizer": TokenizerConfig(joint=False), "model": ModelConfig(tying=Tying.decoder)},
        {"schedule": ScheduleConfig(name=ScheduleKind.wsd)},
        {"schedule": ScheduleConfig(name=ScheduleKind.constant), "train": TrainConfig(patience=3)},
        {"schedule": ScheduleConfig(name=ScheduleKind.linear), "train": TrainConfig(patience=3, minutes=1)},
        {"batch": BatchConfig(max_length=600), "model": ModelConfig(positions=Positions.rotary)},
    ],
)  # fmt: skip
def test_sections_that_agree_pass(sections):
    check(config(**sections))


# ---------------------------------------------------------------- which weights are handed on


class FakeTrainer:
    """A model, checkpoints of it with scores, and a validator that knows what the mean is worth."""

    def __init__(self, folder: Path, scores: list[float | None], mean: float) -> None:
        self.updater, self.mean, self.asked = updater_of(tiny_model()), mean, 0
        self.checkpoints = Checkpoints(folder, keep=5)
        for step, score in enumerate(scores, 1):
            self.checkpoints.save(step, model=constant(float(step)), optimizer={}, state={}, files={}, score=score)

    def validator(self, model) -> Validation:
        self.asked += 1
        return Validation(-self.mean, self.mean, self.mean, [], [], [])


def constant(value: float) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(p, value) for name, p in tiny_model().named_parameters()}


def chosen(trainer: FakeTrainer, average: int, watch: Watch = Watch.bleu) -> float:
    """The one number that all weights have."""
    choose_weights(Config(train=TrainConfig(steps=1, average=average, keep=5, watch=watch)), trainer)  # pyright: ignore
    values = {value for p in trainer.updater.model.parameters() for value in p.unique().tolist()}
    assert len(values) == 1
    return values.pop()


@pytest.mark.parametrize(("mean", "wanted"), [(9.5, 3.0), (9.0, 3.0), (8.9, 4.0)])
def test_the_mean_of_the_best_is_taken_only_where_it_is_no_worse(tmp_path, mean, wanted, caplog):
    caplog.set_level("INFO", "mt")
    trainer = FakeTrainer(tmp_path, [1.0, 8.0, 2.0, 9.0], mean)  # the mean of steps 2 and 4 is 3
    assert chosen(trainer, average=2) == wanted
    assert caplog.messages[-1].endswith(f"taking the {'mean' if wanted == 3 else 'best'}")


@pytest.mark.parametrize(("mean", "wanted"), [(-2.0, 3.0), (-2.2, 4.0)])
def test_of_losses_the_lower_is_better(tmp_path, mean, wanted):
    assert chosen(FakeTrainer(tmp_path, [-9.0, -3.0, -8.0, -2.1], mean), average=2, watch=Watch.loss) == wanted


def test_without_averaging_the_best_is_taken_and_nothing_is_validated(tmp_path):
    trainer = FakeTrainer(tmp_path, [1.0, 8.0, 2.0], 99.0)
    assert (chosen(trainer, average=1), trainer.asked) == (2.0, 0)


def test_a_checkpoint_without_a_score_has_no_part_in_the_mean(tmp_path):
    trainer = FakeTrainer(tmp_path, [4.0, None, None], 99.0)
    assert (chosen(trainer, average=3), trainer.asked) == (1.0, 0)


def test_the_running_mean_is_handed_on_where_one_was_kept(tmp_path):
    trainer = FakeTrainer(tmp_path, [], 0.0)
    trainer.checkpoints.save(1, model=constant(1.0), ema=constant(5.0), optimizer={}, state={}, files={}, score=1.0)
    assert chosen(trainer, average=1) == 5.0


# ---------------------------------------------------------------- reading


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, (name, count) in enumerate({"train": 60, "dev": 5, "test": 6}.items()):
        pairs = number_pairs(count, seed)
        Path(f"{name}.tsv").write_text("".join(f"{p.src}\t{p.tgt}\n" for p in pairs), encoding="utf-8")
    return tmp_path


def own(**sections) -> Config:
    data = DataConfig(train=["train.tsv"], dev=["dev.tsv"], test=["test.tsv"], **sections.pop("data", {}))
    pieces = TokenizerConfig(vocab_size=60, byte_fallback=False)
    return config(data=data, tokenizer=pieces, **sections)


def test_refused_and_limited_pairs_are_counted(files):
    Path("train.tsv").write_text(Path("train.tsv").read_text(encoding="utf-8") + "\teins\none\t\n", encoding="utf-8")
    found = read_material(own())
    assert (len(found.train), found.refusals["empty"], found.refusals["read"]) == (60, 2, 62)
    assert len(read_material(own(data={"limit": 10})).train) == 10


@pytest.mark.parametrize(("positions", "kept"), [(Positions.sinusoidal, 4), (Positions.rotary, 5)])
def test_dev_sentences_beyond_the_table_of_positions_are_left_out(files, positions, kept, caplog):
    lines = Path("dev.tsv").read_text(encoding="utf-8").split("\n")
    Path("dev.tsv").write_text("\n".join([f"{'one ' * 70}\teins", *lines[1:]]), encoding="utf-8")
    sections = {"batch": BatchConfig(max_length=32), "model": ModelConfig(max_length=32, positions=positions)}
    found = read_material(own(**sections))
    assert len(found.dev) == kept and len(found.corpus.dev) == 5
    assert ("left out 1 dev pairs of more than 32 pieces (`model.max_length`) a side" in caplog.messages) == (kept == 4)


def test_the_test_set_is_that_of_the_run_or_of_files(files):
    folder = RunFolder(files / "runs" / "x")
    folder.begin(own().to_dict())
    folder.manifest.write_text("{}")
    (folder.checkpoints / "step-00000001").mkdir(parents=True)
    pairs, tgt = test_set(folder.path, None, None)
    assert ([p.src for p in pairs], tgt) == ([p.src for p in number_pairs(6, 2)], "tgt")
    assert test_set(None, None, None)[0] == pairs  # the newest run


def test_files_need_no_run_and_no_model(files):
    pairs, tgt = test_set(None, ["dev.tsv"], "zh")
    assert (len(pairs), tgt) == (5, "zh")
    with pytest.raises(CheckpointError, match="there is no run in runs/"):
        test_set(None, None, None)


def test_without_a_test_set_it_says_how_to_name_one(files):
    (files / "model").mkdir()
    with pytest.raises(ConfigError, match="lies in no run folder, so it has no test set; name one with --test"):
        test_set(files / "model", None, None)
    folder = RunFolder(files / "run")
    folder.begin(config(data=DataConfig(train=["train.tsv"], dev=["dev.tsv"])).to_dict())
    folder.manifest.write_text("{}")
    with pytest.raises(ConfigError, match=r"run was given no test set; name one with --test a.src a.tgt\.$"):
        test_set(folder.path, None, None)


def test_a_precision_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"`precision` must be one of auto, fp32, bf16, fp16, but is fp8\."):
        load("anywhere", precision="fp8")


# ---------------------------------------------------------------- the last words


@pytest.mark.parametrize(
    ("sources", "command"),
    [
        (["one " * 30, "one", "It's one of $HOME's `five`."], "echo 'It'\"'\"'s one of $HOME'\"'\"'s `five`.'"),
        (["It's one of $HOME's `five`.", "and one of the others here"], "echo 'and one of the others here'"),
        (["one"], "echo 'Some text.'"),
    ],
)
def test_the_next_command_uses_a_short_sentence_of_dev_and_rather_a_plain_one(tmp_path, capsys, sources, command):
    dev = [pair.__class__(text, "x", pair.origin) for text, pair in zip(sources, number_pairs(4), strict=False)]
    corpus = Corpus("en", "de", [], dev, [], name="x", licence="")
    material = Material(corpus, {}, number_tokenizer(), number_corpus(2), number_corpus(2))
    conclude(material, TrainState(step=7, seconds=90, finished="so"), RunFolder(tmp_path / "run"), None)
    said = capsys.readouterr().out
    assert "Trained 7 updates in 1.5 minutes (so)." in said
    assert f"{command} | mt translate {tmp_path}/run\n" in said
