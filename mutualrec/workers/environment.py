"""What libraries have to know of the machine and of several workers before they are imported."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# A process that is forked has none of the threads that these libraries would start at import.
_WITHOUT_THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
_KERNELS = "OPENBLAS_CORETYPE"
_KERNELS_OF_AVX512 = "SkylakeX"
_AVX512 = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


def choose_kernels(processors: Path = Path("/proc/cpuinfo")) -> None:
    """Has OpenBLAS use AVX-512 where the processor has it, unless something else is set.

    OpenBLAS chooses by the processor's model, and takes for one that is younger than itself kernels
    of twenty years ago: those of FAISS' wheel, whose OpenBLAS is of 2021, take more than twice the
    time then.

    Args:
        processors: where the system says what its processors can do.
    """
    try:
        found = re.search(r"^flags\s*:(.*)$", processors.read_text(), re.MULTILINE)
    except OSError:  # not Linux
        return
    if found and set(found[1].split()) >= _AVX512:
        os.environ.setdefault(_KERNELS, _KERNELS_OF_AVX512)


@contextmanager
def variables_of_workers() -> Iterator[None]:
    """Sets what is not set yet, and a folder for metrics that is gone at the end."""
    for name, value in _WITHOUT_THREADS.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory(prefix="mutualrec-metrics-") as folder:
        os.environ[_METRICS_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[_METRICS_FOLDER]
