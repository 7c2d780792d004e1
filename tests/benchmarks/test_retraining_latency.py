"""The figures of the benchmark of recommendations beside a retraining."""

from benchmarks.load.driver import Outcome
from benchmarks.retraining_latency import rows_of


def answered(ms: float, status: int = 200) -> Outcome:
    return Outcome(1.0, [0.5] * 10, [ms / 1000] * 10, [status] * 10)


def test_the_ratio_is_that_of_each_round_and_errors_are_counted():
    rounds = [
        (answered(2.0), answered(3.0)),
        (answered(4.0), answered(5.0)),
        (answered(2.0), answered(4.0, status=503)),
    ]
    rows = {(row.setting, row.metric): row for row in rows_of("tiny", "bpr", "here", rounds)}
    ratio = rows["while retraining over alone, here", "p99_ratio"]
    assert (ratio.value, ratio.low, ratio.high) == (1.5, 1.25, 2.0)
    assert rows["alone, here", "p99_ms"].value == 2.0
    assert rows["both, here", "errors"].high == 10.0
