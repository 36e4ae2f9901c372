"""The model card: front matter that hubs can read, numbers with their signatures."""

import pytest
import yaml

from mt.text.metrics import Score
from mt.train.model_card import model_card

FACTS = {
    "name": "my-run", "src": "en", "tgt": "de", "parameters": 1_234_567, "seed": 3, "steps": 4_000, "minutes": 12.34,
    "tgt_tokens": 99_000, "data": {"name": "corpus", "licence": "CC-BY 4.0", "train": 20_000, "fingerprint": "f00"},
    "tokenizer": {"kind": "bpe", "pieces": 8_000, "sha256": "beef"},
}  # fmt: skip


def front(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_has_the_facts_of_the_run():
    card = model_card(
        FACTS, [Score("BLEU", 31.256, "nrefs:1|v:2", 1.5), Score("TER", 50.0, "x")], "the test set of corpus"
    )
    assert front(card) == {
        "language": ["en", "de"], "pipeline_tag": "translation", "library_name": "mt", "metrics": ["bleu", "chrf"]
    }  # fmt: skip
    assert "| BLEU | 31.26 | ± 1.50 | `nrefs:1\\|v:2` |\n| TER | 50.00 |  | `x` |" in card
    wanted = ["# en to de: my-run", "1,234,567 parameters", "20,000 sentence pairs", "CC-BY 4.0",
              "the test set of corpus", "bpe, 8,000 pieces, sha256 beef", "4,000, 99,000 target tokens, 12.3 minutes",
              "sha256 f00", "seed: 3", "input.en > output.de"]  # fmt: skip
    assert [words for words in wanted if words not in card.replace("\n", " ")] == []


def test_the_card_says_that_there_is_no_test_set():
    assert "No test set." in model_card(FACTS, [], "the test set of x")


def test_each_side_has_its_own_pieces():
    facts = {**FACTS, "tokenizer": {**FACTS["tokenizer"], "source_pieces": 6_000}}
    assert "- vocabulary: bpe, 6,000 and 8,000 pieces, sha256 beef" in model_card(facts, [], "x")


@pytest.mark.parametrize("code", ["no", "on", "y", "en"])
def test_norwegian_is_no_truth_value(code):
    assert front(model_card({**FACTS, "src": code}, [], "x"))["language"] == [code, "de"]
