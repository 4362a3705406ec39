"""The bridge between TruthVouch and PagerDuty: the map of its rooms, and the web application.

==================  ===============================================================================================
``domain``          what the bridge knows and decides: values in, values out
``services``        what it does, one use case a file; talks to ``ports`` only
``truthvouch``      all and only TruthVouch's wire
``pagerduty``       all and only PagerDuty's wire
``remote``          what the adapters of both partners share; its ``transport`` makes every call
``store``           the only room that speaks SQL
``engine``          the only room that knows the durable engine
``web``             Flask and status codes; a view reads the request, calls one service and answers
``ui``              what people see: templates, style, charts, reports, a link's story; values in, markup out
``sandbox``         simulated partners, which know nothing of the bridge but how its pages look
``config``          environment and ``bridge.yaml``: read, checked, and changed with its comments kept
``bootstrap``       the only place that names real adapters
``process``         how processes start, stay and end: the worker, its supervisor in the web's master process, startup
``cli``             the ``truthvouch`` command
``handler``         ``PagerDutyHandler`` for Python developers
==================  ===============================================================================================

Other projects import ``truthvouch_pagerduty``, beside this package, which passes on what is for them.
Importing this package loads nothing else: every process carries only what it needs.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click import Command, Context
    from flask import Flask

    from app.config.settings import Settings
    from app.web.bridge import WebBridge as Bridge


def create_app(settings: "Settings | None" = None, bridge: "Bridge | None" = None) -> "Flask":
    """The web application. Settings are read from the environment and the bridge is built from them, unless given.

    Raises ``ConfigFault`` with every fault of the environment at once.
    """
    from flask import Flask

    from app.web import api, auth, bearer, console, evidence, health, hooks, http, inbound, outbound, proxies
    from app.web.bridge import later
    from app.web.console import guard, login

    settings = settings or _settings_of_this_process()
    if bridge is None:
        from app.bootstrap import WebBridge

        bridge = WebBridge(settings)
    app = Flask("app.web", static_folder=None)
    app.extensions["bridge"] = bridge
    _add_commands(app)
    http.install_tracing(app)
    http.install_errors(app)
    # What only operators ask for is made when one does: it takes SQLAlchemy, which most web processes never need.
    tokens, sessions = later(lambda: bridge.tokens), later(lambda: bridge.sessions)
    by_token, by_session = bearer.bearer(tokens), guard.install(app, sessions)
    auth.install(app, lambda: sessions.signing_keys(), by_token, by_session)
    app.register_blueprint(outbound.blueprint(bridge.receive_alert))
    app.register_blueprint(inbound.blueprint(bridge.receive_incident_event))
    app.register_blueprint(health.blueprint(bridge.health, bridge.metrics_text))
    app.register_blueprint(api.blueprint(bridge))
    app.register_blueprint(login.blueprint(tokens, sessions))
    of_pages = later(lambda: bridge.console), later(lambda: bridge.operate), later(lambda: bridge.overview)
    app.register_blueprint(console.blueprint(*of_pages, bridge.health))
    app.register_blueprint(evidence.blueprint(bridge))
    http.install_host_check(app)
    hooks.install(app)
    proxies.install(app, settings.trusted_proxies)
    return app


def load() -> None:
    """Import what ``create_app`` needs. Who forks web processes calls it before: they share its memory then."""
    import gc

    import app.bootstrap.web
    import app.web.api
    import app.web.console.login
    import app.web.evidence
    import app.web.inbound
    import app.web.outbound
    import app.web.proxies  # noqa: F401

    gc.collect()
    gc.freeze()  # a collector that marks an object writes into its page


def _add_commands(app: "Flask") -> None:
    """The commands of ``truthvouch`` for ``flask --app wsgi``; what they need is loaded when somebody asks for one."""
    from flask.cli import AppGroup

    def ours() -> "Mapping[str, Command]":
        from app.cli import main, print_whatever_comes

        print_whatever_comes()
        return main.commands

    class Commands(AppGroup):
        """Flask's own for this application, and ours."""

        def list_commands(self, ctx: "Context") -> "list[str]":
            return sorted({*super().list_commands(ctx), *ours()})

        def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
            return super().get_command(ctx, cmd_name) or ours().get(cmd_name)

    app.cli = Commands(app.name)


def _settings_of_this_process() -> "Settings":
    import os

    from app import logs
    from app.config.settings import Settings

    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_format, settings.log_level, for_good=True)
    logs.conceal(logs.hidden_in(settings))
    return settings
