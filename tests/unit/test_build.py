"""What two sections must agree on, and what is read for training."""

import math
import random
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from toy import number_pairs

from mt.alignment.heads import AlignmentHeads
from mt.build import (
    check,
    describe,
    dry_run,
    make_attention_logger,
    make_model,
    make_stream,
    make_trainer,
    own_device,
    prepare_data,
    train,
)
from mt.checkpoint import random_state
from mt.cli.compose import compose
from mt.config import (
    AlignmentConfig,
    BatchConfig,
    Config,
    DataConfig,
    DecodeConfig,
    ModelConfig,
    OptimConfig,
    OptimizerKind,
    Positions,
    Precision,
    RunConfig,
    ScheduleConfig,
    ScheduleKind,
    Subset,
    TokenizerConfig,
    TrainConfig,
    Tying,
    Watch,
)
from mt.config.from_json import typed
from mt.errors import CheckpointError, ConfigError
from mt.text.sentences import Usual
from mt.train.acceleration.memory import worst_batches
from mt.train.evaluation_set import test_set
from mt.train.guided_alignment import GuidedAlignment
from mt.train.objective import TranslationLoss
from mt.train.objectives import make_objective
from mt.train.run_folder import RunFolder

test_set.__test__ = False  # it is no test
GOLDEN = Path(__file__).resolve().parents[1] / "golden/schema-1/runs/golden"

# ---------------------------------------------------------------- sections that must agree


def config(**sections) -> Config:
    return Config(**{"train": TrainConfig(steps=5), **sections})


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"tokenizer": TokenizerConfig(joint=False)},
         "`model.tying` is all, which needs a joint vocabulary. hint: set `tokenizer.joint=true`"),
        ({"schedule": ScheduleConfig(name=ScheduleKind.cosine), "train": TrainConfig(patience=3)},
         "`schedule.name` is cosine, which must know where the run ends. hint: set `train.steps`"),
        ({"batch": BatchConfig(max_length=600)},
         "`batch.max_length` must be at most `model.max_length`, which is 512, but is 600. hint: raise `model."),
        ({"alignment": AlignmentConfig(links=["a.links"], layer=4)},
         "`alignment.layer` must be from 1 to 3 (`model.decoder_layers`), but is 4."),
        ({"alignment": AlignmentConfig(links=["a.links"], head=5)},
         "`alignment.head` must be from 1 to 4 (`model.heads`), but is 5."),
        ({"decode": DecodeConfig(min_length=50, max_length=20)},
         "`decode.min_length` must be below `decode.max_length` (20), which counts the end mark, but is 50."),
        ({"decode": DecodeConfig(min_ratio=3.0)},
         "`decode.min_ratio` must be at most `decode.max_ratio` (2), but is 3.0. hint: lower it, or raise `decode."),
    ],
)  # fmt: skip
def test_sections_that_disagree_are_refused(sections, sentence):
    with pytest.raises(ConfigError) as refused:
        check(config(**sections))
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(("setting", "processes"), [("batch.accumulate=3", 2), ("tokenizer.joint=false", 1)])
def test_what_a_hint_says_to_set_agrees(setting, processes):
    with pytest.raises(ConfigError) as refused:
        check(compose([setting]), processes=processes)
    typed = re.findall(r"`([^`]+=[^`]+)`", refused.value.hint)
    assert typed
    for other in typed:
        kept = [] if other.partition("=")[0] in setting else [setting]
        check(compose([*kept, other]), processes=processes)


@pytest.mark.parametrize(
    "sections",
    [
        {}, {"tokenizer": TokenizerConfig(joint=False), "model": ModelConfig(tying=Tying.decoder)},
        {"schedule": ScheduleConfig(name=ScheduleKind.wsd)},
        {"schedule": ScheduleConfig(name=ScheduleKind.constant), "train": TrainConfig(patience=3)},
        {"schedule": ScheduleConfig(name=ScheduleKind.linear), "train": TrainConfig(patience=3, minutes=1)},
        {"batch": BatchConfig(max_length=600), "model": ModelConfig(positions=Positions.rotary)},
        {"alignment": AlignmentConfig(links=["a.links"], layer=3, head=4)},
        {"alignment": AlignmentConfig(layer=9, head=9)},
        {"decode": DecodeConfig(min_length=19, max_length=20)},
        {"decode": DecodeConfig(min_ratio=3.0, max_ratio=3.0)},
    ],
)  # fmt: skip
def test_sections_that_agree_pass(sections):
    check(config(**sections))


@pytest.mark.parametrize(("batches", "processes", "enough"), [(1, 4, 4), (3, 2, 4), (9, 8, 16)])
def test_batches_that_cannot_be_distributed_evenly_are_refused(batches, processes, enough):
    some = config(batch=BatchConfig(accumulate=batches))
    check(some)
    with pytest.raises(ConfigError) as refused:
        check(some, processes=processes)
    assert str(refused.value) == (
        f"`batch.accumulate` must be a multiple of the {processes} processes, which share the batches of an update, "
        f"but is {batches}. hint: set `batch.accumulate={enough}`."
    )
    check(config(batch=BatchConfig(accumulate=enough)), processes=processes)


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert own_device("cuda:1") == torch.device("cuda:1")
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert (own_device("cuda"), own_device("auto"), own_device("cpu")) == (
        torch.device("cuda:1"), torch.device("cuda:1"), torch.device("cpu")
    )  # fmt: skip
    with pytest.raises(
        ConfigError,
        match=r"`train.device` is cuda:1, but each of 8 processes needs a GPU .* hint: set `train\.device=cuda",
    ):
        own_device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match="the device is cuda:2, but this machine"):
        own_device("cuda")


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


@pytest.mark.parametrize(
    ("layers", "layer", "expected"), [(3, None, 1), (2, None, 0), (1, None, 0), (3, 3, 2), (3, 1, 0)]
)
def test_the_guided_head_is_the_configured_one_or_one_of_the_last_layer_but_one(files, layers, layer, expected):
    Path("train.links").write_text("0-0\n" * 60)
    small = ModelConfig(dim=16, heads=2, ffn_dim=24, encoder_layers=1, decoder_layers=layers)
    settings = own(alignment=AlignmentConfig(links=["train.links"], layer=layer, head=2), model=small)
    prepared = prepare_data(settings)
    assert len(prepared.links) == len(prepared.train)
    guided = make_objective(settings, prepared, make_model(settings, prepared, torch.device("cpu")), Precision.fp32)
    assert guided.heads == AlignmentHeads(expected, (1,), shifted=True)


def test_memory_is_measured_and_updates_are_accelerated_with_guided_alignment(files, monkeypatch):
    """Memory is measured with alignment targets, and updates with one are no CUDA graphs."""
    Path("train.links").write_text("0-0\n" * 60)
    small = ModelConfig(dim=16, heads=2, ffn_dim=24, encoder_layers=1, decoder_layers=2)
    settings = own(alignment=AlignmentConfig(links=["train.links"]), model=small, batch=BatchConfig(tokens="auto"))
    tried, guided = [], []

    def budget(attempt, corpus, *args, **options):
        for batch in worst_batches(100, shortest=2, longest=5, vocabularies=(9, 9)):
            tried.append(batch.target_layout.num_rows)
            attempt(batch)
        return 512

    largest = GuidedAlignment.prepare_largest

    def prepare_largest(self, batch):
        target = largest(self, batch)
        guided.append(int(target.num_rows))
        return target

    monkeypatch.setattr(GuidedAlignment, "prepare_largest", prepare_largest)
    monkeypatch.setattr("mt.build.find_budget", budget)
    monkeypatch.setattr(
        "mt.build.accelerate", lambda eager, *args: (guided.append(eager.objective.heads.layer), eager)[1]
    )
    prepared = prepare_data(settings)
    model = make_model(settings, prepared, torch.device("cpu"))
    assert make_trainer(settings, prepared, RunFolder(files / "run"), model).batch.budget == 512
    assert guided == [*tried, 0] and tried == [100, 100]


def test_a_model_that_no_folder_may_hold_is_refused_before_it_takes_memory(files):
    settings = own(model=ModelConfig(ffn_dim=10**9))
    with pytest.raises(ConfigError, match=r"^`model\.ffn_dim` must be at most 131,072, but is 1000000000\.$"):
        make_model(settings, prepare_data(settings), torch.device("cpu"))


def test_every_random_number_of_a_run_begins_at_its_seed(files):
    settings = own()
    prepared, states = prepare_data(settings), []
    for _ in range(2):
        random.seed()
        torch.seed()
        make_model(settings, prepared, torch.device("cpu"))
        states.append(random_state())
    assert states[0] == states[1]


def test_a_share_of_the_pairs_comes_in_another_writing_and_a_line_says_so(files, caplog):
    caplog.set_level("INFO", "mt")
    settings = own()
    prepared, plain = prepare_data(settings), []
    for settings.data.augment, told in ((0.0, 0), (0.5, 1)):
        caplog.clear()
        stream = make_stream(settings, prepared, settings.batch, torch.device("cpu"))
        plain.append(next(stream).target_out.tolist())
        said = "up to 50% of the pairs in capitals, in small letters or without their last mark (`data.augment`)"
        assert caplog.messages.count(said) == told
    assert plain[0] != plain[1]


def test_links_without_weight_are_not_read(files):
    settings = own(alignment=AlignmentConfig(links=["not.there"], weight=0))
    prepared = prepare_data(settings)
    assert prepared.links is None
    model = make_model(settings, prepared, torch.device("cpu"))
    assert isinstance(make_objective(settings, prepared, model, Precision.fp32), TranslationLoss)


def test_links_without_own_text_are_refused_before_a_download():
    with pytest.raises(ConfigError, match=r"`alignment.links` needs your own text"):
        prepare_data(config(alignment=AlignmentConfig(links=["a.links"])))


def test_without_attention_pairs_no_attention_is_logged(files):
    settings = own()
    prepared = prepare_data(settings)
    assert len(make_attention_logger(settings, prepared, max_length=64, guided=None).sources) == 3
    settings.train.attention_pairs = 1
    shown = []
    for subset in Subset:
        settings.data.subset = subset
        shown.append(make_attention_logger(settings, prepared, max_length=64, guided=None).sources)
    dev = [pair.src for pair in prepared.dev.pairs]
    assert shown == [[dev[len(dev) // 2]], [dev[0]]]  # the middle one; in runs of older versions the first
    settings.train.attention_pairs = None
    assert make_attention_logger(settings, prepared, max_length=64, guided=None) is None


def test_refused_and_limited_pairs_are_counted(files):
    Path("train.tsv").write_text(Path("train.tsv").read_text(encoding="utf-8") + "\teins\none\t\n", encoding="utf-8")
    found = prepare_data(own())
    assert (len(found.train), found.refusals["empty"], found.refusals["read"]) == (60, 2, 62)
    assert len(prepare_data(own(data={"limit": 10})).train) == 10


def test_the_model_knows_what_it_was_trained_on(files):
    text = Path("train.tsv").read_text(encoding="utf-8").splitlines()
    Path("train.tsv").write_text("".join(f"One. Two. {line}\n" for line in text), encoding="utf-8")
    prepared = prepare_data(own())
    description = describe(own(), prepared, Precision.fp32)
    assert (
        description.usual
        == prepared.usual
        == Usual(int(prepared.train.source.lengths().max()), 3, prepared.usual.ratio, marked=False)
    )
    assert description.usual_ratio == prepared.usual.ratio is not None
    Path("train.tsv").write_text("".join(line.replace("\t", ".\t", 1) + "\n" for line in text), encoding="utf-8")
    assert describe(own(), prepare_data(own()), Precision.fp32).usual_marked


@pytest.mark.parametrize(
    ("references", "watched", "said"),
    [
        (["Haus", "Hund", "alte Frau"], Watch.chrf,
         "BLEU cannot tell on this dev set, because most references have fewer than four words: chrF++ is watched "
         "instead"),
        (["これはとても古い橋です。"] * 3, Watch.bleu,
         "the target language is not known, and the references are written without spaces: BLEU splits them into "
         "characters (tok:char)."),
        (["one two three four five"] * 3, Watch.bleu, None),
    ],
)  # fmt: skip
def test_what_decides_is_a_score_that_can_tell(files, references, watched, said, caplog):
    caplog.set_level("INFO")
    Path("dev.tsv").write_text("".join(f"eins zwei\t{line}\n" for line in references), encoding="utf-8")
    prepared = prepare_data(own())
    small = ModelConfig(dim=16, heads=2, ffn_dim=24, encoder_layers=1, decoder_layers=1)
    model = make_model(own(model=small), prepared, torch.device("cpu"))
    trainer = make_trainer(own(model=small), prepared, RunFolder(files / "run"), model)
    assert (trainer.train.watch, trainer.state.watched) == (watched, watched.value)
    told = [line for line in caplog.messages if "BLEU" in line and "file names" not in line]
    assert told == ([said] if said else [])


def test_references_longer_than_a_translation_may_be_are_counted(files, caplog):
    small = ModelConfig(dim=16, heads=2, ffn_dim=24, encoder_layers=1, decoder_layers=1)

    def told(**decode):
        caplog.clear()
        settings = own(model=small, decode=DecodeConfig(**decode))
        prepared = prepare_data(settings)
        make_trainer(settings, prepared, RunFolder(files / "run"), make_model(settings, prepared, torch.device("cpu")))
        return [line for line in caplog.messages if "longer" in line]

    assert not told()
    [said] = told(max_ratio=0.5, max_extra=0)
    assert said.startswith("5 of 5 dev references are longer than a translation may be (`decode.max_ratio=0.5` times")
    ratio = float(re.findall(r"`decode\.max_ratio=([0-9.]+)`", said)[-1])
    assert not told(max_ratio=ratio, max_extra=0) and told(max_ratio=ratio - 0.1, max_extra=0)


@pytest.mark.parametrize(
    ("watch", "plan", "said"),
    [
        ("wer", "bleu, chrf, wer of 3; wer decides", "WER cannot tell on this dev set: "),
        ("bleu", "bleu, chrf of 3; bleu decides", "BLEU splits them into characters (tok:char)"),
    ],
)
def test_a_dry_run_says_what_will_be_computed_and_what_cannot_tell(files, watch, plan, said, caplog, capsys):
    Path("dev.tsv").write_text("eins zwei\tこれはとても古い橋です。\n" * 3, encoding="utf-8")
    small = ModelConfig(dim=16, heads=2, ffn_dim=24, encoder_layers=1, decoder_layers=1)
    dry_run(own(model=small, train=TrainConfig(steps=5, device="cpu", watch=Watch(watch), validate_every=2)))
    planned = "\nvalidation       every 2 updates, the loss of 3 dev pairs and "
    assert planned + plan + "\n" in capsys.readouterr().out
    assert any(said in line for line in caplog.messages)


def test_a_run_is_validated_whatever_beams_its_model_will_have(files):
    small = ModelConfig(dim=16, heads=2, ffn_dim=24, encoder_layers=1, decoder_layers=1)
    section = own(model=small, decode=DecodeConfig(beam=4, groups=2, coverage_penalty=0.1))
    prepared = prepare_data(section)
    model = make_model(section, prepared, torch.device("cpu"))
    assert len(make_trainer(section, prepared, RunFolder(files / "run"), model).validator(model).hypotheses) == 5


@pytest.mark.parametrize(("positions", "kept"), [(Positions.sinusoidal, 4), (Positions.rotary, 5)])
def test_dev_sentences_beyond_the_table_of_positions_are_left_out(files, positions, kept, caplog):
    lines = Path("dev.tsv").read_text(encoding="utf-8").split("\n")
    Path("dev.tsv").write_text("\n".join([f"{'one ' * 70}\teins", *lines[1:]]), encoding="utf-8")
    sections = {"batch": BatchConfig(max_length=32), "model": ModelConfig(max_length=32, positions=positions)}
    found = prepare_data(own(**sections))
    assert len(found.dev) == kept and len(found.corpus.dev) == 5
    assert ("left out 1 dev pair with more than 32 pieces (`model.max_length`) on a side" in caplog.messages) == (
        kept == 4
    )


def test_the_test_set_is_that_of_the_run_or_of_files(files):
    folder = RunFolder(files / "runs" / "x")
    folder.begin(own().to_dict(), Config().to_dict())
    folder.manifest.write_text("{}")
    (folder.checkpoints / "step-00000001").mkdir(parents=True)
    pairs, tgt = test_set(folder.path, None, None)
    assert ([p.src for p in pairs], tgt) == ([p.src for p in number_pairs(6, 2)], "tgt")
    assert test_set(None, None, None)[0] == pairs  # the newest run
    assert test_set(folder.path, None, "ja") == (pairs, "ja")


def test_files_need_no_run_and_no_model(files):
    pairs, tgt = test_set(None, ["dev.tsv"], "zh")
    assert (len(pairs), tgt) == (5, "zh")
    with pytest.raises(CheckpointError, match="there is no run in `runs`"):
        test_set(None, None, None)


def test_without_a_test_set_it_says_how_to_name_one(files):
    shutil.copytree(GOLDEN / "model", files / "model")
    told = r"is not in a run folder, so it has no test set. hint: name one with `--test SOURCE TARGET`\.$"
    with pytest.raises(ConfigError, match=told):
        test_set(files / "model", None, None)
    folder = RunFolder(files / "run")
    folder.begin(config(data=DataConfig(train=["train.tsv"], dev=["dev.tsv"])).to_dict(), Config().to_dict())
    folder.manifest.write_text("{}")
    with pytest.raises(ConfigError, match=r"run` has no test set. hint: name one, as in `--test a.src a.tgt`\.$"):
        test_set(folder.path, None, None)


def test_a_run_needs_a_name_for_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^`run.name` must name the folder of the run, but is null\.$"):
        train(Config(data=DataConfig(train=["a.en", "a.de"])))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"data": {"train": ["a.en", "a.de"]}},
         "`data` must be a DataConfig, but is {\"train\": [\"a.en\", \"a.de\"]}. hint: write `data=DataConfig(...)`."),
        ({"model": ModelConfig(bias="no")}, "`model`: `bias` must be true or false, but is 'no'."),
        ({"optim": OptimConfig(name="adam")}, "`optim`: `name` must be one of adamw, muon, but is 'adam'."),
    ],
)  # fmt: skip
def test_settings_from_python_have_the_types_that_settings_of_files_have(given, told):
    with pytest.raises(ConfigError, match=f"^{re.escape(told)}$"):
        train(Config(**given))


def test_settings_from_python_may_be_paths_and_names(tmp_path):
    data = DataConfig(train=[tmp_path / "a.en", tmp_path / "a.de"], root=tmp_path)
    made = typed(Config(data=data, optim=OptimConfig(name="adamw"), decode=DecodeConfig(patience=math.inf)))
    assert made.data.train == [str(tmp_path / "a.en"), str(tmp_path / "a.de")]
    assert made.data.root == str(tmp_path)
    assert made.optim.name is OptimizerKind.adamw
    assert made == typed(made)


def test_a_run_that_learns_its_text_by_heart_is_told_so(files, caplog):
    caplog.set_level("INFO", "mt")
    pairs = number_pairs(40, 1)
    # The target of each dev source is that of the next, so a model that is sure of what it reads is far from right.
    wrong = "".join(f"{one.src}\t{other.tgt}\n" for one, other in pairwise(pairs))
    Path("dev.tsv").write_text(wrong, encoding="utf-8")
    small = ModelConfig(dim=32, heads=2, ffn_dim=64, encoder_layers=1, decoder_layers=1, dropout=0.0)
    schedule = TrainConfig(steps=120, validate_every=40)
    train(own(model=small, train=schedule, run=RunConfig(name="run"), optim=OptimConfig(lr=1e-2)))
    told = [line for line in caplog.messages if line.startswith("The loss on dev rose from ")]
    assert len(told) == 1 and "learns its text by heart" in told[0]
