"""Use the client that openapi-python-client generates."""

from __future__ import annotations

import os
from base64 import b64decode
from io import BytesIO
from time import time

import httpx
from movies_client import AuthenticatedClient, Client
from movies_client import models as m
from movies_client.api.account import delete_account
from movies_client.api.auth import sign_up
from movies_client.api.images import request_upload
from movies_client.api.import_export import export_movies, import_movies
from movies_client.api.movies import (
    create_movie,
    delete_movie,
    get_movie,
    list_movies,
    update_movie_by_patch,
    update_movie_by_put,
)
from movies_client.types import File

URL, PASSWORD = os.environ["API_URL"], "correct horse battery"
PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

new = m.Signup(name="Dan Example", email=f"dan-{time()}@example.com", password=PASSWORD)
signup = sign_up.sync(client=Client(URL), body=new)
assert isinstance(signup, m.TokenResponse), signup
client = AuthenticatedClient(URL, signup.access_token)

# CRUD and If-Match
added = create_movie.sync_detailed(client=client, body=m.MovieCreate("Alien", year=1979, rating=9))
movie = added.parsed
assert isinstance(movie, m.Movie), added
etag = added.headers["ETag"]
same = m.MovieUpdate.from_dict({**movie.to_dict(), "title": "Aliens"})
updated = update_movie_by_put.sync(movie.id, client=client, body=same, if_match=etag)
assert isinstance(updated, m.Movie)
assert (updated.title, updated.year) == ("Aliens", "1979")
stale = update_movie_by_patch.sync(movie.id, client=client, body=m.MovieUpdate(title="Alien 3"), if_match=etag)  # fmt: skip
assert isinstance(stale, m.PreconditionFailedError), stale

# Upload
wanted = m.UploadCreate(m.UploadCreateContentType.IMAGEPNG, len(PNG))
upload = request_upload.sync(client=client, body=wanted)
assert isinstance(upload, m.UploadUrl), upload
sent = upload.to_dict()
stored = httpx.request(upload.method, upload.upload_url, headers=sent["headers"], content=PNG)
assert stored.status_code == 201, stored.text
edit = m.MovieUpdate(image_url=upload.image_url)
shown = update_movie_by_patch.sync(movie.id, client=client, body=edit)
assert isinstance(shown, m.Movie)
assert shown.image_url

# Import, lists and export
form = m.ImportForm(File(BytesIO(b"title,year\nBrazil,1985\n,1900\n"), "movies.csv"))
report = import_movies.sync(client=client, body=form)
assert isinstance(report, m.ImportReport), report
assert (report.counts.added, report.counts.rejected) == (1, 1)
page = list_movies.sync(client=client, limit=1)
assert isinstance(page, m.MoviePage)
assert isinstance(page.meta, m.PageMeta)
assert page.meta.total == 2
assert page.meta.next_cursor
rest = list_movies.sync(client=client, limit=1, cursor=page.meta.next_cursor)
assert isinstance(rest, m.MoviePage)
assert isinstance(rest.meta, m.CursorMeta)
exported = export_movies.sync(client=client)
assert isinstance(exported, list)
assert [each.title for each in exported] == ["Brazil", "Aliens"]

assert delete_movie.sync_detailed(movie.id, client=client).status_code == 204
assert isinstance(get_movie.sync(movie.id, client=client), m.NotFoundError)
ended = delete_account.sync_detailed(client=client, body=m.AccountDelete(PASSWORD))
assert ended.status_code == 204
print("openapi-python-client used: signup, movies, If-Match, upload, import, export")
