"""The requests of each scenario, for many users in turn or for one with a large collection."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, cycle, repeat

from . import load

CLIENTS = 32  # concurrent connections
PASSWORD = "a password that is hard to guess"
WORDS = (
    ("Silent", "Broken", "Golden", "Última", "Wild", "Lost", "Élan", "Crimson", "Hidden"),
    ("River", "Garden", "Mirror", "Señorita", "Station", "Machine", "Night", "Daughter"),
    ("Paris", "Brooklyn", "Málaga", "Kyoto", "Tomorrow", "Berlin", "Nowhere", "Åland", "Oz"),
)
COMMON = "night"  # one title in eight


@dataclass(frozen=True)
class User:
    """An account, a session of it, and some of its movies."""

    email: str
    token: str
    movies: tuple[int, ...]


@dataclass(frozen=True)
class Accounts:
    """The accounts: small ones, neighbours and a large one with a cursor deep in its list."""

    users: list[User]
    neighbours: list[User]
    logins: list[User]  # used only for logins: an account has a limited number of sessions
    heavy: User
    cursor: str


Script = Callable[[Accounts, int], Iterator[bytes]]  # the requests of one connection, by its number


def http(
    method: str, path: str, user: User | None = None, body: object = b"", length: int = 0
) -> bytes:
    """Return the bytes of a request; `length` declares a body that is sent later."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json"]
    if user is not None:
        head.append(f"Authorization: Bearer {user.token}")
    if content or length:
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        head += [f"Content-Type: {kind}", f"Content-Length: {len(content) or length}"]
    return "\r\n".join([*head, "", ""]).encode() + content


def movies_file(size: int) -> bytes:
    """Return a file for POST /movies/import with that many different movies."""
    rows = []
    for number in range(size):
        first, thing, place = (words[number % len(words)] for words in WORDS)
        title = f"The {first} {thing} of {place}, Part {number}"
        image = f"https://images.example.com/{number}.jpg"
        rows.append({"title": title, "year": str(1930 + number % 97), "imageUrl": image})
    return "\n".join(map(json.dumps, rows)).encode()


def login(user: User) -> bytes:
    """Return the request that logs in."""
    return http("POST", "/auth/login", body={"email": user.email, "password": PASSWORD})


def for_each_user(build: Callable[[User, int], bytes]) -> Script:
    """Return a script with a request of each user in turn; connections start at different users."""

    def script(accounts: Accounts, index: int) -> Iterator[bytes]:
        for number in count(index * 7):
            yield build(accounts.users[number % len(accounts.users)], number)

    return script


def add(user: User, number: int) -> bytes:
    """Return the request that adds a movie."""
    image = "https://images.example.com/1.jpg"
    body = {"title": f"The Night Train No. {number}", "year": "1999", "imageUrl": image}
    return http("POST", "/movies", user, body)


def show(user: User, number: int) -> bytes:
    """Return the request for one movie."""
    return http("GET", f"/movies/{user.movies[number % len(user.movies)]}", user)


def path(text: str) -> Script:
    """Return a script that gets a path as each user in turn."""
    return for_each_user(lambda user, number: http("GET", text, user))


SCENARIOS: dict[str, tuple[int, Script]] = {  # the expected status, the requests
    "health": (200, path("/health")),
    "list": (200, path("/movies")),
    "get": (200, for_each_user(show)),
    "create": (201, for_each_user(add)),
    "search": (200, path(f"/movies?search={COMMON}")),
    "heavy-list": (200, lambda accounts, index: repeat(http("GET", "/movies", accounts.heavy))),
    "heavy-cursor": (
        200,
        lambda accounts, index: repeat(
            http("GET", f"/movies?cursor={accounts.cursor}", accounts.heavy)
        ),
    ),
    "login": (200, lambda accounts, index: cycle(map(login, accounts.logins))),
}


def run_scenario(url: str, name: str, accounts: Accounts, seconds: float) -> load.Result:
    """Run a scenario on all connections."""
    _, script = SCENARIOS[name]
    scripts = [script(accounts, index) for index in range(CLIENTS)]
    return asyncio.run(load.run_scripts(url, scripts, seconds))
