"""Concurrent requests on two processes."""

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
from ..concurrency import cookie_of, run_parallel, statuses, wait_for
from ..helpers import ANN
from ..servers import HttpResponse, Service


@pytest.fixture
def ann(service: Service) -> HttpResponse:
    """The response to Ann's signup."""
    response = service.request("POST", "/auth/signup", ANN)
    assert response.status == 201
    return response


@pytest.fixture
def token(ann: HttpResponse) -> str:
    """Ann's access token."""
    return str(ann.json["accessToken"])


@pytest.fixture
def refresh(service: Service) -> Callable[[str], HttpResponse]:
    """A function that refreshes with a cookie."""
    return lambda cookie: service.request("POST", "/auth/refresh", headers={"Cookie": cookie})


def pause_process(pid: int) -> None:
    """Stop a process and wait until all its threads are stopped."""
    os.kill(pid, signal.SIGSTOP)
    tasks = [path / "stat" for path in Path(f"/proc/{pid}/task").iterdir()]
    wait_for(lambda: {task.read_text().rpartition(")")[2].split()[0] for task in tasks} == {"T"})


@contextmanager
def connection_to_each_worker(service: Service) -> Iterator[list[Callable[..., HttpResponse]]]:
    """Yield a function for each worker that sends requests to that worker only."""
    address = urlsplit(service.url)
    workers = {int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", service.log)}

    def sender_for(connection: http.client.HTTPConnection) -> Callable[..., HttpResponse]:
        def send(method: str, path: str, token: str) -> HttpResponse:
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            return HttpResponse(response.status, response.headers, response.read())

        return send

    with ExitStack() as stack:
        senders = []
        for worker in workers:
            # While the others are stopped, only this worker can accept the connection
            for other in workers - {worker}:
                pause_process(other)
                stack.callback(os.kill, other, signal.SIGCONT)
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
            senders.append(sender_for(stack.enter_context(closing(connection))))
            assert senders[-1]("GET", "/health", "").status == 200
            for other in workers - {worker}:
                os.kill(other, signal.SIGCONT)
        yield senders


def test_concurrent_signups_for_one_email_create_one_account(service, database):
    spellings = [ANN["email"], ANN["email"].upper(), f" {ANN['email']} "]
    bodies = [{**ANN, "email": spellings[number % 3]} for number in range(100)]

    responses = run_parallel([partial(service.request, "POST", "/auth/signup", body) for body in bodies])  # fmt: skip

    assert statuses(responses) == {201: 1, 409: 99}
    conflicts = [response.json["error"] for response in responses if response.status == 409]
    assert {error["code"] for error in conflicts} == {"USER_EXISTS"}
    assert database.execute("select count(*) from users") == [(1,)]
    assert database.execute("select count(*) from sessions") == [(1,)]
    assert service.request("POST", "/auth/login", {"email": ANN["email"], "password": PASSWORD}).status == 200  # fmt: skip


def test_concurrent_refreshes_return_one_successor(service, ann, refresh, database):
    cookie = cookie_of(ann)
    for _ in range(3):
        responses = run_parallel([partial(refresh, cookie)] * 20)

        assert statuses(responses) == {200: 20}
        (successor,) = {cookie_of(response) for response in responses}
        assert successor != cookie
        for response in responses:
            token = response.json["accessToken"]
            me = service.request("GET", "/me", token=token).json
            assert me == {**ann.json["user"], "usage": me["usage"]}
        cookie = successor

    assert refresh(cookie).status == 200
    assert database.execute("select count(*) from sessions") == [(1,)]


def test_concurrent_refreshes_with_old_and_new_cookie_converge(ann, refresh):
    first = cookie_of(ann)
    second = cookie_of(refresh(first))

    responses = run_parallel([partial(refresh, first), partial(refresh, second)] * 10)

    assert statuses(responses) == {200: 20}
    third = cookie_of(refresh(second))
    assert {cookie_of(response) for response in responses} <= {second, third}
    assert refresh(third).status == 200


@pytest.mark.parametrize("scope", ["this", "all"])
def test_logout_on_one_worker_applies_to_the_others(service, scope):
    with connection_to_each_worker(service) as senders:
        for send_logout in senders:
            email = {"email": f"{scope}{senders.index(send_logout)}@example.com"}
            token = service.request("POST", "/auth/signup", ANN | email).json["accessToken"]
            assert [send("GET", "/me", token).status for send in senders] == [200, 200]

            assert send_logout("POST", f"/auth/logout?scope={scope}", token).status == 204

            assert [send("GET", "/me", token).status for send in senders] == [401, 401]
            assert [send("GET", "/movies", token).status for send in senders] == [401, 401]


def test_refresh_during_logout_never_returns_500(service, refresh, ann):
    for _ in range(8):
        login = service.request(
            "POST", "/auth/login", {"email": ANN["email"], "password": PASSWORD}
        )
        cookie, token = cookie_of(login), login.json["accessToken"]

        *refreshed, ended = run_parallel(
            [partial(refresh, cookie)] * 6
            + [partial(service.request, "POST", "/auth/logout", token=token)]
        )

        assert ended.status == 204
        assert set(statuses(refreshed)) <= {200, 401}
        for response in refreshed:
            if response.status == 200:
                cookie_of(response)
                token = response.json["accessToken"]
            else:
                assert "Set-Cookie" not in response.headers
            assert service.request("GET", "/me", token=token).status == 401
        assert refresh(cookie).status == 401


def test_movie_count_stays_exact_under_concurrent_writes(service, token, database):
    def add(number: int) -> HttpResponse:
        return service.request("POST", "/movies", {"title": f"Movie {number}"}, token)

    def remove(movie: int) -> HttpResponse:
        return service.request("DELETE", f"/movies/{movie}", token=token)

    before = [add(number).json["id"] for number in range(25)]
    adding = [partial(add, number) for number in range(50)]
    removing = [partial(remove, movie) for movie in before * 2]

    responses = run_parallel([*adding, *removing])

    assert statuses(responses[:50]) == {201: 50}
    assert statuses(responses[50:]) == {204: 25, 404: 25}
    page = service.request("GET", "/movies?limit=100", token=token).json
    assert page["meta"]["total"] == len(page["items"]) == 50
    assert {movie["id"] for movie in page["items"]} == {
        response.json["id"] for response in responses[:50]
    }
    assert database.execute("select movie_count from users") == [(50,)]


def test_one_of_concurrent_conditional_edits_succeeds(service, token):
    added = service.request("POST", "/movies", {"title": "Alien"}, token)
    path, tag = added.headers["Location"], {"If-Match": added.headers["ETag"]}

    def edit(number: int) -> HttpResponse:
        return service.request("PATCH", path, {"title": f"Alien {number}"}, token, tag)

    responses = run_parallel([partial(edit, number) for number in range(20)])

    assert statuses(responses) == {200: 1, 412: 19}
    (edited,) = [response for response in responses if response.status == 200]
    shown = service.request("GET", path, token=token)
    assert shown.json == edited.json
    assert shown.headers["ETag"] == edited.headers["ETag"]


def test_edits_during_delete_leave_no_rows_and_no_500(service, token, database):
    added = service.request("POST", "/movies", {"title": "Alien"}, token)
    path, tag = added.headers["Location"], {"If-Match": added.headers["ETag"]}
    edit = {"title": "Aliens"}

    responses = run_parallel(
        [partial(service.request, "PUT", path, edit, token)] * 10
        + [partial(service.request, "PATCH", path, edit, token, tag)] * 5
        + [partial(service.request, "DELETE", path, token=token)] * 5
    )

    assert set(statuses(responses[:10])) <= {200, 404}
    assert set(statuses(responses[10:15])) <= {200, 404, 412}
    assert statuses(responses[15:]) == {204: 1, 404: 4}
    assert database.execute("select movie_count from users") == [(0,)]
    assert json.loads(service.request("GET", "/movies", token=token).body)["items"] == []


def test_reads_succeed_during_writes(service, token):
    def write(number: int) -> HttpResponse:
        return service.request("POST", "/movies", {"title": f"Movie {number}"}, token)

    calls: list[Any] = [partial(write, number) for number in range(30)]
    calls += [partial(service.request, "GET", "/movies?sort=title", token=token)] * 30

    responses = run_parallel(calls)

    assert statuses(responses) == {201: 30, 200: 30}
