"""What a command must not import: a start is mostly imports, and each of these takes from a tenth to two seconds."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests/golden/schema-1/runs/golden"
HEAVY = {
    "datasets", "hydra", "matplotlib", "omegaconf", "pandas", "pyarrow", "sacrebleu", "sympy", "tensorboard",
    "torch._dynamo", "torch._inductor", "torch.distributed.fsdp", "torch.distributed.tensor",
    "torch.utils.tensorboard", "transformers", "yaml",
}  # fmt: skip
TRAINING = {
    "mt.data.batching",
    "mt.build",
    "mt.data.clean",
    "mt.data.prepare",
    "mt.train.optim",
    "mt.train.run",
    "mt.train",
}


def imported_by(script: str, folder: Path, *argv: str) -> list[set[str]]:
    """The modules that are there after each time the script calls `look()`."""
    head = "import json, sys\nseen = []\ndef look(): seen.append(sorted(sys.modules))\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{head}{script}\nopen('seen.json', 'w').write(json.dumps(seen))", *argv],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, input=b"one two\n",
        capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return [set(names) for names in json.loads((folder / "seen.json").read_text())]


def test_verbs_that_use_a_model_import_nothing_that_only_others_need(tmp_path):
    """One process does them all, each after those that need less."""
    shutil.copytree(GOLDEN, tmp_path / "run")
    (tmp_path / "a.src").write_text("one two\n")
    (tmp_path / "a.tgt").write_text("eins zwei\n")
    pair = ["--source", "a.src", "--target", "a.tgt"]
    verbs = {
        "translate": ["run", "--device", "cpu"],
        "score": ["run", *pair],
        "align": ["run", *pair],
        "inspect": ["attention", "run", "--text", "one two"],
    }
    lines = [f"assert main({[verb, *rest]}) == 0; look()" for verb, rest in verbs.items()]
    seen = imported_by("from mt.cli.main import main\n" + "\n".join(lines), tmp_path)
    assert "torch" in seen[0] and "sentencepiece" in seen[0]
    assert {verb: (HEAVY | TRAINING) & there for verb, there in zip(verbs, seen, strict=True)} == {
        v: set() for v in verbs
    }
    assert not [name for name in seen[0] if name.startswith(("mt.interpret", "mt.postprocess"))]


def test_a_run_that_is_not_sharded_imports_neither_sharding_nor_readers_of_other_files(tmp_path):
    """Nor the compiler, which torch's optimisers import when they are first used, nor what arrays of pyarrow do."""
    update = """
import mt.build, torch
from pathlib import Path
from mt.config import OptimConfig
from mt.data.batching import TokenizedCorpus
from mt.data.corpus.pair import Origin, Pair
from mt.text.tokenizer import Tokenizer
from mt.train.optim import make_optimizer, step_if
corpus = TokenizedCorpus([Pair("one two", "eins zwei", Origin("a.en", 1))], Tokenizer.load(Path(sys.argv[1])))
assert corpus.pairs[0].tgt == "eins zwei" and len(corpus.target[0]) == corpus.target.lengths()[0] > 0
assert corpus.target.count_token(corpus.target[0][0]) > 0
model = torch.nn.Linear(2, 2)
optimizer = make_optimizer(model, OptimConfig())
model(torch.ones(1, 2)).sum().backward()
before = model.bias.detach().clone()
step_if(optimizer, torch.tensor(True))
assert not torch.equal(model.bias, before)
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
look()"""
    (seen,) = imported_by(update, tmp_path, str(GOLDEN / "model"))
    assert "mt.train.trainer" in seen
    assert HEAVY & seen == {"pyarrow", "yaml"}  # the mapped table of the text, and the run's settings


def test_info_needs_no_more_than_the_model_and_the_settings_of_its_run(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "run")
    (seen,) = imported_by("from mt.cli.main import main; assert main(['info', 'run']) == 0; look()", tmp_path)
    assert (HEAVY | TRAINING) & seen == {"yaml", "mt.train"}


def test_scores_need_no_torch_compiler_and_no_sharding(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "run")
    (tmp_path / "a.src").write_text("one two\n" * 2)
    (tmp_path / "a.tgt").write_text("eins zwei\n" * 2)
    verb = ["evaluate", "run", "--test", "a.src", "a.tgt", "--bootstrap", "0"]
    (seen,) = imported_by(f"from mt.cli.main import main; assert main({verb}) == 0; look()", tmp_path)
    assert HEAVY & seen == {"sacrebleu", "yaml"}


def test_an_export_to_ctranslate2_needs_nothing_of_other_toolkits(tmp_path):
    pytest.importorskip("ctranslate2")
    shutil.copytree(GOLDEN, tmp_path / "run")
    (seen,) = imported_by(
        "from mt.cli.main import main; assert main(['export', 'ct2', 'run', 'out']) == 0; look()", tmp_path
    )
    assert "ctranslate2.specs" in seen
    assert (HEAVY | {"huggingface_hub", "ctranslate2.converters"}) & seen == {"yaml"}  # the settings of its run


def test_runs_are_listed_and_compared_without_torch(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "runs/run")
    (seen,) = imported_by(
        "from mt.cli.main import main; assert main(['runs']) == 0\n"
        "assert main(['runs', 'compare', 'runs/run', 'runs/run', '-o', 'page.html']) == 0; look()", tmp_path,
    )  # fmt: skip
    assert {"torch", "numpy", *HEAVY} & seen == {"yaml"}


@pytest.mark.parametrize(
    "verb",
    ["translate", "evaluate", "inspect", "align", "score", "average", "runs", "info", "doctor", "export", "serve"],
)
def test_help_of_a_verb_and_a_mistake_in_its_options_import_no_torch(verb, tmp_path):
    script = (
        f"from mt.cli.main import main\nmain([{verb!r}, '--help']); assert main([{verb!r}, '--nosuch']) == 2; look()"
    )
    (seen,) = imported_by(script, tmp_path)
    assert f"mt.cli.{verb}" in seen
    assert not {"torch", "numpy", "rich", *HEAVY} & seen
