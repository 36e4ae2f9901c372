"""Which objective a run has, by its settings."""

import logging

from mt.config import Config, Precision
from mt.data.prepare import PreparedData
from mt.nn.transformer import Transformer
from mt.train.consistency import Consistency, check_consistency
from mt.train.ctc_loss import CtcLoss, check_ctc
from mt.train.guided_alignment import GuidedAlignment, check_links
from mt.train.matching_loss import MatchingLoss, check_matching
from mt.train.objective import Objective, TranslationLoss

logger = logging.getLogger("mt")


def check_objective(config: Config) -> None:
    """Raises: ConfigError: for settings that do not go with the objective."""
    check_links(config)
    check_matching(config)
    check_ctc(config)
    check_consistency(config)


def make_objective(config: Config, prepared: PreparedData, model: Transformer, precision: Precision) -> Objective:
    """The translation loss; with word links, a matching head, CTC or a second reading of each pair where asked for."""
    translation = TranslationLoss(model, precision=precision, smoothing=config.loss.label_smoothing)
    tokenizer = prepared.tokenizer
    if config.model.matching:
        return MatchingLoss(translation, weight=config.model.matching, bos=tokenizer.bos, eos=tokenizer.eos)
    if config.loss.ctc:
        tag = config.loss.ctc_tag
        prefix = tokenizer.encode_target([tag])[0] if tag is not None else []
        return CtcLoss(translation, weight=config.loss.ctc, bos=tokenizer.bos, prefix=prefix)
    if config.loss.consistency:
        return Consistency(translation, weight=config.loss.consistency)
    if prepared.links is None:
        return translation
    section, layers = config.alignment, config.model.decoder_layers
    layer = section.layer if section.layer is not None else max(1, layers - 1)
    guided = GuidedAlignment(
        translation, prepared.train, prepared.links, layer=layer - 1, head=section.head - 1, weight=section.weight
    )
    logger.info(f"guided alignment: {len(prepared.links.links):,} links supervise {guided.heads.describe()}")
    return guided
