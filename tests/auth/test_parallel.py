"""Many requests at once, on two processes: what is promised to one holds for all of them."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ..client import PASSWORD
from ..concurrency import cookie_of, run_together, statuses, wait_for
from ..helpers import ANN
from ..servers import HttpResponse, Service


@pytest.fixture
def ann(service: Service) -> HttpResponse:
    """What Ann got when she signed up."""
    answer = service.request("POST", "/auth/signup", ANN)
    assert answer.status == 201
    return answer


@pytest.fixture
def token(ann: HttpResponse) -> str:
    """Ann's access token."""
    return str(ann.json["accessToken"])


@pytest.fixture
def refresh(service: Service) -> Callable[[str], HttpResponse]:
    """A function that presents a refresh cookie."""
    return lambda cookie: service.request("POST", "/auth/refresh", headers={"Cookie": cookie})


def hold(pid: int) -> None:
    """Stop a process; return when each of its threads stands still."""
    os.kill(pid, signal.SIGSTOP)
    tasks = [path / "stat" for path in Path(f"/proc/{pid}/task").iterdir()]
    wait_for(lambda: {task.read_text().rpartition(")")[2].split()[0] for task in tasks} == {"T"})


@contextmanager
def a_line_to_each_process(service: Service) -> Iterator[list[Callable[..., HttpResponse]]]:
    """Give one function for each worker that makes requests of that worker and no other."""
    address = urlsplit(service.url)
    workers = {int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", service.log)}

    def asker(connection: http.client.HTTPConnection) -> Callable[..., HttpResponse]:
        def ask(method: str, path: str, token: str) -> HttpResponse:
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            return HttpResponse(response.status, response.headers, response.read())

        return ask

    with ExitStack() as stack:
        lines = []
        for worker in workers:
            # While the others are held, only this one can take a connection in, and it keeps it
            for other in workers - {worker}:
                hold(other)
                stack.callback(os.kill, other, signal.SIGCONT)
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
            lines.append(asker(stack.enter_context(closing(connection))))
            assert lines[-1]("GET", "/health", "").status == 200
            for other in workers - {worker}:
                os.kill(other, signal.SIGCONT)
        yield lines


def test_a_hundred_signups_for_one_email_make_one_account(service, database):
    spellings = [ANN["email"], ANN["email"].upper(), f" {ANN['email']} "]
    bodies = [{**ANN, "email": spellings[number % 3]} for number in range(100)]

    answers = run_together([partial(service.request, "POST", "/auth/signup", body) for body in bodies])  # fmt: skip

    assert statuses(answers) == {201: 1, 409: 99}
    refusals = [answer.json["error"] for answer in answers if answer.status == 409]
    assert {error["code"] for error in refusals} == {"USER_EXISTS"}
    assert database.execute("select count(*) from users") == [(1,)]
    assert database.execute("select count(*) from sessions") == [(1,)]
    assert service.request("POST", "/auth/login", {"email": ANN["email"], "password": PASSWORD}).status == 200  # fmt: skip


def test_twenty_tabs_that_refresh_at_once_get_one_successor(service, ann, refresh, database):
    cookie = cookie_of(ann)
    for _ in range(3):
        answers = run_together([partial(refresh, cookie)] * 20)

        assert statuses(answers) == {200: 20}
        (successor,) = {cookie_of(answer) for answer in answers}
        assert successor != cookie
        for answer in answers:
            token = answer.json["accessToken"]
            me = service.request("GET", "/me", token=token).json
            assert me == {**ann.json["user"], "usage": me["usage"]}
        cookie = successor

    assert refresh(cookie).status == 200
    assert database.execute("select count(*) from sessions") == [(1,)]


def test_tabs_that_are_one_value_apart_catch_up_with_each_other(ann, refresh):
    first = cookie_of(ann)
    second = cookie_of(refresh(first))

    answers = run_together([partial(refresh, first), partial(refresh, second)] * 10)

    assert statuses(answers) == {200: 20}
    third = cookie_of(refresh(second))
    assert {cookie_of(answer) for answer in answers} <= {second, third}
    assert refresh(third).status == 200


@pytest.mark.parametrize("scope", ["this", "all"])
def test_a_session_that_ends_on_one_process_is_over_on_the_others(service, scope):
    with a_line_to_each_process(service) as lines:
        for ending in lines:
            email = {"email": f"{scope}{lines.index(ending)}@example.com"}
            token = service.request("POST", "/auth/signup", ANN | email).json["accessToken"]
            assert [ask("GET", "/me", token).status for ask in lines] == [200, 200]

            assert ending("POST", f"/auth/logout?scope={scope}", token).status == 204

            assert [ask("GET", "/me", token).status for ask in lines] == [401, 401]
            assert [ask("GET", "/movies", token).status for ask in lines] == [401, 401]


def test_a_refresh_that_races_a_logout_is_never_a_fault(service, refresh, ann):
    for _ in range(8):
        login = service.request(
            "POST", "/auth/login", {"email": ANN["email"], "password": PASSWORD}
        )
        cookie, token = cookie_of(login), login.json["accessToken"]

        *refreshed, ended = run_together(
            [partial(refresh, cookie)] * 6
            + [partial(service.request, "POST", "/auth/logout", token=token)]
        )

        assert ended.status == 204
        assert set(statuses(refreshed)) <= {200, 401}
        for answer in refreshed:
            if answer.status == 200:
                cookie_of(answer)
                token = answer.json["accessToken"]
            else:
                assert "Set-Cookie" not in answer.headers
            assert service.request("GET", "/me", token=token).status == 401
        assert refresh(cookie).status == 401


def test_the_count_stays_exact_whatever_comes_and_goes_at_once(service, token, database):
    def add(number: int) -> HttpResponse:
        return service.request("POST", "/movies", {"title": f"Movie {number}"}, token)

    def remove(movie: int) -> HttpResponse:
        return service.request("DELETE", f"/movies/{movie}", token=token)

    before = [add(number).json["id"] for number in range(25)]
    adding = [partial(add, number) for number in range(50)]
    removing = [partial(remove, movie) for movie in before * 2]

    answers = run_together([*adding, *removing])

    assert statuses(answers[:50]) == {201: 50}
    assert statuses(answers[50:]) == {204: 25, 404: 25}
    page = service.request("GET", "/movies?limit=100", token=token).json
    assert page["meta"]["total"] == len(page["items"]) == 50
    assert {movie["id"] for movie in page["items"]} == {
        answer.json["id"] for answer in answers[:50]
    }
    assert database.execute("select movie_count from users") == [(50,)]


def test_of_twenty_edits_of_one_version_one_is_made(service, token):
    added = service.request("POST", "/movies", {"title": "Alien"}, token)
    path, tag = added.headers["Location"], {"If-Match": added.headers["ETag"]}

    def edit(number: int) -> HttpResponse:
        return service.request("PATCH", path, {"title": f"Alien {number}"}, token, tag)

    answers = run_together([partial(edit, number) for number in range(20)])

    assert statuses(answers) == {200: 1, 412: 19}
    (made,) = [answer for answer in answers if answer.status == 200]
    shown = service.request("GET", path, token=token)
    assert shown.json == made.json
    assert shown.headers["ETag"] == made.headers["ETag"]


def test_edits_and_a_removal_at_once_leave_no_trace_and_no_fault(service, token, database):
    added = service.request("POST", "/movies", {"title": "Alien"}, token)
    path, tag = added.headers["Location"], {"If-Match": added.headers["ETag"]}
    edit = {"title": "Aliens"}

    answers = run_together(
        [partial(service.request, "PUT", path, edit, token)] * 10
        + [partial(service.request, "PATCH", path, edit, token, tag)] * 5
        + [partial(service.request, "DELETE", path, token=token)] * 5
    )

    assert set(statuses(answers[:10])) <= {200, 404}
    assert set(statuses(answers[10:15])) <= {200, 404, 412}
    assert statuses(answers[15:]) == {204: 1, 404: 4}
    assert database.execute("select movie_count from users") == [(0,)]
    assert json.loads(service.request("GET", "/movies", token=token).body)["items"] == []


def test_readers_go_on_while_others_write(service, token):
    def write(number: int) -> HttpResponse:
        return service.request("POST", "/movies", {"title": f"Movie {number}"}, token)

    calls: list[Any] = [partial(write, number) for number in range(30)]
    calls += [partial(service.request, "GET", "/movies?sort=title", token=token)] * 30

    answers = run_together(calls)

    assert statuses(answers) == {201: 30, 200: 30}
