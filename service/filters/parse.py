"""From text to a tree: a LALR grammar, so that neither depth nor length can exhaust anything."""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

from lark import (
    Lark,
    Token,
    Transformer,
    UnexpectedCharacters,
    UnexpectedInput,
    UnexpectedToken,
    v_args,
)

from service.filters.syntax import (
    Among,
    Between,
    Compare,
    Contains,
    Every,
    Expression,
    FieldName,
    FilterError,
    Literally,
    Missing,
    Moment,
    Negation,
    Operator,
    Some,
    Value,
)

MAX_LENGTH = 4096
MAX_DEPTH = 16
MAX_TESTS = 64

_MAX_INT64 = 2**63
_MEANINGS = {
    "COMPARISON": "a comparison (=, !=, <, <=, >, >=)",
    "_IN": "'in'",
    "_BETWEEN": "'between'",
    "_CONTAINS": "'contains'",
    "_IS": "'is'",
    "_MISSING": "'missing'",
    "_AND": "'and'",
    "_OR": "'or'",
    "_NOT": "'not'",
    "NAME": "a field (`in backticks` if it holds other characters)",
    "TEXT": 'text in "quotes"',
    "NUMBER": "a number",
    "DATE": "a date (2024-01-31)",
    "TRUTH": "true or false",
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "_TO": "'..'",
}


@lru_cache(maxsize=256)
def parse_filter(text: str) -> Expression:
    """The tree of a filter.

    Raises:
        FilterError: the text is no filter, too long, too deep, or has too many tests.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(MAX_LENGTH + 1, f"a filter has at most {MAX_LENGTH:,} characters")
    try:
        tree: Expression = _PARSER.parse(text)  # type: ignore[assignment]  # what _Builder returns
    except UnexpectedInput as error:
        raise _explain(error, text) from error
    _check_size(tree)
    return tree


class _Builder(Transformer[Token, Expression]):
    """Builds the tree while parsing; the order of the methods is that of the grammar."""

    def some(self, terms: Sequence[Expression]) -> Expression:
        return Some(tuple(terms))

    def every(self, terms: Sequence[Expression]) -> Expression:
        return Every(tuple(terms))

    @v_args(inline=True)
    def negation(self, term: Expression) -> Expression:
        return Negation(term)

    @v_args(inline=True)
    def compare(self, field: FieldName, comparison: Token, literal: Literally) -> Expression:
        if comparison in ("!=", "<>"):
            return Negation(Compare(field, "=", literal))
        return Compare(field, _OPERATORS[comparison], literal)

    @v_args(inline=True)
    def among(self, field: FieldName, literals: tuple[Literally, ...]) -> Expression:
        return Among(field, literals)

    @v_args(inline=True)
    def not_among(self, field: FieldName, literals: tuple[Literally, ...]) -> Expression:
        return Negation(Among(field, literals))

    @v_args(inline=True)
    def between(self, field: FieldName, low: Literally, high: Literally) -> Expression:
        return Between(field, low, high)

    @v_args(inline=True)
    def contains(self, field: FieldName, literal: Literally) -> Expression:
        return Contains(field, literal)

    @v_args(inline=True)
    def missing(self, field: FieldName) -> Expression:
        return Missing(field)

    @v_args(inline=True)
    def present(self, field: FieldName) -> Expression:
        return Negation(Missing(field))

    @v_args(inline=True)
    def truth(self, field: FieldName) -> Expression:
        return Compare(field, "=", Literally(True, field.position, "true"))

    def list(self, literals: Sequence[Literally]) -> tuple[Literally, ...]:
        return tuple(literals)

    @v_args(inline=True)
    def field(self, name: Token) -> FieldName:
        return FieldName(name.strip("`"), _position(name))

    @v_args(inline=True)
    def literal(self, token: Token) -> Literally:
        return Literally(_value(token), _position(token), str(token))


def _value(token: Token) -> Value:
    match token.type:
        case "TEXT":
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        case "DATE":
            try:
                return Moment.of(token.upper())
            except (ValueError, OverflowError) as error:
                raise FilterError(_position(token), f"{token} is no date: {error}") from error
        case "NUMBER":
            return _number(token)
        case _:
            return token.lower() == "true"


def _number(token: Token) -> int | float:
    value: int | float = float(token)
    if not math.isfinite(value):
        raise FilterError(_position(token), f"{token} is too large a number")
    whole = re.fullmatch(r"-?\d+", token) and abs(value) < _MAX_INT64
    return int(token) if whole else value


def _check_size(tree: Expression) -> None:
    level: list[Expression] = [tree]
    depth = tests = 0
    while level:
        depth += 1
        below: list[Expression] = []
        for node in level:
            match node:
                case Negation(term):
                    below.append(term)
                case Every(terms) | Some(terms):
                    below += terms
                case _:
                    tests += 1
        level = below
    if depth > MAX_DEPTH:
        raise FilterError(
            1, f"and, or and not are nested {depth} deep, at most {MAX_DEPTH}; use fewer brackets"
        )
    if tests > MAX_TESTS:
        raise FilterError(
            1, f"there are {tests} tests, at most {MAX_TESTS}; one `in (...)` replaces many `=`"
        )


def _explain(error: UnexpectedInput, text: str) -> FilterError:
    expected: set[str] = set()
    position, found = len(text) + 1, "the end"
    if isinstance(error, UnexpectedCharacters):
        expected = set(error.allowed or ())
        position = int(error.pos_in_stream or 0) + 1
        character = text[position - 1]
        if character in "\"'`":
            return FilterError(
                position,
                f'what begins with {character} does not end: close it; inside a text write \\" for'
                " a quote and \\\\ for a backslash",
            )
        found = repr(character)
    elif isinstance(error, UnexpectedToken):
        expected = set(error.accepts or error.expected)
        if error.token.type != "$END":
            position, found = _position(error.token), repr(str(error.token))
    wanted = sorted(_MEANINGS[name] for name in _MEANINGS.keys() & expected)
    if "$END" in expected:
        wanted.append("the end")
    return FilterError(position, f"found {found}, expected {', '.join(wanted)}")


def _position(token: Token) -> int:
    return (token.start_pos or 0) + 1


_OPERATORS: dict[str, Operator] = {"=": "=", "==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_PARSER = Lark(
    files("service.filters").joinpath("grammar.lark").read_text(encoding="utf-8"),
    parser="lalr",
    transformer=_Builder(),
)
