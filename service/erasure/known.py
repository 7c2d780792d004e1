"""Whom a version knows, without those who were erased since it was trained."""

from collections.abc import Iterator, Mapping

from service.erasure.marks import Carried, Erased


class KnownUsers(Mapping[str, int]):
    """Rows by user id. What is erased while a version is served leaves it at once."""

    def __init__(self, rows: Mapping[str, int], erased: Erased, carried: Carried) -> None:
        """Copies nothing.

        Args:
            rows: of all users that the version was trained with.
            erased: the catalog's marks; they change.
            carried: the erasures that the version was trained after.
        """
        self._rows = rows
        self._erased = erased
        self._carried = carried

    def get(self, user_id: str, default: int | None = None) -> int | None:  # type: ignore[override]  # no other type of default
        """The user's row; the default for one the version does not know any more."""
        row = self._rows.get(user_id)
        if row is None or (self._erased and self._erased.hides(user_id, self._carried)):
            return default
        return row

    def __getitem__(self, user_id: str) -> int:
        row = self.get(user_id)
        if row is None:
            raise KeyError(user_id)
        return row

    def __iter__(self) -> Iterator[str]:
        return (user_id for user_id in self._rows if self.get(user_id) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def hidden(self) -> frozenset[int]:
        """Rows of those who were erased."""
        if not self._erased:
            return frozenset()
        erased, carried = self._erased, self._carried
        return frozenset(row for name, row in self._rows.items() if erased.hides(name, carried))
