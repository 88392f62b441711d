"""Passwords: Argon2id, a few at a time, and the ones everybody tries first."""

import unicodedata
from functools import lru_cache
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from passlib.hash import argon2

from ..config import Config, settings

COMMON = Path(__file__).with_name("common-passwords.txt")


@lru_cache(maxsize=8)
def _tools(config: Config) -> tuple[Any, BoundedSemaphore, str]:
    """Return the hasher, the queue before it and a hash nobody's password has."""
    hasher = argon2.using(
        type="ID",
        memory_cost=config.argon2_memory_kib,
        time_cost=config.argon2_time_cost,
        parallelism=config.argon2_parallelism,
    )
    # each computation takes its own memory: many at once must queue, not swap
    return (hasher, BoundedSemaphore(config.argon2_concurrency), hasher.hash("nobody's password"))


def prepare_passwords(config: Config) -> None:
    """Compute at boot what the first login would have to wait for, and could be told by."""
    _tools(config)


def hash_password(password: str) -> str:
    """Return the Argon2id hash."""
    hasher, queue, _ = _tools(settings())
    with queue:
        hashed: str = hasher.hash(normalised(password))
        return hashed


def is_password(password: str, password_hash: str | None) -> bool:
    """Tell whether the password is right; without a hash it takes as long, and is wrong."""
    hasher, queue, nobody = _tools(settings())
    with queue:
        is_right: bool = hasher.verify(normalised(password), password_hash or nobody)
        return is_right and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Tell whether the hash was made with other parameters than today's."""
    is_old: bool = _tools(settings())[0].needs_update(password_hash)
    return is_old


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    return frozenset(COMMON.read_text(encoding="utf-8").split())


def is_common(password: str) -> bool:
    """Tell whether the password is one of those that everybody tries first."""
    return normalised(password).lower() in _common()


def normalised(password: str) -> str:
    """Return one form for what keyboards write in several; never trimmed."""
    return unicodedata.normalize("NFKC", password)
