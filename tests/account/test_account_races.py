"""Concurrent requests for one account on two processes: one succeeds, none fails with 500."""

from functools import partial

import pytest

from ..client import PASSWORD
from ..concurrency import cookie_of, run_parallel, statuses
from ..helpers import ANN

LOGIN = {"email": ANN["email"], "password": PASSWORD}
ROUNDS = 6


@pytest.fixture
def request_(service):
    """A function that sends a request to the service."""
    return service.request


@pytest.fixture
def sign_up(request_):
    """A function that signs Ann up and returns the response."""
    return lambda: request_("POST", "/auth/signup", ANN)


def token_of(response):
    """Return the access token of a signup or login response."""
    return response.json["accessToken"]


def delete(request_, token):
    """Return a call that deletes Ann's account."""
    return partial(request_, "DELETE", "/me", {"password": PASSWORD}, token)


def is_empty(database):
    """Tell whether no user, session or movie is left."""
    tables = ("users", "sessions", "movies")
    return [database.execute(f"SELECT count(*) FROM {table}") for table in tables] == [[(0,)]] * 3


def test_one_of_concurrent_password_changes_succeeds(request_, sign_up, database):
    token = token_of(sign_up())
    phone = token_of(request_("POST", "/auth/login", LOGIN))

    responses = run_parallel(
        [
            partial(
                request_,
                "PUT",
                "/me/password",
                {"currentPassword": PASSWORD, "newPassword": f"a new password {number}"},
                token if number % 2 else phone,
            )
            for number in range(8)
        ]
    )

    found = statuses(responses)
    assert found[204] == 1
    assert set(found) <= {204, 400, 401}  # 401: the winner has ended the other session
    winner = [response.status for response in responses].index(204)
    for number in range(8):
        body = {**LOGIN, "password": f"a new password {number}"}
        status = request_("POST", "/auth/login", body).status
        assert status == (200 if number == winner else 401)
    alive = [request_("GET", "/me", token=each).status for each in (phone, token)]
    assert alive[winner % 2] == 200
    assert alive[1 - winner % 2] == 401


def test_concurrent_resets_with_one_token_succeed_once(request_, sign_up, app):
    token = token_of(sign_up())
    words = ["user", "reset-password", ANN["email"]]
    reset = app.test_cli_runner().invoke(args=words).output.strip().partition("token=")[2]

    responses = run_parallel(
        [
            partial(
                request_,
                "POST",
                "/auth/password-reset/confirm",
                {"token": reset, "newPassword": f"a new password {number}"},
            )
            for number in range(12)
        ]
    )

    assert statuses(responses) == {204: 1, 400: 11}
    assert {"token"} == {
        key for a in responses if a.status == 400 for key in a.json["error"]["details"]
    }
    winner = [response.status for response in responses].index(204)
    body = {**LOGIN, "password": f"a new password {winner}"}
    assert request_("POST", "/auth/login", body).status == 200
    assert request_("GET", "/me", token=token).status == 401


@pytest.mark.parametrize("how", ["change", "reset"])
def test_no_session_of_old_password_survives_password_change(request_, sign_up, app, how):
    token, password = token_of(sign_up()), PASSWORD
    for number in range(ROUNDS):
        new = f"a new password {number}"
        if how == "change":
            body = {"currentPassword": password, "newPassword": new}
            change = partial(request_, "PUT", "/me/password", body, token)
        else:
            words = ["user", "reset-password", ANN["email"]]
            link = app.test_cli_runner().invoke(args=words).output.strip()
            body = {"token": link.partition("token=")[2], "newPassword": new}
            change = partial(request_, "POST", "/auth/password-reset/confirm", body)
        login = partial(request_, "POST", "/auth/login", {**LOGIN, "password": password})

        *logins, changed = run_parallel([*[login] * 6, change])

        assert changed.status == 204
        assert set(statuses(logins)) <= {200, 401}
        for response in logins:
            if response.status == 200:
                assert request_("GET", "/me", token=token_of(response)).status == 401
                cookie = {"Cookie": cookie_of(response)}
                assert request_("POST", "/auth/refresh", headers=cookie).status == 401
        password = new


def test_no_api_token_of_other_session_survives_password_change(request_, sign_up):
    token, password = token_of(sign_up()), PASSWORD
    for number in range(ROUNDS):
        new = f"a new password {number}"
        login = request_("POST", "/auth/login", {**LOGIN, "password": password})
        create = partial(request_, "POST", "/auth/tokens", {"name": "Backup"}, token_of(login))
        body = {"currentPassword": password, "newPassword": new}

        *created, changed = run_parallel([*[create] * 5, partial(request_, "PUT", "/me/password", body, token)])  # fmt: skip

        assert changed.status == 204
        assert set(statuses(created)) <= {201, 401}
        for response in created:
            if response.status == 201:
                assert request_("GET", "/me", token=response.json["token"]).status == 401
        password = new


def test_account_deletion_during_creates_leaves_no_rows(request_, sign_up, database):
    for _ in range(ROUNDS):
        token = token_of(sign_up())
        create = partial(request_, "POST", "/movies", {"title": "Alien"}, token)
        for _ in range(3):
            create()

        *created, deleted = run_parallel([*[create] * 10, delete(request_, token)])

        assert deleted.status == 204
        assert set(statuses(created)) <= {201, 401}
        assert is_empty(database)


def test_account_deletion_during_movie_deletes_leaves_no_rows(request_, sign_up, database):
    for _ in range(ROUNDS):
        token = token_of(sign_up())
        paths = [
            request_("POST", "/movies", {"title": "Alien"}, token).headers["Location"]
            for _ in range(6)
        ]

        *removed, deleted = run_parallel(
            [
                *[partial(request_, "DELETE", path, token=token) for path in paths],
                delete(request_, token),
            ]
        )

        assert deleted.status == 204
        assert set(statuses(removed)) <= {204, 401, 404}
        assert is_empty(database)


def test_account_deletion_during_logins_leaves_no_rows(request_, sign_up, database):
    for _ in range(ROUNDS):
        response = sign_up()
        token, cookie = token_of(response), {"Cookie": cookie_of(response)}

        *others, deleted = run_parallel(
            [
                *[partial(request_, "POST", "/auth/login", LOGIN)] * 5,
                *[partial(request_, "POST", "/auth/refresh", headers=cookie)] * 3,
                *[partial(request_, "POST", "/auth/tokens", {"name": "x"}, token)] * 3,
                partial(request_, "PATCH", "/me", {"name": "Anna"}, token),
                delete(request_, token),
            ]
        )

        assert deleted.status == 204
        assert set(statuses(others)) <= {200, 201, 401}
        assert is_empty(database)


def test_concurrent_account_deletions_succeed_once(request_, sign_up, database):
    token = token_of(sign_up())

    responses = run_parallel([delete(request_, token)] * 8)

    assert statuses(responses) == {204: 1, 401: 7}
    assert is_empty(database)


def test_concurrent_logins_succeed_after_argon2_parameter_change(request_, make_app):
    make_app(ARGON2_TIME_COST="3").test_client().sign_up("Alice")
    login = {"email": "alice@example.com", "password": PASSWORD}

    responses = run_parallel([partial(request_, "POST", "/auth/login", login)] * 12)

    assert statuses(responses) == {200: 12}


def test_session_deleted_during_refresh_stays_deleted(request_, sign_up):
    token = token_of(sign_up())
    for _ in range(ROUNDS):
        login = request_("POST", "/auth/login", LOGIN)
        cookie = {"Cookie": cookie_of(login)}
        items = request_("GET", "/auth/sessions", token=token_of(login)).json["items"]
        [session] = [each["id"] for each in items if each["current"]]

        *refreshed, ended = run_parallel(
            [
                *[partial(request_, "POST", "/auth/refresh", headers=cookie)] * 6,
                partial(request_, "DELETE", f"/auth/sessions/{session}", token=token),
            ]
        )

        assert ended.status == 204
        assert set(statuses(refreshed)) <= {200, 401}
        for response in refreshed:
            if response.status == 200:
                assert request_("GET", "/me", token=token_of(response)).status == 401
        assert request_("POST", "/auth/refresh", headers=cookie).status == 401


def test_concurrent_session_deletes_succeed_once(request_, sign_up):
    token = token_of(sign_up())
    created = request_("POST", "/auth/tokens", {"name": "Backup"}, token)

    responses = run_parallel(
        [partial(request_, "DELETE", f"/auth/sessions/{created.json['id']}", token=token)] * 8
    )

    assert statuses(responses) == {204: 1, 404: 7}


def test_concurrent_changes_to_one_email_succeed_once(request_, database):
    bodies = [{**ANN, "email": f"ann{number}@example.com"} for number in range(8)]
    tokens = [token_of(request_("POST", "/auth/signup", body)) for body in bodies]
    body = {"email": "wanted@example.com", "currentPassword": PASSWORD}

    responses = run_parallel([partial(request_, "PATCH", "/me", body, token) for token in tokens])

    assert statuses(responses) == {200: 1, 409: 7}
    wanted = "SELECT count(*) FROM users WHERE email = 'wanted@example.com'"
    assert database.execute(wanted) == [(1,)]


def test_concurrent_edits_of_different_fields_all_apply(request_, sign_up):
    token = token_of(sign_up())
    edits = [{"name": "Anna"}, {"preferences": {"theme": "dark"}}, {"preferences": {"language": "fr"}}]  # fmt: skip

    responses = run_parallel([partial(request_, "PATCH", "/me", edit, token) for edit in edits])

    assert statuses(responses) == {200: 3}
    me = request_("GET", "/me", token=token).json
    assert (me["name"], me["preferences"]) == ("Anna", {"theme": "dark", "language": "fr"})


def test_concurrent_logins_purge_without_blocking(request_, sign_up, database):
    token = token_of(sign_up())
    for _ in range(20):
        request_("POST", "/auth/login", LOGIN)
    database.execute("UPDATE sessions SET expires_at = '2020-01-01' WHERE last_used_at < (SELECT max(last_used_at) FROM sessions)")  # fmt: skip

    responses = run_parallel([partial(request_, "POST", "/auth/login", LOGIN)] * 16)

    assert statuses(responses) == {200: 16}
    assert database.execute("SELECT count(*) FROM sessions") == [(17,)]
    assert request_("GET", "/me", token=token).status == 401
