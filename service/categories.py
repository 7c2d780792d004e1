"""What a catalog calls a category: the values of its categorical modalities' columns."""

from service.errors import InvalidParameter
from service.filters import Expression
from service.filters.fields import FieldKind
from service.filters.syntax import Compare, FieldName, Literally, Some, Value
from service.snapshot import Snapshot


def category_fields(snapshot: Snapshot) -> list[str]:
    """The catalog's category fields that the items have."""
    listed = snapshot.artifact.manifest.category_fields
    return [name for name in listed if name in snapshot.columns.fields]


def category_filter(snapshot: Snapshot, category: str, field: str | None) -> Expression:
    """The filter that lets the items of a category through.

    Args:
        snapshot: the version that answers.
        category: the value, as text.
        field: where it is looked for; None means in all of the catalog's category fields.

    Raises:
        InvalidParameter: there is no such field, or the catalog has no category field.
    """
    known = snapshot.columns.fields
    names = category_fields(snapshot) if field is None else [field]
    missing = [name for name in names if name not in known]
    if missing or not names:
        what = f"there is no field {field!r}" if missing else "this catalog has no category field"
        raise InvalidParameter(
            f"category: {what}; set category_field to one of: {', '.join(sorted(known)) or 'none'}"
        )
    terms = tuple(
        Compare(FieldName(name, 1), "=", Literally(_value(category, known[name]), 1, category))
        for name in names
    )
    return terms[0] if len(terms) == 1 else Some(terms)


def _value(category: str, kind: FieldKind) -> Value:
    if kind.kind == "number":
        try:
            return float(category)
        except ValueError as error:
            raise InvalidParameter(f"category: {category!r} is no number") from error
    return category.lower() == "true" if kind.kind == "boolean" else category
