"""The warnings of `mt translate --flags`."""

from mt.cli.flag_tally import SHOWN, Tally
from mt.postprocess.quality_flags import Measures
from mt.text.repetition import Loop


def test_many_warnings_are_a_few_and_a_sum(caplog):
    tally = Tally()
    for number in range(1, 101):
        lost = ("9",) if number > 30 else ()
        loop = Loop("a", 3) if number > 90 else None
        tally.add(number, Measures(5.0, 1.0, lost=lost, loop=loop))
    tally.close()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == SHOWN + 2
    assert said[0] == "input 31: numbers are missing or changed (lost-number): 9"
    assert said[-2] == "more lines are flagged; only the first are shown. --jsonl has the flags of every line."
    assert said[-1] == "70 of 100 lines flagged: repetition 10, lost-number 70"
