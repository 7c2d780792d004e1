"""Vectors are mapped from the artifact: no process has a copy of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SIZE_MIB = 64
NUM_ITEMS, WIDTH = 65_536, SIZE_MIB * (1 << 20) // 4 // 65_536

LOADED = """
import sys
from pathlib import Path
import numpy as np
from service.artifact import current_version, load_artifact
from service.snapshot import build_snapshot
from service.recommend import recommend

def anonymous_mib():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024

root = Path(sys.argv[1])
before = anonymous_mib()
version = current_version(root, "default")
snapshot = build_snapshot(load_artifact(root, "default", version), "cpu")
snapshot.index.search(np.ones((1, snapshot.artifact.items.shape[1]), np.float32), 100)
print(anonymous_mib() - before)
for part in Path("/proc/self/smaps").read_text().split("VmFlags:"):
    if "embeddings.safetensors" in part:
        print(part)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_a_loaded_version_takes_little_memory_that_is_not_shared(deploy, make_draft, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(NUM_ITEMS, WIDTH)).astype(np.float32)
    draft = make_draft(num_items=NUM_ITEMS, width=WIDTH)
    deploy(make_draft(num_items=NUM_ITEMS, width=WIDTH, users=draft.users, items=vectors))
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(tmp_path / "artifacts")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    own_mib, _, mappings = done.stdout.partition("\n")
    resident_kib = sum(map(int, re.findall(r"^Rss: +(\d+) kB", mappings, re.MULTILINE)))
    dirty_kib = sum(map(int, re.findall(r"^Private_Dirty: +(\d+) kB", mappings, re.MULTILINE)))
    assert resident_kib >= SIZE_MIB * 1024
    assert dirty_kib == 0
    # Ids, lookups and what the allocators keep are less than one copy of the vectors.
    assert float(own_mib) < SIZE_MIB


LOADED_TO_FORK = """
import os, sys
from pathlib import Path
from mutualrec.workers.environment import variables_of_workers

with variables_of_workers():
    from service.app import create_app
    from service.settings import Settings

    app = create_app(Settings.load({}, home=Path(sys.argv[1]), index="ivf"))
    app.state.service.catalogs.refresh()
    print(len(app.state.service.catalogs.snapshots), len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_loading_before_workers_are_forked_leaves_no_thread(deploy, make_draft, tmp_path):
    deploy(make_draft())
    environ = {name: v for name, v in os.environ.items() if name[:4] not in ("OMP_", "OPEN")}
    done = subprocess.run(
        [sys.executable, "-c", LOADED_TO_FORK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env=environ,
    )
    assert done.stdout.split() == ["1", "1"]
