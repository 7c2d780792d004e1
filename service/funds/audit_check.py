"""Looking through an audit log for lines that were changed, removed or inserted."""

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.funds.audit_line import FIRST_PREVIOUS, parsed
from service.funds.audit_log import HEAD, HEAD_LOST, LOCK, Head, files_of, locked, read_head


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written.

    Attributes:
        place: file and line, counted from 1.
        what: what is wrong, with the numbers of the lines concerned.
    """

    place: str
    what: str


@dataclass
class Verdict:
    """What a look through the log found.

    Attributes:
        num_lines: the lines that were read.
        num_files: the files they were in.
        seq: the number of the last line, 0 for none.
        hash: its hash; keep both elsewhere to be sure of everything up to it.
        findings: what is wrong; empty if all is well.
    """

    num_lines: int = 0
    num_files: int = 0
    seq: int = 0
    hash: str = FIRST_PREVIOUS
    findings: list[Finding] = field(default_factory=list)


def verify(folder: Path, *, anchor: tuple[int, str] | None = None) -> Verdict:
    """Reads every line of a log, while it may be written to.

    Args:
        folder: of the log; one that does not exist has no lines.
        anchor: number and hash of a line as they were noted elsewhere; it must still be there.
    """
    if not (folder / LOCK).exists():
        return Verdict()
    with locked(folder, fcntl.LOCK_SH):
        head = read_head(folder)
        files = [(path, path.stat().st_size) for path in files_of(folder)]
    check = _Check(anchor)
    for path, size in files:
        check.file(path, size)
    check.end(folder, head)
    return check.verdict


class _Check:
    """One pass over the lines; after a finding it goes on from what the line says of itself."""

    def __init__(self, anchor: tuple[int, str] | None) -> None:
        self.verdict = Verdict()
        self._anchor = anchor
        self._anchored = anchor is None
        self._is_sure = True  # whether the hash of the line before is known

    def file(self, path: Path, size: int) -> None:
        """Reads a file up to a size, to which it was complete."""
        self.verdict.num_files += 1
        for number, line in enumerate(_lines(path, size), start=1):
            self.verdict.num_lines += 1
            self._line(f"{path}:{number}", line)

    def end(self, folder: Path, head: Head | None) -> None:
        """Compares where the log ends with where it says it does."""
        verdict = self.verdict
        if head is None and verdict.num_lines:
            self._find(
                f"{folder / HEAD}", "HEAD is missing or damaged: lines at the end may be, too"
            )
        elif head is not None and head.seq > verdict.seq:
            self._find(
                f"{folder / head.file}",
                f"lines {verdict.seq + 1} to {head.seq} are missing at the end: they were removed,"
                " or the writer died; the next append restores those that HEAD holds",
            )
        elif head is not None and (head.seq, head.hash) != (verdict.seq, verdict.hash):
            what = "were inserted at the end" if head.seq < verdict.seq else "is another one"
            self._find(
                f"{folder / HEAD}",
                f"HEAD ends the log with line {head.seq}, what comes there or after it {what}",
            )
        if not self._anchored and self._anchor is not None:
            self._find(
                str(folder), f"line {self._anchor[0]} with hash {self._anchor[1]} is not in the log"
            )

    def _line(self, place: str, line: str) -> None:
        found = parsed(line)
        expected = self.verdict.seq + 1
        if found is None:
            self._find(place, f"line {expected} was changed: it is no line of the log any more")
            self.verdict.seq, self._is_sure = expected, False
            return
        content, claimed, actual = found
        seq = int(str(content["seq"]))
        if claimed != actual:
            self._find(place, f"line {seq} was changed: its hash is not that of its content")
        if seq < expected:
            self._find(place, f"line {seq} comes twice: this one or the other was inserted")
            return
        if seq > expected:
            which = f"line {expected} was" if seq == expected + 1 else (
                f"lines {expected} to {seq - 1} were"
            )  # fmt: skip
            self._find(place, f"{which} removed before line {seq}")
        elif self._is_sure and content["prev"] != self.verdict.hash and claimed == actual:
            self._find(
                place,
                f"line {seq} does not follow the line before it: line {seq - 1} was replaced, or"
                " lines were exchanged",
            )
        if content.get("event") == HEAD_LOST:
            self._find(place, f"HEAD was lost before line {seq}: lines before it may be missing")
        self.verdict.seq, self.verdict.hash, self._is_sure = seq, claimed, True
        self._anchored = self._anchored or (seq, claimed) == self._anchor

    def _find(self, place: str, what: str) -> None:
        self.verdict.findings.append(Finding(place, what))


def _lines(path: Path, size: int) -> Iterator[str]:
    left = size
    with path.open("rb") as file:
        for line in file:
            if left <= 0:
                return
            left -= len(line)
            yield line.decode("utf-8", "replace").rstrip("\n")
