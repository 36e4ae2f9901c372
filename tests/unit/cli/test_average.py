"""`mt average`: the mean of some checkpoints as a model of its own, and refusals that name what differs."""

from pathlib import Path

import pytest
import torch
from toy import number_pairs, number_tokenizer, tiny_config, tiny_model

import mt
from mt.checkpoint import Checkpoints, write_folder
from mt.checkpoint.model_folder import Description, read_model
from mt.cli.average import run
from mt.config import DecodeConfig, Precision, TokenizerConfig
from mt.errors import CheckpointError, ConfigError
from mt.text.tokenizer_training import train_tokenizer


def weights(seed, **options):
    return {name: p.detach() for name, p in tiny_model(seed, **options).named_parameters()}


def files(tokenizer=None, **changes):
    tokenizer = tokenizer or number_tokenizer()
    values = {
        "src": "en", "tgt": "de", "src_size": tokenizer.src_size, "tgt_size": tokenizer.tgt_size, "max_length": 64,
        "precision": Precision.fp32, "model": tiny_config(), "decode": DecodeConfig(beam=2),
    }  # fmt: skip
    return Description(**{**values, **changes}).files(tokenizer)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A run with checkpoints 1, 2, 3, of which 2 is best and then 3, each with the weights of its own seed."""
    monkeypatch.chdir(tmp_path)
    for step, score in {1: 5.0, 2: 9.0, 3: 7.0}.items():
        checkpoints = Checkpoints(tmp_path / "run/checkpoints", 5, files())
        checkpoints.save(step, model=weights(step), optimizer={}, state={}, score=score)
    return tmp_path


def write(name, *, seed=0, config=None, **changes):
    model = config or {}
    write_folder(
        mt_path(name),
        {**files(**changes, model=tiny_config(**model)), "model.safetensors": weights(seed, **model)},
    )
    return name


def mt_path(name):
    from pathlib import Path

    return Path(name)


def assert_mean(folder, *seeds):
    found = read_model(folder).tensors
    wanted = [weights(seed) for seed in seeds]
    assert found.keys() == wanted[0].keys()
    for name, tensor in found.items():
        mean = torch.stack([w[name].double() for w in wanted]).mean(0).float()
        assert torch.equal(tensor, mean), name


@pytest.mark.parametrize(
    ("argv", "seeds"),
    [
        (["run", "--best", "2"], [2, 3]),
        (["run", "--last", "2"], [3, 2]),
        (["run", "--last", "3"], [1, 2, 3]),
        (["run/checkpoints/step-00000001", "run/checkpoints/step-00000003"], [1, 3]),
    ],
)
def test_the_mean_of_what_was_asked_for(home, argv, seeds, capsys):
    assert run([*argv, "-o", "mean"]) == 0
    assert_mean(home / "mean", *seeds)
    said = capsys.readouterr().out.split("\n")
    assert said[0] == f"The mean of {len(seeds)} models is in mean:"
    assert sorted(line.strip()[-1] for line in said[1:-1]) == sorted(map(str, seeds))


def test_the_mean_is_a_model_that_translates_and_says_what_it_is(home):
    run(["run", "--best", "2", "-o", "mean"])
    assert len(mt.load(home / "mean", device="cpu").translate(["one two", ""])) == 2
    card = (home / "mean/README.md").read_text()
    assert "# en to de: the mean of 2 models" in card
    assert "- run/checkpoints/step-00000002\n- run/checkpoints/step-00000003\n" in card and str(home) not in card
    assert f"{sum(p.numel() for p in tiny_model().parameters()):,} parameters" in card


def test_the_running_mean_of_a_checkpoint_is_what_counts(home):
    means = {name: torch.zeros_like(tensor) for name, tensor in weights(4).items()}
    path = Checkpoints(home / "ema/checkpoints", 5, files()).save(
        4, model=weights(4), ema=means, optimizer={}, state={}
    )
    run([str(path), "run/checkpoints/step-00000001", "-o", "mean"])
    found = read_model(home / "mean").tensors
    assert all(torch.equal(found[name], tensor / 2) for name, tensor in weights(1).items())


def test_models_of_different_lengths_are_for_the_shorter(home):
    write("short", max_length=16)
    write("long", seed=1)
    run(["long", "short", "-o", "mean"])
    assert read_model(home / "mean").description.max_length == 16
    assert_mean(home / "mean", 0, 1)


def refuse(kind, message, *argv):
    with pytest.raises(kind, match=message):
        run([*argv, "-o", "mean"])
    assert not mt_path("mean").exists()


def test_other_architectures_are_refused_by_the_setting_that_differs(home):
    write("one")
    write("other", config={"ffn_dim": 32})
    refuse(ConfigError, r"^one and other cannot be averaged: `model\.ffn_dim` is 24 in the first, but 32 in the ",
           "one", "other")  # fmt: skip
    write("dropped", config={"dropout": 0.3})
    assert run(["one", "dropped", "-o", "mean"]) == 0


def test_other_pieces_are_refused(home):
    pairs = number_pairs(50, seed=9)
    section = TokenizerConfig(vocab_size=number_tokenizer().tgt_size, byte_fallback=False)
    other = train_tokenizer([p.tgt for p in pairs], [p.src + " x" for p in pairs], section, home / "cache")
    assert other.tgt_size == number_tokenizer().tgt_size
    write("one")
    write("other", tokenizer=other)
    refuse(ConfigError, r"^one and other cannot be averaged: their tokenizers differ", "one", "other")


def test_other_directions_are_refused(home):
    write("one")
    write("back", src="de", tgt="en")
    refuse(
        ConfigError, r"^one and back cannot be averaged: one translates en to de, the other de to en\.$", "one", "back"
    )


def test_what_is_missing_or_too_little_is_refused(home):
    write("one")
    refuse(ConfigError, r"^an average needs at least two models, but only one is given\. hint: name more\.$", "one")
    refuse(ConfigError, r"^run is a run: choose some of its checkpoints with --best N or --last N\. hint: ", "run")
    refuse(ConfigError, r"^--last and --best need a run, but one is a single model\. hint: ", "one", "--best", "2")
    Path("begun").mkdir()
    Path("begun/config.yaml").touch()
    refuse(ConfigError, r"^--last and --best need a run, but begun has no checkpoints\. hint: ", "begun", "--best", "2")
    refuse(
        CheckpointError,
        r"^`run` has only 3 validated checkpoints, but `--last` needs 4. hint: give a smaller",
        "run",
        "--last",
        "4",
    )
    refuse(CheckpointError, r"^`rnu` does not exist. hint: did you mean `run`\?$", "rnu", "--best", "2")
    (home / "run/checkpoints/step-00000002/model.safetensors").write_bytes(b"?")
    refuse(
        CheckpointError,
        r"^`run` has only 2 validated checkpoints, but `--best` needs 3. hint: .* `train.keep`\.$",
        "run",
        "--best",
        "3",
    )
    refuse(CheckpointError, r"step-00000002/model\.safetensors` must have \d+ bytes, but has 1\.$",
           "run/checkpoints/step-00000002", "one")  # fmt: skip


def test_a_folder_that_is_there_stays(home):
    write("one")
    with pytest.raises(ConfigError, match=r"^`one` already exists. hint: name a new folder\.$"):
        run(["run", "--best", "2", "-o", "one"])
    assert_mean(home / "one", 0)


BEST = "run/checkpoints/step-00000002"


@pytest.mark.parametrize("argv", [["run", "run", "--best", "1"], [BEST, BEST], [BEST, "run/checkpoints/best"]])
def test_a_model_named_twice_is_refused(home, argv):
    with pytest.raises(ConfigError, match=r"step-00000002` is named twice. hint: name each model once"):
        run([*argv, "-o", "mean"])
    assert not (home / "mean").exists()


def test_all_names_in_the_folder_of_checkpoints_are_refused_with_what_to_do(home):
    every = map(str, Path("run/checkpoints").iterdir())  # `run/checkpoints/*`
    with pytest.raises(ConfigError, match=r"each model once; `best` and `latest` are other names .* `--best N` of its"):
        run([*every, "-o", "mean"])
