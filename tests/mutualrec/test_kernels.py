"""Serving has OpenBLAS use what the processor can do."""

import os

import pytest

from mutualrec.workers.environment import choose_kernels

_VARIABLE = "OPENBLAS_CORETYPE"
_WITH = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512cd avx512bw avx512dq avx512vl vaes\n"


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.setenv(_VARIABLE, "to be restored afterwards")
    monkeypatch.delenv(_VARIABLE)


@pytest.fixture
def told_by(tmp_path):
    def write(content: str):
        path = tmp_path / "cpuinfo"
        path.write_text(content)
        return path

    return write


def test_a_processor_with_avx512_gets_its_kernels_whatever_its_name(told_by):
    choose_kernels(told_by(_WITH))
    assert os.environ[_VARIABLE] == "SkylakeX"


@pytest.mark.parametrize(
    "content",
    [
        _WITH.replace("avx512vl ", ""),
        _WITH.replace("flags", "bugs"),
        "processor: 0\nFeatures: fp asimd sve\n",
        "",
    ],
    ids=["part of it", "no flags", "another architecture", "nothing"],
)
def test_a_processor_without_it_is_left_to_the_library(told_by, content):
    choose_kernels(told_by(content))
    assert _VARIABLE not in os.environ


def test_a_system_that_does_not_say_is_left_to_the_library(tmp_path):
    choose_kernels(tmp_path / "missing")
    assert _VARIABLE not in os.environ


def test_what_somebody_has_set_stays(told_by, monkeypatch):
    monkeypatch.setenv(_VARIABLE, "Haswell")
    choose_kernels(told_by(_WITH))
    assert os.environ[_VARIABLE] == "Haswell"
