"""What both clients agree on."""

from mutualrec import __version__

TIMEOUT_S = 5.0
BATCH_SIZE = 500
NDJSON = "application/x-ndjson"


def headers_of(api_key: str | None) -> dict[str, str]:
    """Headers of every request.

    Raises:
        ValueError: the key cannot be one.
    """
    headers = {"User-Agent": f"mutualrec-python/{__version__}"}
    if api_key is not None:
        if not api_key.isascii() or not api_key.isprintable() or not api_key.strip():
            raise ValueError("the API key is no key; `mutualrec keys create` prints one")
        headers["X-API-Key"] = api_key
    return headers
