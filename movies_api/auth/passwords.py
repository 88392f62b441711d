"""Passwords: Argon2id, a few at a time, and the ones everybody tries first."""

import unicodedata
from functools import lru_cache
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from passlib.hash import argon2

from ..config import Config, current_config

COMMON_PASSWORDS = Path(__file__).with_name("common-passwords.txt")


@lru_cache(maxsize=8)
def _hasher(config: Config) -> tuple[Any, BoundedSemaphore, str]:
    """Return the hasher, the queue before it and a hash nobody's password has."""
    hasher = argon2.using(
        type="ID",
        memory_cost=config.argon2_memory_kib,
        time_cost=config.argon2_time_cost,
        parallelism=config.argon2_parallelism,
    )
    # each computation takes its own memory: many at once must queue, not swap
    return (hasher, BoundedSemaphore(config.argon2_concurrency), hasher.hash("nobody's password"))


def warm_up_passwords(config: Config) -> None:
    """Compute at boot what the first login would have to wait for, and could be told by."""
    _hasher(config)


def hash_password(password: str) -> str:
    """Return the Argon2id hash."""
    hasher, queue, _ = _hasher(current_config())
    with queue:
        hashed: str = hasher.hash(normalize(password))
        return hashed


def verify_password(password: str, password_hash: str | None) -> bool:
    """Tell whether the password is right; without a hash it takes as long, and is wrong."""
    hasher, queue, dummy_hash = _hasher(current_config())
    with queue:
        is_right: bool = hasher.verify(normalize(password), password_hash or dummy_hash)
        return is_right and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Tell whether the hash was made with other parameters than today's."""
    is_old: bool = _hasher(current_config())[0].needs_update(password_hash)
    return is_old


@lru_cache(maxsize=1)
def _common_passwords() -> frozenset[str]:
    return frozenset(COMMON_PASSWORDS.read_text(encoding="utf-8").split())


def is_common_password(password: str) -> bool:
    """Tell whether the password is one of those that everybody tries first."""
    return normalize(password).lower() in _common_passwords()


def normalize(password: str) -> str:
    """Return one form for what keyboards write in several; never trimmed."""
    return unicodedata.normalize("NFKC", password)
