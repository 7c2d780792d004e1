"""Finding funds and companies by what people call them."""

import unicodedata
from collections.abc import Sequence
from functools import cached_property


class NameSearch:
    """Names and ids to look in; safe to use from several threads."""

    def __init__(
        self, ids: Sequence[str], names: Sequence[str | None], others: Sequence[str | None] = ()
    ) -> None:
        """Reads nothing yet.

        Args:
            ids: one per row.
            names: of the rows.
            others: what else a row is called, such as a CIK; empty for nothing.
        """
        self._ids, self._names, self._others = ids, names, others

    def find(self, text: str) -> list[int]:
        """The rows that match, best first, equal ones in row order.

        Better than others are: the whole id or name, a name that begins so, a name of which every
        word of the text begins a word, and last a name or id that holds the text anywhere.
        """
        wanted = _plain(text)
        words = wanted.split()
        found: list[tuple[int, int]] = []
        for row, (name, codes) in enumerate(zip(self._plain_names, self._codes, strict=True)):
            place = _place(wanted, words, name, codes)
            if place is not None:
                found.append((place, row))
        return [row for _, row in sorted(found)]

    @cached_property
    def _plain_names(self) -> list[str]:
        return [_plain(name or "") for name in self._names]

    @cached_property
    def _codes(self) -> list[tuple[str, ...]]:
        others = self._others or [None] * len(self._ids)
        return [
            tuple(_plain(code) for code in pair if code)
            for pair in zip(self._ids, others, strict=True)
        ]


def _place(wanted: str, words: list[str], name: str, codes: tuple[str, ...]) -> int | None:
    if wanted == name or wanted in codes:
        return 0
    if name.startswith(wanted) or any(code.startswith(wanted) for code in codes):
        return 1
    parts = name.split()
    if words and all(any(part.startswith(word) for part in parts) for word in words):
        return 2
    return 3 if wanted in name or any(wanted in code for code in codes) else None


def _plain(text: str) -> str:
    """Without case, accents, punctuation between words, and repeated spaces."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    folded = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split()) or folded.strip()
