"""The machine: threads, index, open files, processors, disk."""

import os
import resource
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import faiss

from service.doctor.finding import Finding
from service.errors import ArtifactError, IndexUnavailable
from service.index import IndexKind, check_index
from service.versions import current_version, list_catalogs, version_folder

MIN_OPEN_FILES = 4096
VERSIONS_OF_ROOM = 2
_WANTED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def check_threads(environ: Mapping[str, str]) -> Finding:
    """Whether searches stay on one thread each; the libraries read this when they are loaded."""
    wrong = {
        name: wanted for name, wanted in _WANTED.items() if environ.get(name, "").upper() != wanted
    }
    if wrong:
        shown = ", ".join(f"{name}={environ.get(name, 'unset')}" for name in wrong)
        return Finding(
            "threads",
            "warning",
            f"{shown}: single queries get slower when their threads wait for each other",
            "export " + " ".join(f"{name}={wanted}" for name, wanted in wrong.items()),
        )
    return Finding("threads", "ok", "one thread per search")


def check_machine(
    index: IndexKind, workers: int, num_cpus: int, open_files: int | None = None
) -> Iterator[Finding]:
    """The index, the number of workers and the limit of open files.

    Args:
        index: the kind that is configured.
        workers: how many processes are configured.
        num_cpus: how many processors this process may use.
        open_files: the limit; this process's own if None.
    """
    try:
        num_gpus = check_index(index)
        where = f"{num_gpus} GPU" if num_gpus else "CPU"
        yield Finding("index", "ok", f"FAISS {faiss.__version__} on {where}")
    except IndexUnavailable as error:
        yield Finding("index", "error", str(error), "set MUTUALREC_INDEX=cpu")
    if workers > num_cpus:
        yield Finding(
            "workers",
            "warning",
            f"{workers} workers share {num_cpus} processors and wait for each other",
            f"set MUTUALREC_WORKERS={num_cpus} or less",
        )
    else:
        yield Finding("workers", "ok", f"{workers} on {num_cpus} processors")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if open_files is None else open_files
    if files < MIN_OPEN_FILES:
        yield Finding(
            "open files",
            "warning",
            f"at most {files}: so many connections at once, and no more",
            f"raise the limit, such as `ulimit -n {MIN_OPEN_FILES}`",
        )
    else:
        yield Finding("open files", "ok", f"at most {files:,}")


def check_disk(home: Path, artifacts: Path, free_bytes: int | None = None) -> Finding:
    """Whether the next versions fit.

    Args:
        home: the workspace folder, there or not.
        artifacts: the folder of all catalogs.
        free_bytes: the space left; that of the disk of `home` if None.
    """
    present = next(folder for folder in (home, *home.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(present).free if free_bytes is None else free_bytes
    needed = VERSIONS_OF_ROOM * sum(_version_bytes(artifacts))
    says = f"{free / 2**20:,.0f} MiB free, {needed / 2**20:,.0f} MiB for the next versions"
    if free < needed:
        return Finding(
            "disk",
            "error",
            f"{says}: publishing will fail",
            f"free space on the disk of {present}; old versions under {artifacts} that no CURRENT"
            " names may be deleted",
        )
    return Finding("disk", "ok", says)


def _version_bytes(artifacts: Path) -> Iterator[int]:
    for catalog in list_catalogs(artifacts):
        try:
            version = current_version(artifacts, catalog)
        except ArtifactError:
            continue  # another check says so
        if version is not None:
            folder = version_folder(artifacts, catalog, version)
            yield sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def usable_cpus() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
