"""Deletion of an account, for its user and for operators."""

from typing import Any

from sqlalchemy import Row

from ..auth.users import lock_user, remove_user
from ..db import db
from ..images.cleanup import delete_orphans
from ..images.queries import image_keys_of_user
from ..logs import audit
from ..movies.queries import lock_movies_of, remove_movies_of


def delete_account_data(user: Row[Any]) -> bool:
    """Delete the user with all movies, sessions and images, and commit.

    Return False if the user was already deleted, or the password has changed.
    """
    # Read before the transaction; later uploads delete images that are added meanwhile
    images = image_keys_of_user(user.id)
    # A DELETE locks the movie, then its owner; an INSERT locks the owner twice (foreign key and
    # trigger). Locking in this order before deleting anything rules out a deadlock with either
    lock_movies_of(user.id)
    lock_user(user.id)
    remove_movies_of(user.id)
    if not remove_user(user):
        return False
    db.session.commit()
    audit("account_deleted", user.id)
    delete_orphans(images)
    return True
