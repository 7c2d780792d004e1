"""API keys: the file that holds them, hashed, and how a presented key is recognised.

A key looks like ``mr_<id>_<secret>``: the prefix lets scanners of leaked secrets find it, the id
says which entry to compare with, and the secret has 256 random bits, so that one SHA-256 is a safe
hash of it. A named key has at most two valid secrets, which makes rotation possible without a
moment in which clients are refused.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import KeysInvalid, UnknownKey
from service.versions import sync_folder

Scope = Literal["read", "write", "admin"]

PREFIX = "mr"
SECRETS_PER_KEY = 2
_NO_DIGEST = bytes(32)


@dataclass(frozen=True)
class ApiKey:
    """Who is asking: a named key, what it may do, and its own request limit if it has one."""

    name: str
    scopes: frozenset[Scope]
    limit: int | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether the key has the scope; admin has all."""
        return scope in self.scopes or "admin" in self.scopes


class StoredSecret(BaseModel):
    """One valid secret, as its SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    created_at: datetime


class StoredKey(BaseModel):
    """A named key with its valid secrets, oldest first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    limit: Annotated[int, Field(ge=1)] | None = None
    secrets: Annotated[tuple[StoredSecret, ...], Field(min_length=1, max_length=SECRETS_PER_KEY)]


class StoredKeys(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    keys: tuple[StoredKey, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> "StoredKeys":
        names = [key.name for key in self.keys]
        ids = [secret.id for key in self.keys for secret in key.secrets]
        if len(set(names)) != len(names) or len(set(ids)) != len(ids):
            raise ValueError("names and ids must be distinct")
        return self

    def require(self, name: str) -> StoredKey:
        """The key of that name.

        Raises:
            UnknownKey: naming those there are.
        """
        for key in self.keys:
            if key.name == name:
                return key
        known = ", ".join(key.name for key in self.keys) or "none"
        raise UnknownKey(f"there is no key {name!r}; known keys are: {known}")


class KeyRing:
    """The keys that are valid now; immutable."""

    def __init__(self, stored: StoredKeys) -> None:
        self._entries = {
            secret.id: (bytes.fromhex(secret.sha256), ApiKey(key.name, _scopes(key), key.limit))
            for key in stored.keys
            for secret in key.secrets
        }

    def __len__(self) -> int:
        """The number of valid secrets."""
        return len(self._entries)

    def find(self, presented: str) -> ApiKey | None:
        """The key that was presented, or None if it is not valid.

        Hashing and comparing take as long for an unknown id as for a wrong secret.
        """
        _, _, rest = presented.partition("_")
        digest, key = self._entries.get(rest.partition("_")[0], (_NO_DIGEST, None))
        is_equal = hmac.compare_digest(_sha256(presented), digest)
        return key if is_equal else None


def read_keys(path: Path) -> StoredKeys | None:
    """The keys of a file, None where there is no file.

    Raises:
        KeysInvalid: the file cannot be read or understood.
    """
    try:
        return StoredKeys.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeysInvalid(f"{path} cannot be read: {error.strerror}; check its owner") from error
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        where = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults[:3])
        raise KeysInvalid(
            f"{path} is no file of API keys ({where}); restore it, or delete it and create the keys"
            " again with `mutualrec keys create`"
        ) from error


def create_key(path: Path, name: str, scopes: Sequence[Scope], limit: int | None = None) -> str:
    """Adds a key and returns its secret, which is stored nowhere.

    Raises:
        KeysInvalid: the name is taken or not allowed, or the file cannot be understood.
    """
    with _changing(path) as stored:
        if any(key.name == name for key in stored.keys):
            raise KeysInvalid(
                f"there is a key {name!r} already; give it a new secret with `mutualrec keys rotate"
                f" {name}`, or choose another name"
            )
        token, secret = _new_secret()
        try:
            key = StoredKey(
                name=name, scopes=tuple(sorted(set(scopes))), limit=limit, secrets=(secret,)
            )
        except ValidationError as error:
            faults = "; ".join(f"{f['loc'][0]}: {f['msg']}" for f in error.errors())
            raise KeysInvalid(f"the key {name!r} cannot be created: {faults}") from error
        _write(path, (*stored.keys, key))
    return token


def rotate_key(path: Path, name: str) -> str:
    """Adds a secret to a key and returns it; of older ones only the newest stays valid.

    Raises:
        UnknownKey: there is no key of that name.
        KeysInvalid: the file cannot be understood.
    """
    with _changing(path) as stored:
        token, secret = _new_secret()
        kept = stored.require(name).secrets[-(SECRETS_PER_KEY - 1) :]
        _write(path, _with_secrets(stored, name, (*kept, secret)))
    return token


def retire_secret(path: Path, name: str) -> int:
    """Makes all secrets of a key but the newest invalid; returns how many.

    Raises:
        UnknownKey: there is no key of that name.
        KeysInvalid: the file cannot be understood.
    """
    with _changing(path) as stored:
        *old, newest = stored.require(name).secrets
        _write(path, _with_secrets(stored, name, (newest,)))
    return len(old)


def revoke_key(path: Path, name: str) -> None:
    """Removes a key with all its secrets.

    Raises:
        UnknownKey: there is no key of that name.
        KeysInvalid: the file cannot be understood.
    """
    with _changing(path) as stored:
        revoked = stored.require(name)
        _write(path, tuple(key for key in stored.keys if key is not revoked))


def _scopes(key: StoredKey) -> frozenset[Scope]:
    return frozenset(key.scopes)


def _sha256(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _new_secret() -> tuple[str, StoredSecret]:
    key_id = secrets.token_hex(6)
    token = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
    return token, StoredSecret(id=key_id, sha256=_sha256(token).hex(), created_at=datetime.now(UTC))


def _with_secrets(
    stored: StoredKeys, name: str, valid: tuple[StoredSecret, ...]
) -> tuple[StoredKey, ...]:
    return tuple(
        key.model_copy(update={"secrets": valid}) if key.name == name else key
        for key in stored.keys
    )


@contextmanager
def _changing(path: Path) -> Iterator[StoredKeys]:
    """The stored keys, while nobody else changes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield read_keys(path) or StoredKeys()


def _write(path: Path, keys: tuple[StoredKey, ...]) -> None:
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(StoredKeys(keys=keys).model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)
