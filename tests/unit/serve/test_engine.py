"""The engine: whose parts share a batch, who waits for whom, and what happens to the jobs of others."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import mt
from mt.config import DecodeConfig
from mt.decode.constraints.glossary import Constraints, Entry, Glossary
from mt.decode.request import Options
from mt.decode.translation import Translation
from mt.decode.translator import Part
from mt.errors import DataError
from mt.serve.engine import Engine, Job, told
from mt.serve.limits import Batching
from mt.serve.refusal import RefusedError
from mt.serve.texts import plain

GOLDEN = Path(__file__).resolve().parents[2] / "golden/schema-1/runs/golden"
OPTIONS = Options(section=DecodeConfig(beam=1))
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@dataclass
class Stub:
    """Stands for a translator: a part in capitals is its translation; parts with "bad" are an error."""

    batches: list[list[str]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    at_work: threading.Event = field(default_factory=threading.Event)
    at_once: int = 1
    side_by_side: bool = False

    def __post_init__(self):
        self.go.set()

    @contextmanager
    def prepared(self, *, side_by_side):
        self.side_by_side = side_by_side
        yield
        self.side_by_side = False

    def engine_honours(self, parts):
        return self.at_once > 1 and not any("glossary" in part.text for part in parts)

    def find(self, parts, options):
        self.at_work.set()
        assert self.go.wait(60)
        self.batches.append([part.text for part in parts])
        if any("bad" in part.text for part in parts):
            raise DataError("a bad part.")
        return [[translation(part.text.upper())] * options.nbest for part in parts]


def translation(text):
    return Translation(text, 0.0, 0.0, [text], [0.0, 0.0], True)


def part(text, tokens=1):
    return Part(0, 0, (0, len(text)), text, [0] * tokens, [], Constraints(), False)


def rounds(*texts_of_rounds):
    """Work that asks for the parts of each round after the other, and returns all translations."""
    said = []
    for texts in texts_of_rounds:
        found = yield [part(text) for text in texts]
        said += [some[0].text for some in found]
    return said


class Results:
    """Collects what jobs give."""

    def __init__(self):
        self.by_name = {}
        self.order = []
        self._all = threading.Condition()

    def of(self, name, translator, work, options=OPTIONS):
        def done(result, error):
            with self._all:
                assert name not in self.by_name, "done is called once"
                self.by_name[name] = error or result
                self.order.append(name)
                self._all.notify()

        return Job(translator, options, work, done)

    def wait(self, count):
        with self._all:
            assert self._all.wait_for(lambda: len(self.by_name) >= count, 60)
        return self.by_name


def engine_of(*translators, tokens=100, queue=100):
    return Engine(translators, batching=Batching(tokens=tokens, wait=0.0), queue=queue)


def test_jobs_that_wait_share_a_batch_and_each_gets_its_own():
    stub, results = Stub(), Results()
    engine = engine_of(stub)
    for name in "abc":
        engine.submit(results.of(name, stub, rounds([f"{name}1", f"{name}2"])))
    engine.start()
    assert results.wait(3) == {name: [f"{name}1".upper(), f"{name}2".upper()] for name in "abc"}
    assert stub.batches == [["a1", "b1", "c1", "a2", "b2", "c2"]]
    assert (engine.counts.batches, engine.counts.parts, engine.waiting) == (1, 6, 0)
    assert engine.stop(60)


def test_a_sentence_does_not_wait_behind_a_book():
    stub, results = Stub(), Results()
    engine = engine_of(stub, tokens=3)
    engine.submit(results.of("book", stub, rounds([f"b{n}" for n in range(20)])))
    engine.submit(results.of("x", stub, rounds(["x"])))
    engine.submit(results.of("y", stub, rounds(["y"])))
    engine.start()
    assert results.wait(3)["book"] == [f"B{n}" for n in range(20)]
    assert stub.batches[0] == ["b0", "x", "y"] and stub.batches[1] == ["b1", "b2", "b3"]
    assert results.order[-1] == "book"
    assert engine.stop(60)


def test_who_was_not_served_comes_first_in_the_next_batch():
    stub, results = Stub(), Results()
    engine = engine_of(stub, tokens=2)
    for name in "abc":
        engine.submit(results.of(name, stub, rounds([f"{name}1", f"{name}2"])))
    engine.start()
    results.wait(3)
    assert stub.batches == [["a1", "b1"], ["c1", "a2"], ["b2", "c2"]]
    assert engine.stop(60)


def test_a_part_larger_than_a_batch_is_searched_alone():
    stub, results = Stub(), Results()
    engine = engine_of(stub, tokens=5)

    def large():
        return (yield [part("large", 50), part("small")])

    engine.submit(results.of("a", stub, large()))
    engine.start()
    results.wait(1)
    assert stub.batches == [["large"], ["small"]]
    assert engine.stop(60)


def test_work_of_several_rounds_goes_on_and_work_without_parts_ends_at_once():
    stub, results = Stub(), Results()
    engine = engine_of(stub)
    engine.submit(results.of("two", stub, rounds(["a"], [], ["b", "c"])))
    engine.submit(results.of("none", stub, rounds()))
    engine.start()
    assert results.wait(2) == {"two": ["A", "B", "C"], "none": []}
    assert engine.stop(60)


def test_other_settings_and_other_models_have_their_own_batches():
    one, other, results = Stub(), Stub(), Results()
    engine = engine_of(one, other)
    engine.submit(results.of("a", one, rounds(["a"])))
    engine.submit(results.of("b", other, rounds(["b"])))
    engine.submit(results.of("c", one, rounds(["c"]), replace(OPTIONS, section=DecodeConfig(beam=3))))
    engine.submit(results.of("d", one, rounds(["d"]), replace(OPTIONS, nbest=2)))
    engine.submit(results.of("e", one, rounds(["e"]), replace(OPTIONS, glossary=Glossary([]))))
    engine.start()
    results.wait(5)
    assert one.batches == [["a", "e"], ["c"], ["d"]] and other.batches == [["b"]]
    assert engine.stop(60)


def test_an_error_in_a_batch_is_told_to_its_own_job_alone():
    stub, results = Stub(), Results()
    engine = engine_of(stub)
    engine.submit(results.of("good", stub, rounds(["a", "b"])))
    engine.submit(results.of("wrong", stub, rounds(["c", "bad"])))
    engine.start()
    found = results.wait(2)
    assert found["good"] == ["A", "B"] and str(found["wrong"]) == "a bad part."
    engine.submit(results.of("later", stub, rounds(["d"])))
    assert results.wait(3)["later"] == ["D"]
    assert engine.stop(60)


def test_an_error_of_the_work_itself_is_told_too():
    def broken():
        yield [part("a")]
        raise ValueError("no reason")

    stub, results = Stub(), Results()
    engine = engine_of(stub)
    engine.submit(results.of("broken", stub, broken()))
    engine.start()
    assert str(results.wait(1)["broken"]) == "no reason"
    assert engine.stop(60)


def test_a_full_queue_refuses_with_a_time():
    stub, results = Stub(), Results()
    engine = engine_of(stub, queue=2)
    engine.submit(results.of("a", stub, rounds(["a"])))
    engine.submit(results.of("b", stub, rounds(["b"])))
    with pytest.raises(RefusedError, match=r"^The server is busy: 2 requests are waiting already\.$") as refused:
        engine.submit(results.of("c", stub, rounds(["c"])))
    assert refused.value.status == 503 and 1 <= refused.value.retry_after <= 60
    engine.start()
    results.wait(2)
    engine.submit(results.of("c", stub, rounds(["c"])))
    assert results.wait(3)["c"] == ["C"]
    assert engine.stop(60)


def test_what_nobody_waits_for_is_not_searched():
    stub, results = Stub(), Results()
    stub.go.clear()
    engine = engine_of(stub, tokens=1)
    engine.start()
    begun = results.of("begun", stub, rounds(["a", "b", "c"]))
    engine.submit(begun)
    assert stub.at_work.wait(60)
    never = results.of("never", stub, rounds(["x"]))
    engine.submit(never)
    begun.cancelled = never.cancelled = True
    stub.go.set()
    assert results.wait(2) == {"begun": None, "never": None}
    assert stub.batches == [["a"]]
    assert engine.stop(60)


def test_stopping_finishes_what_was_taken_and_takes_no_more():
    stub, results = Stub(), Results()
    stub.go.clear()
    engine = engine_of(stub, tokens=1)
    engine.start()
    engine.submit(results.of("a", stub, rounds(["a", "b"], ["c"])))
    assert stub.at_work.wait(60)
    assert not engine.stop(0)
    with pytest.raises(RefusedError, match=r"^The server is stopping\.$"):
        engine.submit(results.of("late", stub, rounds(["x"])))
    stub.go.set()
    assert engine.stop(60) and not engine.alive
    assert results.by_name == {"a": ["A", "B", "C"]}


class Pair(Stub):
    """Two searches at the same time. Each part is let go by the name of its batch's first part."""

    def __init__(self):
        super().__init__(at_once=2)
        self.begun, self.changed, self.allowed = [], threading.Condition(), set()
        self.threads = []

    def find(self, parts, options):
        assert self.side_by_side
        self.threads.append(threading.current_thread().name)
        with self.changed:
            self.begun.append([part.text for part in parts])
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: parts[0].text in self.allowed, 60)
        return super().find(parts, options)

    def wait_for(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.begun) >= count, 60)
        return self.begun

    def let(self, *names):
        with self.changed:
            self.allowed.update(names)
            self.changed.notify_all()


def test_two_searches_share_what_waits_and_the_next_one_need_not_wait_for_both():
    pair, results = Pair(), Results()
    engine = engine_of(pair)
    names = [f"{n:02d}" for n in range(20)]
    for name in names:
        engine.submit(results.of(name, pair, rounds([name])))
    engine.start()
    assert sorted(pair.wait_for(2)) == [names[:10], names[10:]]
    engine.submit(results.of("next", pair, rounds(["next"])))
    pair.let("10")
    assert pair.wait_for(3)[2] == ["next"]  # the first search goes on
    pair.let("next")
    results.wait(11)
    assert "00" not in results.by_name and results.by_name["10"] == ["10"] and results.by_name["next"] == ["NEXT"]
    pair.let("00")
    assert results.wait(21)["00"] == ["00"] and engine.counts.batches == 3
    assert engine.stop(60) and not pair.side_by_side


def test_two_searches_share_what_one_job_has():
    pair, results = Pair(), Results()
    engine = engine_of(pair)
    engine.submit(results.of("book", pair, rounds(["0", "1", "2", "3", "4"])))
    engine.start()
    assert sorted(pair.wait_for(2)) == [["0", "1", "2"], ["3", "4"]]
    pair.let("3", "0")
    assert results.wait(1)["book"] == ["0", "1", "2", "3", "4"]
    assert engine.stop(60)


def test_what_the_model_itself_searches_is_searched_in_the_thread_that_has_it_alone():
    pair, results = Pair(), Results()
    pair.let("a", "a glossary")
    engine = engine_of(pair)
    engine.start()
    for n, text in enumerate(("a", "a glossary")):
        engine.submit(results.of(text, pair, rounds([text])))
        results.wait(n + 1)
    assert pair.threads[0] != "mt-serve" and pair.threads[1] == "mt-serve"
    assert engine.stop(60)


def test_stopping_waits_for_all_searches():
    pair, results = Pair(), Results()
    engine = engine_of(pair, tokens=1)
    engine.start()
    engine.submit(results.of("a", pair, rounds(["a"])))
    engine.submit(results.of("bad", pair, rounds(["bad"])))
    pair.wait_for(2)
    assert not engine.stop(0) and engine.waiting == 2
    pair.let("bad")
    assert str(results.wait(1)["bad"]) == "a bad part."
    assert not engine.stop(0)
    pair.let("a")
    assert engine.stop(60) and results.by_name["a"] == ["A"]


def test_what_clients_are_told():
    busy = RefusedError(503, "Busy.", retry_after=2)
    assert told(busy) is busy
    wrong = told(DataError("A term is wrong.", hint="`mt translate --help` says how."))
    assert (wrong.status, wrong.message) == (400, "A term is wrong.")
    assert told(ValueError("secret")).status == 500 and "secret" not in told(ValueError("secret")).message


def test_requests_of_many_clients_are_translated_as_alone():
    """With a real model: long and short texts, several lines, glossaries and more than one translation."""
    translator, results = mt.load(GOLDEN, device="cpu"), Results()
    texts = [" ".join(WORDS[(n * k) % 10] for k in range(1 + n % 7)) for n in range(12)]
    texts += ["one two.\n\n three ", "😀", "", " ".join(WORDS * 12)]
    terms = Glossary([Entry("two", ("zwei",), banned=False)])
    asked = [translator.options(nbest=1 + n % 2, glossary=terms if n % 3 == 0 else None) for n in range(len(texts))]
    alone = {}
    for n, (text, options) in enumerate(zip(texts, asked, strict=True)):
        lines = [line for line in text.split("\n") if line.strip()]
        found = translator.answer([line.strip() for line in lines], replace(options, stand_ins=[()] * len(lines)))
        alone[n] = [one.text for one in found[0]] if len(lines) == 1 else None
    engine = engine_of(translator, tokens=60)
    for n, (text, options) in enumerate(zip(texts, asked, strict=True)):
        engine.submit(results.of(n, translator, plain(translator, options, [text]), options))
    engine.start()
    found = results.wait(len(texts))
    for n, text in enumerate(texts):
        if alone[n] is not None:
            assert found[n][0] == list(dict.fromkeys(alone[n])), text
    one, three = translator.translate(["one two.", "three"], glossary=terms)
    assert found[texts.index("one two.\n\n three ")][0][0] == f"{one}\n\n {three} "
    assert found[texts.index("😀")] == [["😀"]] and found[texts.index("")] == [[""]]
    assert engine.stop(120)
