"""The account's requests that meet, on two processes: one clear winner, and never a fault."""

from functools import partial

import pytest

from ..client import PASSWORD
from ..concurrency import cookie_of, run_together, statuses
from ..helpers import ANN

LOGIN = {"email": ANN["email"], "password": PASSWORD}
ROUNDS = 6


@pytest.fixture
def request_(service):
    """A function that makes a request of the service."""
    return service.request


@pytest.fixture
def sign_up(request_):
    """A function that makes Ann's account and returns the answer."""
    return lambda: request_("POST", "/auth/signup", ANN)


def token_of(answer):
    """Return the access token of a signup or a login."""
    return answer.json["accessToken"]


def delete(request_, token):
    """Return what deletes Ann's account."""
    return partial(request_, "DELETE", "/me", {"password": PASSWORD}, token)


def nothing_left(database):
    """Tell whether the database holds nothing of anybody."""
    tables = ("users", "sessions", "movies")
    return [database.execute(f"SELECT count(*) FROM {table}") for table in tables] == [[(0,)]] * 3


def test_of_many_password_changes_at_once_one_is_made(request_, sign_up, database):
    token = token_of(sign_up())
    phone = token_of(request_("POST", "/auth/login", LOGIN))

    answers = run_together(
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

    found = statuses(answers)
    assert found[204] == 1
    assert set(found) <= {204, 400, 401}  # 401: the winner has ended the other session
    winner = [answer.status for answer in answers].index(204)
    for number in range(8):
        body = {**LOGIN, "password": f"a new password {number}"}
        status = request_("POST", "/auth/login", body).status
        assert status == (200 if number == winner else 401)
    alive = [request_("GET", "/me", token=each).status for each in (phone, token)]
    assert alive[winner % 2] == 200
    assert alive[1 - winner % 2] == 401


def test_a_reset_token_used_many_times_at_once_works_once(request_, sign_up, app):
    token = token_of(sign_up())
    words = ["user", "reset-password", ANN["email"]]
    reset = app.test_cli_runner().invoke(args=words).output.strip().partition("token=")[2]

    answers = run_together(
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

    assert statuses(answers) == {204: 1, 400: 11}
    assert {"token"} == {
        key for a in answers if a.status == 400 for key in a.json["error"]["details"]
    }
    winner = [answer.status for answer in answers].index(204)
    body = {**LOGIN, "password": f"a new password {winner}"}
    assert request_("POST", "/auth/login", body).status == 200
    assert request_("GET", "/me", token=token).status == 401


@pytest.mark.parametrize("how", ["change", "reset"])
def test_no_login_with_the_old_password_outlives_its_change(request_, sign_up, app, how):
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

        *logins, changed = run_together([*[login] * 6, change])

        assert changed.status == 204
        assert set(statuses(logins)) <= {200, 401}
        for answer in logins:
            if answer.status == 200:
                assert request_("GET", "/me", token=token_of(answer)).status == 401
                cookie = {"Cookie": cookie_of(answer)}
                assert request_("POST", "/auth/refresh", headers=cookie).status == 401
        password = new


def test_no_api_token_of_another_session_outlives_a_change_of_the_password(request_, sign_up):
    token, password = token_of(sign_up()), PASSWORD
    for number in range(ROUNDS):
        new = f"a new password {number}"
        login = request_("POST", "/auth/login", {**LOGIN, "password": password})
        make = partial(request_, "POST", "/auth/tokens", {"name": "Backup"}, token_of(login))
        body = {"currentPassword": password, "newPassword": new}

        *made, changed = run_together([*[make] * 5, partial(request_, "PUT", "/me/password", body, token)])  # fmt: skip

        assert changed.status == 204
        assert set(statuses(made)) <= {201, 401}
        for answer in made:
            if answer.status == 201:
                assert request_("GET", "/me", token=answer.json["token"]).status == 401
        password = new


def test_an_account_that_goes_while_it_creates_leaves_nothing(request_, sign_up, database):
    for _ in range(ROUNDS):
        token = token_of(sign_up())
        create = partial(request_, "POST", "/movies", {"title": "Alien"}, token)
        for _ in range(3):
            create()

        *created, deleted = run_together([*[create] * 10, delete(request_, token)])

        assert deleted.status == 204
        assert set(statuses(created)) <= {201, 401}
        assert nothing_left(database)


def test_an_account_that_goes_while_its_movies_go_leaves_nothing(request_, sign_up, database):
    for _ in range(ROUNDS):
        token = token_of(sign_up())
        paths = [
            request_("POST", "/movies", {"title": "Alien"}, token).headers["Location"]
            for _ in range(6)
        ]

        *removed, deleted = run_together(
            [
                *[partial(request_, "DELETE", path, token=token) for path in paths],
                delete(request_, token),
            ]
        )

        assert deleted.status == 204
        assert set(statuses(removed)) <= {204, 401, 404}
        assert nothing_left(database)


def test_an_account_that_goes_while_it_logs_in_leaves_nothing(request_, sign_up, database):
    for _ in range(ROUNDS):
        answer = sign_up()
        token, cookie = token_of(answer), {"Cookie": cookie_of(answer)}

        *others, deleted = run_together(
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
        assert nothing_left(database)


def test_an_account_goes_once_however_often_it_is_asked_to(request_, sign_up, database):
    token = token_of(sign_up())

    answers = run_together([delete(request_, token)] * 8)

    assert statuses(answers) == {204: 1, 401: 7}
    assert nothing_left(database)


def test_all_who_log_in_at_once_after_a_change_of_the_parameters_get_in(request_, make_app):
    make_app(ARGON2_TIME_COST="3").test_client().sign_up("Alice")
    login = {"email": "alice@example.com", "password": PASSWORD}

    answers = run_together([partial(request_, "POST", "/auth/login", login)] * 12)

    assert statuses(answers) == {200: 12}


def test_a_session_that_is_ended_while_it_refreshes_is_over(request_, sign_up):
    token = token_of(sign_up())
    for _ in range(ROUNDS):
        login = request_("POST", "/auth/login", LOGIN)
        cookie = {"Cookie": cookie_of(login)}
        items = request_("GET", "/auth/sessions", token=token_of(login)).json["items"]
        [session] = [each["id"] for each in items if each["current"]]

        *refreshed, ended = run_together(
            [
                *[partial(request_, "POST", "/auth/refresh", headers=cookie)] * 6,
                partial(request_, "DELETE", f"/auth/sessions/{session}", token=token),
            ]
        )

        assert ended.status == 204
        assert set(statuses(refreshed)) <= {200, 401}
        for answer in refreshed:
            if answer.status == 200:
                assert request_("GET", "/me", token=token_of(answer)).status == 401
        assert request_("POST", "/auth/refresh", headers=cookie).status == 401


def test_a_session_ends_once(request_, sign_up):
    token = token_of(sign_up())
    made = request_("POST", "/auth/tokens", {"name": "Backup"}, token)

    answers = run_together(
        [partial(request_, "DELETE", f"/auth/sessions/{made.json['id']}", token=token)] * 8
    )

    assert statuses(answers) == {204: 1, 404: 7}


def test_of_many_who_want_one_email_one_gets_it(request_, database):
    people = [{**ANN, "email": f"ann{number}@example.com"} for number in range(8)]
    tokens = [token_of(request_("POST", "/auth/signup", body)) for body in people]
    body = {"email": "wanted@example.com", "currentPassword": PASSWORD}

    answers = run_together([partial(request_, "PATCH", "/me", body, token) for token in tokens])

    assert statuses(answers) == {200: 1, 409: 7}
    wanted = "SELECT count(*) FROM users WHERE email = 'wanted@example.com'"
    assert database.execute(wanted) == [(1,)]


def test_edits_of_different_parts_at_once_all_count(request_, sign_up):
    token = token_of(sign_up())
    edits = [{"name": "Anna"}, {"preferences": {"theme": "dark"}}, {"preferences": {"language": "fr"}}]  # fmt: skip

    answers = run_together([partial(request_, "PATCH", "/me", edit, token) for edit in edits])

    assert statuses(answers) == {200: 3}
    me = request_("GET", "/me", token=token).json
    assert (me["name"], me["preferences"]) == ("Anna", {"theme": "dark", "language": "fr"})


def test_many_logins_at_once_purge_without_waiting_for_each_other(request_, sign_up, database):
    token = token_of(sign_up())
    for _ in range(20):
        request_("POST", "/auth/login", LOGIN)
    database.execute("UPDATE sessions SET expires_at = '2020-01-01' WHERE last_used_at < (SELECT max(last_used_at) FROM sessions)")  # fmt: skip

    answers = run_together([partial(request_, "POST", "/auth/login", LOGIN)] * 16)

    assert statuses(answers) == {200: 16}
    assert database.execute("SELECT count(*) FROM sessions") == [(17,)]
    assert request_("GET", "/me", token=token).status == 401
