"""The requests of each scenario, for many people in turn or for the one with a large collection."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, cycle, repeat

from . import load

LANES = 32  # connections
PASSWORD = "a password that is hard to guess"
WORDS = (
    ("Silent", "Broken", "Golden", "Última", "Wild", "Lost", "Élan", "Crimson", "Hidden"),
    ("River", "Garden", "Mirror", "Señorita", "Station", "Machine", "Night", "Daughter"),
    ("Paris", "Brooklyn", "Málaga", "Kyoto", "Tomorrow", "Berlin", "Nowhere", "Åland", "Oz"),
)
COMMON = "night"  # one title in eight


@dataclass(frozen=True)
class Person:
    """An account, a session of it, and some of its movies."""

    email: str
    token: str
    movies: tuple[int, ...]


@dataclass(frozen=True)
class World:
    """The accounts: small ones, a large one with a cursor deep inside it, and the neighbours."""

    people: list[Person]
    neighbours: list[Person]
    logins: list[Person]  # used only for logins: an account has a limited number of sessions
    heavy: Person
    cursor: str


Script = Callable[[World, int], Iterator[bytes]]  # the requests of one of many connections


def http(
    method: str, path: str, person: Person | None = None, body: object = b"", length: int = 0
) -> bytes:
    """Return the bytes of a request; `length` announces a body that is sent later."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json"]
    if person is not None:
        head.append(f"Authorization: Bearer {person.token}")
    if content or length:
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        head += [f"Content-Type: {kind}", f"Content-Length: {len(content) or length}"]
    return "\r\n".join([*head, "", ""]).encode() + content


def movies_file(size: int) -> bytes:
    """Return so many movies with different titles, as a file for POST /movies/import."""
    rows = []
    for number in range(size):
        first, thing, place = (words[number % len(words)] for words in WORDS)
        title = f"The {first} {thing} of {place}, Part {number}"
        image = f"https://images.example.com/{number}.jpg"
        rows.append({"title": title, "year": str(1930 + number % 97), "imageUrl": image})
    return "\n".join(map(json.dumps, rows)).encode()


def login(person: Person) -> bytes:
    """Return the request that logs in."""
    return http("POST", "/auth/login", body={"email": person.email, "password": PASSWORD})


def everyone(ask: Callable[[Person, int], bytes]) -> Script:
    """Return a script that asks for each person in turn; each connection starts at another one."""

    def script(world: World, lane: int) -> Iterator[bytes]:
        for number in count(lane * 7):
            yield ask(world.people[number % len(world.people)], number)

    return script


def add(person: Person, number: int) -> bytes:
    """Return the request that adds a movie."""
    image = "https://images.example.com/1.jpg"
    body = {"title": f"The Night Train No. {number}", "year": "1999", "imageUrl": image}
    return http("POST", "/movies", person, body)


def show(person: Person, number: int) -> bytes:
    """Return the request for one movie."""
    return http("GET", f"/movies/{person.movies[number % len(person.movies)]}", person)


def path(text: str) -> Script:
    """Return a script that gets a path for each person."""
    return everyone(lambda person, number: http("GET", text, person))


SCENARIOS: dict[str, tuple[int, Script]] = {  # the expected status, the requests
    "health": (200, path("/health")),
    "list": (200, path("/movies")),
    "get": (200, everyone(show)),
    "create": (201, everyone(add)),
    "search": (200, path(f"/movies?search={COMMON}")),
    "heavy-list": (200, lambda world, lane: repeat(http("GET", "/movies", world.heavy))),
    "heavy-cursor": (
        200,
        lambda world, lane: repeat(http("GET", f"/movies?cursor={world.cursor}", world.heavy)),
    ),
    "login": (200, lambda world, lane: cycle(map(login, world.logins))),
}


def play(url: str, name: str, world: World, seconds: float) -> load.Result:
    """Play a scenario on all connections."""
    _, script = SCENARIOS[name]
    return asyncio.run(load.play(url, [script(world, lane) for lane in range(LANES)], seconds))
