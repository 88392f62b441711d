"""Demo data for an empty database: an account and three movies."""

from sqlalchemy import func, select

from .auth.passwords import hash_password
from .auth.schemas import DEMO
from .auth.users import add_user
from .db import autocommit_one, db
from .models import users
from .movies.queries import insert_movie

EMAIL, PASSWORD = DEMO["email"], DEMO["password"]
POSTER = "https://images.example.com/{}.jpg"
MOVIES = (("Spirited Away", "2001"), ("The Godfather", "1972"), ("Amélie", "2001"))


def add_demo_data() -> bool:
    """Add the demo data, or return False if an account exists."""
    row = autocommit_one(select(func.count()).select_from(users), {})
    if row is None or row[0]:
        return False
    owner = add_user("Test User", EMAIL, hash_password(PASSWORD))
    db.session.commit()
    for title, year in MOVIES:
        image_url = POSTER.format(title.lower().replace(" ", "-").replace("é", "e"))
        insert_movie(owner.id, {"title": title, "year": year, "image_url": image_url})
    return True
