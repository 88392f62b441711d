"""Passwords: Argon2id with bounded concurrency, and the list of common ones."""

import unicodedata
from functools import lru_cache
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from passlib.hash import argon2

from ..api.errors import Message
from ..config import Config, current_config

PERSONAL = Message("This password is your email address or name. Choose another one.", "too_weak")
COMMON_PASSWORDS = Path(__file__).with_name("common-passwords.txt")


@lru_cache(maxsize=8)
def _hasher(config: Config) -> tuple[Any, BoundedSemaphore, str]:
    """Return the hasher, its semaphore and a hash that matches no password."""
    hasher = argon2.using(
        type="ID",
        memory_cost=config.argon2_memory_kib,
        time_cost=config.argon2_time_cost,
        parallelism=config.argon2_parallelism,
    )
    # Each hash needs its own memory: excess requests must queue instead of swapping
    return (hasher, BoundedSemaphore(config.argon2_concurrency), hasher.hash("a dummy password"))


def warm_up_passwords(config: Config) -> None:
    """Compute the dummy hash at startup, so that the time of the first login reveals nothing."""
    _hasher(config)


def hash_password(password: str) -> str:
    """Return the Argon2id hash."""
    hasher, queue, _ = _hasher(current_config())
    with queue:
        hashed: str = hasher.hash(normalize_password(password))
        return hashed


def verify_password(password: str, password_hash: str | None) -> bool:
    """Return whether the password is correct; without a hash, return False after the same time."""
    hasher, queue, dummy_hash = _hasher(current_config())
    with queue:
        is_right: bool = hasher.verify(normalize_password(password), password_hash or dummy_hash)
        return is_right and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Return whether the hash was computed with other parameters than the current ones."""
    is_old: bool = _hasher(current_config())[0].needs_update(password_hash)
    return is_old


@lru_cache(maxsize=1)
def _common_passwords() -> frozenset[str]:
    return frozenset(COMMON_PASSWORDS.read_text(encoding="utf-8").split())


def is_common_password(password: str) -> bool:
    """Return whether the password is in the list of common ones."""
    return normalize_password(password).lower() in _common_passwords()


def is_personal_password(password: str, name: str, email: str) -> bool:
    """Return whether the password is the user's name, email, or the part before the @-sign."""
    personal = (name, email, email.rpartition("@")[0])
    return normalize_password(password).strip().casefold() in [
        normalize_password(x).casefold() for x in personal
    ]


def normalize_password(password: str) -> str:
    """Return the password in Unicode form NFKC; never trimmed."""
    return unicodedata.normalize("NFKC", password)
