"""Epoch times of the models."""

import pytest

from benchmarks.speed import measure


def test_a_trained_model_has_the_time_of_its_epochs(demo):
    epoch, evaluation, peak = measure(demo, "lightgcn", threads=1, epochs=3)
    assert (epoch.model, epoch.metric) == ("lightgcn", "epoch_seconds")
    assert 0 < epoch.low <= epoch.value <= epoch.high
    assert (evaluation.metric, peak.metric) == ("evaluation_seconds", "peak_memory_gib")


@pytest.mark.parametrize("name", ["popularity", "itemcf", "ease"])
def test_nothing_is_measured_of_a_model_that_has_nothing_to_train(demo, name):
    assert measure(demo, name, threads=1, epochs=2) == []
