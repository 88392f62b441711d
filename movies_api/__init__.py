"""Movies API: people sign up, log in, and keep their own collection of movies."""

from pathlib import Path

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from .account.views import bp as account_bp
from .admin.views import bp as admin_bp
from .api.blueprint import init_api
from .api.errors import init_errors
from .api.headers import init_headers
from .auth.devices import warm_up_devices
from .auth.guard import require_auth
from .auth.passwords import warm_up_passwords
from .auth.rate_limits import init_rate_limits
from .auth.session_views import bp as sessions_bp
from .auth.views import bp as auth_bp
from .cli import init_cli
from .config import Config
from .db import engine_options, init_db
from .docs import bp as docs_bp
from .health import bp as service_bp
from .images import init_images
from .images.views import bp as images_bp
from .import_export.views import bp as import_export_bp
from .logs import init_logs
from .mail import Outbox
from .movies.views import bp as movies_bp

__version__ = "0.1.0"


def create_app(config: Config | None = None) -> Flask:
    """Return the app; the config defaults to the environment."""
    config = config or Config.from_environ()
    app = Flask(
        __name__, static_folder=None, instance_path=str(Path(config.instance_dir).absolute())
    )
    app.extensions["movies_api"] = config
    app.url_map.merge_slashes = False
    # No view is a coroutine; Flask would check every function on every request
    app.ensure_sync = lambda func: func  # type: ignore[method-assign]
    app.config.update(
        API_VERSION=__version__,
        MAX_CONTENT_LENGTH=config.max_body_bytes,
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(config),
    )
    if config.proxy_hops:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app,
            x_for=config.proxy_hops,
            x_proto=1,  # only the first proxy sets it
            x_host=1,
            x_prefix=1,
        )
    init_logs(app, config)
    if config.sentry_dsn:
        from .sentry import init_sentry  # noqa: PLC0415  optional dependency

        init_sentry(config.sentry_dsn, __version__)
    init_headers(app, config)
    init_errors(app)
    init_db(app, config)
    if config.metrics_token:
        from .metrics import init_metrics  # noqa: PLC0415  optional dependency

        init_metrics(app)
    init_rate_limits(app, config)
    app.extensions["outbox"] = Outbox(app)
    warm_up_passwords(config)
    warm_up_devices()
    init_images(app, config)
    app.before_request(require_auth)
    api = init_api(app)
    accounts = (auth_bp, account_bp, sessions_bp)
    collections = (movies_bp, import_export_bp, images_bp)
    for bp in (*accounts, *collections, admin_bp, service_bp):
        api.register_blueprint(bp)
    app.register_blueprint(docs_bp)
    init_cli(app)
    return app
