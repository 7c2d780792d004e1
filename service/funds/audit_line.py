"""One line of the audit log: JSON that ends with the hash of itself and begins with none.

``{"answer_hash": ..., ..., "prev": <hash of the line before>, "seq": <number>, ...,"hash": ...}``:
the hash is SHA-256 over the line without its last member, so it covers the line before, and through
that one every line there ever was.
"""

import hashlib
import json
import re
from collections.abc import Mapping

from pydantic import JsonValue

FIRST_PREVIOUS = "0" * 64
"""What the first line says of the line before it."""

_ENDED = re.compile(r'(\{.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


def chained(entry: Mapping[str, JsonValue], seq: int, previous: str) -> tuple[str, str]:
    """The line of an entry, without a line break, and its hash.

    Args:
        entry: what to say; ``seq``, ``prev`` and ``hash`` are added.
        seq: the line's number, from 1.
        previous: the hash of the line before.
    """
    body = canonical({**entry, "prev": previous, "seq": seq})
    digest = sha256(body)
    return f'{body[:-1]},"hash":"{digest}"}}', digest


def parsed(line: str) -> tuple[dict[str, JsonValue], str, str] | None:
    """The line's content, the hash it claims and the hash it has; None if it is no such line."""
    match = _ENDED.fullmatch(line)
    if match is None:
        return None
    body, claimed = match[1] + "}", match[2]
    try:
        content = json.loads(body)
    except ValueError:
        return None
    if not isinstance(content.get("seq"), int) or not isinstance(content.get("prev"), str):
        return None
    return content, claimed, sha256(body)


def canonical(value: Mapping[str, JsonValue]) -> str:
    """JSON that is the same for equal values: ASCII, sorted, without spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(text: str) -> str:
    """SHA-256 of the text's UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
