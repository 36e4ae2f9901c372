"""Packages for Argos Translate: what is in them, our model out of them, and the rules that split sentences."""

import io
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy import number_pairs, number_tokenizer, tiny_config, tiny_model, trained_numbers

from mt.checkpoint import verify_folder, write_folder
from mt.checkpoint.model_folder import CARD, EMA, WEIGHTS, Description
from mt.cli.export import export_argos
from mt.cli.export import run as export
from mt.cli.import_model import run as bring_in
from mt.config import DecodeConfig, Positions, Precision, TokenizerConfig
from mt.errors import CheckpointError, ConfigError
from mt.files import read_json
from mt.interchange import argos
from mt.interchange.argos import LONGEST, Direction, check_package, read_package
from mt.interchange.ct2 import write_ct2
from mt.text.tokenizer_training import train_tokenizer

ROOT = Path(__file__).resolve().parents[3]
TOP = "translate-en_de-1_0"


def write_numbers(folder, languages=("en", "de"), weights=WEIGHTS):
    """A model folder of trained number words."""
    t, made = number_tokenizer(), trained_numbers()
    description = Description(
        src=languages[0], tgt=languages[1], src_size=t.src_size, tgt_size=t.tgt_size, max_length=64,
        precision=Precision.fp32, model=made.config, decode=DecodeConfig(),
    )  # fmt: skip
    contents = {**description.files(t), weights: dict(made.named_parameters()), CARD: b"# Numbers\n"}
    write_folder(folder, contents, meta={"step": 7, "name": "numbers"}, free={CARD})
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a model and its package."""
    pytest.importorskip("ctranslate2")
    folder = tmp_path_factory.mktemp("argos")
    export_argos(write_numbers(folder / "model"), folder / "numbers.argosmodel", "int8")
    return folder


def rewritten(package, to, change):
    """A package with other entries. Args: change: of a list of names and contents."""
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in change([(entry.filename, old.read(entry)) for entry in old.infolist()]):
            new.writestr(name, content)
    return to


def test_the_command_writes_a_package(made, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "model", "numbers")
    (tmp_path / "test.en").write_text("".join(f"{pair.src}\n" for pair in number_pairs(20, seed=5)))
    with caplog.at_level("INFO", "mt"):
        assert export(["argos", "numbers", "--sample", "test.en"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("The package for Argos Translate is in numbers.argosmodel (int8). To install it there:\n\n")
    assert said.endswith(
        "python -c \"import argostranslate.package as p; p.install_from_path('numbers.argosmodel')\"\n"
    )
    assert "verified on 20 sentences of test.en" in caplog.text
    assert {path.name for path in tmp_path.iterdir()} == {"numbers", "test.en", "numbers.argosmodel"}
    with zipfile.ZipFile("numbers.argosmodel") as package:
        names = {entry.removeprefix(f"{TOP}/") for entry in package.namelist()}
        metadata = package.read(f"{TOP}/metadata.json").decode()
    assert names == {
        "README.md", "metadata.json", "minisbd/rules.onnx", "model/config.json", "model/model.bin",
        "model/shared_vocabulary.json", "mt/MANIFEST.json", "mt/README.md", "mt/config.json", "mt/model.safetensors",
        "mt/tokenizer.model", "sentencepiece.model",
    }  # fmt: skip
    for part in ('"from_code": "en"', '"from_name": "English"', '"to_code": "de"', '"to_name": "German"'):
        assert part in metadata


def test_the_same_model_gives_the_same_package(made, tmp_path):
    export_argos(made / "model", tmp_path / "again.argosmodel", "int8")
    assert (tmp_path / "again.argosmodel").read_bytes() == (made / "numbers.argosmodel").read_bytes()
    with pytest.raises(ConfigError, match=r"again\.argosmodel` already exists\. hint: name a new f"):
        export_argos(made / "model", tmp_path / "again.argosmodel", "int8")


def test_a_full_disk_is_told_with_what_is_written(made, tmp_path, small_files):
    small_files(8000)
    with pytest.raises(CheckpointError, match=r"/engine` cannot be written: File too large\.$"):
        export_argos(made / "model", tmp_path / "a.argosmodel", "int8")
    with pytest.raises(CheckpointError, match=r"^`.*/out` cannot be written: File too large\.$"):
        bring_in(["argos", str(made / "numbers.argosmodel"), str(tmp_path / "out")])
    package = {"engine": tmp_path, "model": made / "model", "direction": Direction("en", "de")}
    with pytest.raises(CheckpointError, match=r"^`[^.]*/a\.argosmodel` cannot be written: File too large\.$"):
        argos.write_package(tmp_path / "a.argosmodel", **package)
    assert not [*tmp_path.iterdir()]


def test_our_model_comes_out_bit_by_bit(made, tmp_path, capsys):
    assert bring_in(["argos", str(made / "numbers.argosmodel"), str(tmp_path / "out")]) == 0
    assert f"mt train init={tmp_path / 'out'}" in capsys.readouterr().out
    ours = {path.name: path.read_bytes() for path in (made / "model").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == ours
    with pytest.raises(ConfigError, match="already exists"):
        bring_in(["argos", str(made / "numbers.argosmodel"), str(tmp_path / "out")])


def test_of_a_checkpoint_the_averaged_weights_are_taken(made, tmp_path):
    model = write_numbers(tmp_path / "model", weights=EMA)
    export_argos(model, tmp_path / "a.argosmodel", "int8")
    read_package(tmp_path / "a.argosmodel", tmp_path / "out")
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (model / EMA).read_bytes()
    assert verify_folder(tmp_path / "out").meta == {"step": 7, "name": "numbers"}


def test_what_argos_cannot_hold_is_refused_all_at_once(tmp_path):
    pairs = number_pairs(100)
    section = TokenizerConfig(vocab_size=60, byte_fallback=False, tags=["<2de>", "<2nl>"])
    t = train_tokenizer([p.src for p in pairs], [p.tgt for p in pairs], section, tmp_path / "cache")
    with pytest.raises(ConfigError) as refused:
        check_package(Direction.of("source", "x1"), t, tiny_config(positions=Positions.learned))
    assert str(refused.value) == (
        "the model cannot be exported to Argos Translate: `source` is no code of a language: name it with --src; `x1` "
        "is no code of a language: name it with --tgt; `model.max_length` must be at "
        "least 1,024 where `model.positions` is learned; it reads tags (<2de>, <2nl>), and Argos Translate "
        "gives it none."
    )


def test_no_sentence_is_too_long_for_the_positions(tmp_path):
    engine = pytest.importorskip("ctranslate2")
    small = tiny_model(max_length=16)
    for name, positions in (("short", 0), ("long", LONGEST)):
        write_ct2(small, number_tokenizer(), tmp_path / name, positions=positions)
    long = [["▁one"] * 300]
    with pytest.raises(RuntimeError, match="No position encodings are defined for positions >= 16"):
        engine.Translator(str(tmp_path / "short")).translate_batch(long)
    engine.Translator(str(tmp_path / "long")).translate_batch(long)


def test_codes_of_languages_can_be_given(made, tmp_path):
    model = write_numbers(tmp_path / "model", ("src", "deu"))
    out = tmp_path / "a.argosmodel"
    assert export(["argos", str(model), str(out), "--src", "eng", "--no-verify"]) == 0
    with zipfile.ZipFile(out) as package:
        assert f"{TOP}/metadata.json" in package.namelist()


@pytest.mark.parametrize(
    "run, given, told",
    [
        (export, ["argos", "m", "a.zip"], r"OUT must end in \.argosmodel, but is a\.zip"),
        (export, ["ct2", "m", "--src", "en"], "--src belongs to argos; leave it out for ct2"),
        (export, ["hf", "m", "--tgt", "en"], "--tgt belongs to argos; leave it out for hf"),
        (bring_in, ["argos", "a", "b", "--src", "en"], "--src, --tgt and --no-verify belong to hf; leave them out"),
        (bring_in, ["argos", "a", "b", "--no-verify"], "--src, --tgt and --no-verify belong to hf; leave them out"),
    ],
)
def test_options_of_another_format_are_refused(run, given, told):
    with pytest.raises(ConfigError, match=told):
        run(given)


def zeros(number):
    return [(f"{TOP}/mt/zeros", bytes(number))]


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda all: [one for one in all if "/mt/" not in one[0]], "cannot be trained further. hint: import the model"),
        (lambda all: all + zeros(30 << 20), r"would fill \d\S+ bytes out of \d\S+, which no model does"),
        (lambda all: all + [(f"{TOP}/x{n}", b"") for n in range(1000)], "must have at most 1,000 files, but has 1,012"),
        (
            lambda all: all + [(f"{TOP}/mt/x{n}", b"") for n in range(60)],
            "at most 50 files of a model, but has 65",
        ),
        (lambda all: [*all, ("other/mt/config.json", b"{}")], r"has 'other/mt/config\.json' twice"),
        (lambda all: [*all, (f"{TOP}/mt/more.bin", b"{}")], r"more\.bin` is not in the manifest"),
        (
            lambda all: [(n, b"{}" if n.endswith("mt/config.json") else c) for n, c in all],
            r"must have \d+ bytes, but h",
        ),
    ],
)
def test_packages_that_are_damaged_or_not_ours_are_refused(change, told, made, tmp_path):
    package = rewritten(made / "numbers.argosmodel", tmp_path / "a.argosmodel", change)
    with pytest.raises(CheckpointError, match=told) as refused:
        read_package(package, tmp_path / "out")
    assert ".tmp-" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.argosmodel"]


def test_names_that_lead_out_of_the_folder_are_not_followed(made, tmp_path):
    names = [
        "../evil",
        "/tmp/evil/mt/evil",
        f"{TOP}/mt/../evil",
        f"{TOP}/mt/sub/evil",
        f"{TOP}/mt/..",
        f"{TOP}/mt/.evil",
    ]
    evil = [(name, b"evil") for name in names]
    package = rewritten(made / "numbers.argosmodel", tmp_path / "a.argosmodel", lambda all: all + evil)
    read_package(package, tmp_path / "in" / "out")
    assert {path.name for path in (tmp_path / "in").rglob("*")} == {
        "out", *(path.name for path in (made / "model").iterdir())
    }  # fmt: skip


def test_files_that_are_no_packages_are_refused(made, tmp_path):
    path = tmp_path / "a.argosmodel"
    with pytest.raises(CheckpointError, match=r"a\.argosmodel` does not exist\."):
        read_package(path, tmp_path / "out")
    path.write_bytes(b"no package")
    with pytest.raises(CheckpointError, match="must be a package for Argos Translate, but is no zip file"):
        read_package(path, tmp_path / "out")
    data = bytearray((made / "numbers.argosmodel").read_bytes())
    for size in (4, 1000, len(data) // 2, len(data) - 30):
        path.write_bytes(data[:size])
        with pytest.raises(
            CheckpointError, match=r"is damaged: its end is missing\. hint: copy or fetch the file again"
        ):
            read_package(path, tmp_path / "out")
    place = data.index(b"tgt_weight")  # in the weights, which are stored as they are
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"is damaged: Bad CRC-32 for .*model\.safetensors'\. hint: copy or"):
        read_package(path, tmp_path / "out")
    data[place] ^= 1
    entry = data.index(f"{TOP}/mt/MANIFEST.json".encode(), data.index(b"PK\x01\x02")) - 46
    data[entry + 8] |= 1  # the bit of an encrypted file
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"is damaged: .*encrypted"):
        read_package(path, tmp_path / "out")


@pytest.mark.parametrize("what", ["content", "name", "method"])
def test_damage_of_every_kind_is_said(what, made, tmp_path):
    data = bytearray((made / "numbers.argosmodel").read_bytes())
    name = f"{TOP}/mt/MANIFEST.json".encode()
    listed = data.rindex(name) - 46  # where the directory at the end of the file has it
    if what == "content":
        data[data.index(name) + len(name)] = 0xFF  # no block of deflate begins like this
        told = r"is damaged: Error -3 while decompressing data"
    elif what == "name":
        data[listed + 9] |= 0x08  # the name is UTF-8
        data[listed + 46] = 0xFF
        told = r"is damaged: 'utf-8' codec can't decode byte 0xff"
    else:
        data[listed + 10] = zipfile.ZIP_LZMA
        told = r"has compressed '.*mt/MANIFEST\.json' in a way that mt never does\."
    (tmp_path / "a.argosmodel").write_bytes(data)
    with pytest.raises(CheckpointError, match=told):
        read_package(tmp_path / "a.argosmodel", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.argosmodel"]


def test_nothing_is_written_beyond_the_size_that_was_checked(tmp_path):
    entry = zipfile.ZipInfo(f"{TOP}/mt/config.json")
    entry.file_size = 3
    opened = SimpleNamespace(open=lambda entry: io.BytesIO(b"four"))
    with pytest.raises(CheckpointError, match=r"a`: '.*mt/config\.json' is larger than the package says\."):
        argos._extract(opened, entry, tmp_path / "out", Path("a"))
    assert (tmp_path / "out").read_bytes() == b""


TEXTS = {
    "Hello there. How are you? Fine, thanks!": ["Hello there.", "How are you?", "Fine, thanks!"],
    "今日は。明日は？はい！": ["今日は。", "明日は？", "はい！"],
    "Mr. Smith met J. Brown on www.example.com. He left.": ["Mr. Smith met J. Brown on www.example.com.", "He left."],
    "Am 3. Mai sagte er „Nein.“ Dann 3.50 Euro.": ["Am 3. Mai sagte er „Nein.“", "Dann 3.50 Euro."],
    '"What?" he said (really.) Yes... And so': ['"What?" he said (really.)', "Yes...", "And so"],
    "Привет. Как дела? нет": ["Привет.", "Как дела? нет"],
    "one": ["one"],
    ".": ["."],
}


def test_the_rules_split_sentences():
    minisbd = pytest.importorskip("minisbd")
    splitter = minisbd.SBDetect(str(ROOT / "mt/interchange/splitter.onnx"), use_gpu=False, max_threads=1)
    assert {text: splitter.sentences(text) for text in TEXTS} == TEXTS
    sentences = [f"This is sentence number {n} of a long text." for n in range(200)]
    assert splitter.sentences(" ".join(sentences)) == sentences


def test_the_rules_are_those_of_the_script():
    pytest.importorskip("onnx")
    from argos_splitter import build

    assert build().SerializeToString() == (ROOT / "mt/interchange/splitter.onnx").read_bytes()


USE = """
import sys
from argostranslate import package, translate
package.install_from_path(sys.argv[1])
print(translate.get_translation_from_codes("en", "de").translate(sys.argv[2]))
"""


def test_argos_translates_without_a_network(made, tmp_path):
    if find_spec("argostranslate") is None:
        pytest.skip("needs argos-translate-lt")
    alone = ["unshare", "--net", "--map-root-user"]
    offline = alone if shutil.which("unshare") and subprocess.run([*alone, "true"], check=False).returncode == 0 else []
    homes = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("DATA", "CACHE", "CONFIG")}
    package = str(made / "numbers.argosmodel")
    done = subprocess.run(
        [*offline, sys.executable, "-c", USE, package, "one two three\nfour six ten nine"],
        env={**os.environ, **homes, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "eins zwei drei\nvier sechs zehn neun\n", done.stderr
    installed = tmp_path / "DATA/argos-translate/packages" / TOP
    assert read_json(installed / "metadata.json")["to_code"] == "de"
    assert not list((tmp_path / "DATA/argos-translate").glob("minisbd/*"))
