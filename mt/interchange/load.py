"""Load a translator whose search is CTranslate2's. The export is made and verified once, and kept beside the model."""

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from mt.checkpoint import read_manifest
from mt.checkpoint.folder import find_problem, write_manifest
from mt.checkpoint.model_folder import find_model, languages
from mt.config.decode import own_search
from mt.decode.load import load as load_with_torch
from mt.decode.request import SearchSettings
from mt.decode.translator import Translator
from mt.errors import CheckpointError, ConfigError, require, require_package
from mt.files import explained
from mt.interchange import EXACT, refuse
from mt.interchange.ct2 import reasons_against, write_ct2
from mt.interchange.ct2_engine import Ct2Engine
from mt.interchange.verify import Sample, own_sample, verify

logger = logging.getLogger("mt")
ENGINES = ("torch", "ct2", "auto")
BESIDE = "it is kept beside the model: let that folder be written for the first start, or copy the model elsewhere."
VERSION = 1  # of the exports: other numbers are made again
Sampler = Callable[[Translator], Sample]


def load(
    path: str | Path | None = None,
    *,
    engine: str,
    quantization: str = EXACT,
    device: str = "auto",
    precision: str = "auto",
    cuda_graphs: bool = False,
    settings: SearchSettings | None = None,
    sampler: Sampler = own_sample,
) -> Translator:
    """As `mt.load`.

    Args: engine: ct2, torch, or auto: ct2 where it can, else torch with a warning that says why; precision,
        cuda_graphs: of torch, which auto chooses where they are given; settings: of the search, where they are not
        the model's; sampler: the sentences that a new export is verified on.
    Raises: ConfigError: when the engine cannot search with the model, or honour its settings or arguments;
        CheckpointError: also when the export does not translate as the model, or cannot be written.
    """
    require(engine in ENGINES, "engine", f"be one of {', '.join(ENGINES)}", engine)
    if engine == "torch":
        plain = quantization == EXACT
        require(plain, "quantization", f"be {EXACT} for the engine torch, which has `precision`", quantization)
        return load_with_torch(path, device=device, precision=precision, cuda_graphs=cuda_graphs)
    try:
        require(precision == "auto", "precision", "be auto for the engine ct2, which has `quantization`", precision)
        require(not cuda_graphs, "cuda_graphs", "be False for the engine ct2", cuda_graphs)
        return _with_ct2(path, quantization, device=device, settings=settings or SearchSettings(), sampler=sampler)
    except (ConfigError, CheckpointError) as error:
        if engine == "ct2":
            raise
        reason = error
    # Before the warning: the model itself may be at fault.
    translator = load_with_torch(path, device=device, precision=precision, cuda_graphs=cuda_graphs)
    logger.warning(f"torch searches, not CTranslate2: {reason}")
    return translator


def _with_ct2(
    path: str | Path | None, quantization: str, *, device: str, settings: SearchSettings, sampler: Sampler
) -> Translator:
    require_package("ctranslate2", "the engine ct2")
    folder = find_model(None if path is None else Path(path))
    key = fingerprint(folder)
    made = load_with_torch(folder, device=device, precision="fp32")
    if fingerprint(folder) != key:
        raise CheckpointError(f"`{folder}` was replaced while it was read.", hint="run the command again.")
    against = [f"the setting `decode.{name}`" for name in own_search(made.options(**settings).section)]
    against += reasons_against(made.stepper.model, quantization)
    if made.reader is not None:
        against.append("it reads rows of a table")
    refuse("searched with the engine ct2", against)
    on = made.stepper.device
    require(on.type in ("cpu", "cuda"), "device", "be cpu or cuda for the engine ct2", on.type)
    kept = kept_export(made, folder, f"{quantization}-{key}", quantization=quantization, sampler=sampler)
    engine = Ct2Engine(kept, made.tokenizer, device=str(on), threads=torch.get_num_threads())
    return Translator(
        made.stepper, made.tokenizer, made.section, max_length=made.max_length, src=made.src, usual=made.usual,
        searcher=engine,
    )  # fmt: skip


def fingerprint(folder: Path) -> str:
    """Of all files of a model folder or checkpoint, except notes and what people may edit. Raises: CheckpointError."""
    manifest = read_manifest(folder)
    files = [(name, sha256) for name, (_, sha256) in sorted(manifest.files.items()) if name not in manifest.free]
    return hashlib.sha256(repr((VERSION, files)).encode()).hexdigest()[:12]


def place_of(folder: Path) -> Path:
    """Where the exports of a model folder are; all checkpoints of a run share one place."""
    if folder.parent.name == "checkpoints":
        return folder.parent.with_name("checkpoint.ct2")
    return folder.with_name(f"{folder.name}.ct2")


def kept_export(translator: Translator, folder: Path, name: str, *, quantization: str, sampler: Sampler) -> Path:
    """The verified export of a model, made if it is not there or damaged; exports of what the model was are removed.

    Args: translator: in 32 bits; folder: of the model; name: of the export.
    Raises: CheckpointError: when it cannot be written, or does not translate as the model.
    """
    place = place_of(folder.resolve())
    out = place / name
    if out.exists():
        if (problem := find_problem(out)) is None:
            return out
        logger.warning(f"{problem} It is made again.")
        shutil.rmtree(out, ignore_errors=True)
    tgt = languages(folder)[1]
    said: list[str] = []

    def check(export: Path) -> None:
        found = Ct2Engine(export, translator.tokenizer)
        said.append(str(verify(translator, found, sampler(translator), tgt=tgt, exact=quantization == EXACT)))
        write_manifest(export)

    with explained(f"the export `{out}` cannot be written", hint=BESIDE):
        write_ct2(translator.stepper.model, translator.tokenizer, out, quantization=quantization, check=check)
    for old in place.glob(f"{quantization}-*"):
        if old != out:
            shutil.rmtree(old, ignore_errors=True)
    logger.info(f"made {out} for CTranslate2, {said[0]}")
    return out
