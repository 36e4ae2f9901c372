"""The models before and after a run on the same test sets."""

from types import SimpleNamespace

from mt.config import DecodeConfig, Precision
from mt.data.corpus.catalog import Corpus
from mt.data.corpus.pair import Origin, Pair
from mt.train.before import Before


def pairs_of(texts):
    return [Pair(str(number), text, Origin("a.tsv", number + 1)) for number, text in enumerate(texts)]


def test_each_set_is_scored_in_its_own_language(tmp_path, monkeypatch):
    new, old = pairs_of(["我们昨天看见了那座大桥。"] * 3), pairs_of(["das ist ein altes Haus"] * 3)

    def translator(said):
        texts = {"0": said, "1": said, "2": "nein"}
        return SimpleNamespace(
            stepper=SimpleNamespace(device=None),
            translate=lambda sources, **_: [texts[source] for source in sources],
        )

    stored = SimpleNamespace(path=tmp_path, description=SimpleNamespace(tgt="de"))
    # of a run that was resumed the description is its own
    origin = SimpleNamespace(path="runs/old", read=lambda: stored, description=SimpleNamespace(tgt="zh"))
    monkeypatch.setattr("mt.train.before.translator_of", lambda *_: translator("das ist ein altes Haus"))
    monkeypatch.setattr("mt.train.before.find_run", lambda path: path)
    monkeypatch.setattr("mt.train.before.test_of_run", lambda run: old)
    corpus = Corpus("en", "zh", [], new, [], name="a", licence="none")
    before = Before(origin, DecodeConfig(), Precision.fp32)
    after, prepared = translator("我们昨天看见了那座大桥。"), SimpleNamespace(corpus=corpus)
    said = before.compare(after, prepared, None, tmp_path / "eval")
    first, second = said.split("\n\n")[1:]
    assert first.startswith("the dev set of a") and "tok:zh" in first and "tok:13a" not in first
    assert second.startswith("the test set of runs/old") and "tok:13a" in second and "tok:zh" not in second
    for name, tokens in (("dev", "zh"), ("dev.init", "zh"), ("old", "13a"), ("old.init", "13a")):
        assert f"tok:{tokens}" in (tmp_path / f"eval/{name}.json").read_text(encoding="utf-8")
