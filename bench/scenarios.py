"""What is asked: each scenario plays one request, for 200 users in turn or for the heavy one."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from .load import Script

LIMIT = 20  # of GET /movies, unless told otherwise
PASSWORD = "a password nobody guesses"
COMMON, RARE = "night", ("zanzibar", "quixote", "xylophone", "kyrgyz", "oubliette")


@dataclass(frozen=True)
class Person:
    """Somebody with a session, and some of their movies."""

    email: str
    token: str
    cookie: str
    movies: tuple[int, ...]


@dataclass(frozen=True)
class World:
    """Who asks; the heavy one has `heavy_count` movies, and a cursor behind the deep page."""

    people: list[Person]
    heavy: Person | None = None
    heavy_count: int = 0
    cursor: str = ""
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def deep_page(self) -> int:
        """Return the page at four fifths of the heavy collection."""
        return max(1, self.heavy_count * 4 // 5 // LIMIT)


@dataclass(frozen=True)
class Scenario:
    """A name, the status every answer must have, and what one of many connections plays."""

    name: str
    status: int
    script: Callable[[World, int], Script]


def http(
    method: str, path: str, who: Person | None = None, body: object = None, cookie: str = ""
) -> bytes:
    """Return the bytes of a request."""
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json"]
    content = b"" if body is None else json.dumps(body).encode()
    if who is not None:
        head.append(f"Authorization: Bearer {who.token}")
    if cookie:
        head.append(f"Cookie: refreshToken={cookie}")
    if content:
        head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*head, "", ""]).encode() + content


def each(ask: Callable[[World, Person], bytes]) -> Callable[[World, int], Script]:
    """Return a script that asks for every person in turn; each connection starts elsewhere."""

    def script(world: World, lane: int) -> Script:
        first = lane * 7 % len(world.people)
        for person in itertools.cycle(world.people[first:] + world.people[:first]):
            yield ask(world, person)

    return script


def heavy(path: Callable[[World], str]) -> Callable[[World, int], Script]:
    """Return a script that asks for the heavy user."""

    def script(world: World, lane: int) -> Script:
        while True:
            yield http("GET", path(world), world.heavy)

    return script


def pick(world: World, choices: tuple[str, ...] | tuple[int, ...]) -> str:
    """Return one of the choices, another one each time."""
    return str(choices[next(world.numbers) % len(choices)])


def add(world: World, person: Person) -> bytes:
    """Ask for a new movie."""
    movie = {"title": f"The Night Train No. {next(world.numbers)}", "year": "1999"}
    return http(
        "POST", "/movies", person, {**movie, "imageUrl": "https://images.example.com/1.jpg"}
    )


def edit(world: World, person: Person) -> bytes:
    """Ask for another title and year."""
    number = next(world.numbers)
    change = {"title": f"The Last Train No. {number}", "year": str(1950 + number % 70)}
    return http("PUT", f"/movies/{pick(world, person.movies)}", person, change)


def refresh(world: World, lane: int) -> Script:
    """Ask for the next cookie, each connection for people of its own, as a browser would."""
    own = world.people[lane::32] or world.people[:1]
    cookies = [person.cookie for person in own]
    for number in itertools.cycle(range(len(own))):
        answer = yield http("POST", "/auth/refresh", cookie=cookies[number])
        if b"refreshToken=" in answer:
            cookies[number] = answer.split(b"refreshToken=")[1].split(b";")[0].decode()


SCENARIOS = (
    Scenario("health", 200, each(lambda world, person: http("GET", "/health"))),
    Scenario("list", 200, each(lambda world, person: http("GET", "/movies", person))),
    Scenario(
        "get",
        200,
        each(lambda world, person: http("GET", f"/movies/{pick(world, person.movies)}", person)),
    ),
    Scenario("create", 201, each(add)),
    Scenario("update", 200, each(edit)),
    Scenario(
        "search-rare",
        200,
        each(lambda world, person: http("GET", f"/movies?search={pick(world, RARE)}", person)),
    ),
    Scenario(
        "search-common",
        200,
        each(lambda world, person: http("GET", f"/movies?search={COMMON}", person)),
    ),
    Scenario("heavy-list", 200, heavy(lambda world: "/movies")),
    Scenario("heavy-page", 200, heavy(lambda world: f"/movies?page={world.deep_page}")),
    Scenario("heavy-cursor", 200, heavy(lambda world: f"/movies?cursor={world.cursor}")),
    Scenario("heavy-search-rare", 200, heavy(lambda world: f"/movies?search={pick(world, RARE)}")),
    Scenario("heavy-search-common", 200, heavy(lambda world: f"/movies?search={COMMON}")),
    Scenario("refresh", 200, refresh),
    Scenario(
        "login",
        200,
        each(
            lambda world, person: http(
                "POST", "/auth/login", body={"email": person.email, "password": PASSWORD}
            )
        ),
    ),
)
BY_NAME = {each.name: each for each in SCENARIOS}
