"""What libraries have to know of several workers before they are imported."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# A process that is forked has none of the threads that these libraries would start at import.
_WITHOUT_THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


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
