"""Environment variables, read once, with every fault collected.

``VARIABLES`` is the one list of what may be set: a name that is not on it cannot be read, and a variable with one of
our prefixes that is not on it is a fault. docs/configuration.md describes each of them, and a test compares the two.
"""

import ipaddress
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from app.errors import ConfigFault, Fault, describe, meant, one_of

T = TypeVar("T")

PREFIXES = ("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_")
SECRETS = (
    "DATABASE_URL",
    "BRIDGE_ADMIN_TOKEN",
    "BRIDGE_SECRET_KEY",
    "BRIDGE_SELF_INTEGRATION_KEY",
    "BRIDGE_HEARTBEAT_URL",
    "TRUTHVOUCH_API_KEY",
    "TRUTHVOUCH_WEBHOOK_SECRETS",
    "PAGERDUTY_API_KEY",
    "PAGERDUTY_INTEGRATION_KEY",
    "PAGERDUTY_WEBHOOK_SECRETS",
)
"""Each may also come as ``NAME_FILE``, the path of a file that holds it. No message quotes their values."""
SENT_IN_HEADERS = frozenset({"TRUTHVOUCH_API_KEY", "PAGERDUTY_API_KEY", "PAGERDUTY_FROM_EMAIL"})
"""What goes out in a header of each call, so one that no header can carry is no key of anybody's."""
VARIABLES = (
    *SECRETS,
    *("PORT", "BIND", "WEB_CONCURRENCY", "LOG_FORMAT", "LOG_LEVEL", "BRIDGE_ROLE", "BRIDGE_DATA_DIR", "BRIDGE_CONFIG"),
    *(
        "BRIDGE_METRICS_PORT",
        "BRIDGE_RECONCILE_SECONDS",
        "BRIDGE_PUBLIC_URL",
        "BRIDGE_TRUSTED_PROXIES",
        "TRUTHVOUCH_API_URL",
    ),
    *("PAGERDUTY_REGION", "PAGERDUTY_API_URL", "PAGERDUTY_EVENTS_URL", "PAGERDUTY_FROM_EMAIL", "PAGERDUTY_SERVICE_ID"),
    *("PAGERDUTY_REST_PER_MINUTE", "PAGERDUTY_EVENTS_PER_MINUTE"),
)
SERVICE_KEY = "PAGERDUTY_INTEGRATION_KEY_"
"""Followed by a service id: the integration key of that service."""

_SERVICE_KEY = re.compile(rf"{SERVICE_KEY}(?P<service>[A-Za-z0-9]+)(?P<file>_FILE)?")
_E_MAIL = re.compile(r"[^\s@]+@[^\s@]+")
_LISTENER = re.compile(r"(?:(?:\[(?P<six>[^\]]+)\]|(?P<four>[0-9.]+)):)?(?P<port>[0-9]{1,5})")
_SERVICE_LINK = re.compile(
    r".+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_((PORT_)?(START|END)|PROTO|PORT|ADDR))?)"
)
_SERVICE_LINK_PORT = re.compile(r"(tcp|udp|sctp)://.+")
_CONTAINER_LINK = re.compile(r"(?P<alias>.+?)_(NAME|ENV_.+)")
_MAX_SECRET_BYTES = 64 * 1024


def unquoted(value: str) -> str:
    """A value without the quotes around it: shells, systemd and compose take them off, ``docker run --env-file`` does
    not, and nobody makes keys that begin and end with one."""
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].strip() if is_quoted else value


PARENT_FD = "BRIDGE_PARENT_FD"
"""Not a setting: how the web's master tells its worker which pipe ends when the master is gone."""
WATCH_FD = "BRIDGE_WATCH_FD"
"""Not a setting either: the pipe by which the worker tells the master that it watches, and what it remembers."""
WATCH_MEMORY = "BRIDGE_WATCH_MEMORY"
"""Nor this: what the watcher before remembered of the bridge's own incidents."""
_NOT_SETTINGS = frozenset({PARENT_FD, WATCH_FD, WATCH_MEMORY})


def exports_spans(variables: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables ask for spans. Its SDK reads them; with none of them set it is not loaded.
    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/"""
    given = {name: variables.get(f"OTEL_{name}", "").strip().lower() for name in _OTEL}
    if given["SDK_DISABLED"] == "true" or given["TRACES_EXPORTER"] not in ("", "otlp"):
        return False
    return any(given[name] for name in _OTEL if name != "SDK_DISABLED")


def collector_headers(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The headers for OpenTelemetry's collector, whole and one by one: its SDK logs a malformed one as it is, and it
    commonly holds a key."""
    given = [variables.get(f"OTEL_EXPORTER_OTLP_{name}", "") for name in ("HEADERS", "TRACES_HEADERS")]
    return (*given, *(part.strip() for text in given for part in text.split(",")))


_OTEL = ("SDK_DISABLED", "TRACES_EXPORTER", "EXPORTER_OTLP_ENDPOINT", "EXPORTER_OTLP_TRACES_ENDPOINT")


class Environment:
    """The variables as typed values. A malformed one reads as its default and is a fault."""

    source = "the environment"
    _hint_on_quotes = ": `docker run --env-file` keeps them"

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = {name: value for name, value in variables.items() if not _is_link(name, variables)}
        self.faults: list[Fault] = []

    def raise_faults(self) -> None:
        """Raise one ``ConfigFault`` with everything that was wrong, in the order of the names."""
        if self.faults:
            raise ConfigFault(self.source, sorted(self.faults, key=lambda fault: fault.path))

    def check_names(self) -> None:
        """Fault every variable with a prefix of ours that is none of ours: it is a misspelt one."""
        known = {*VARIABLES, *(f"{secret}_FILE" for secret in SECRETS)}
        for name in self._variables.keys() - known - _NOT_SETTINGS:
            if name.startswith(PREFIXES) and not _SERVICE_KEY.fullmatch(name):
                self._fault(name, "unknown variable", meant(name.upper(), known))

    def given(self, name: str) -> str | None:
        """The value without blanks around it; None where it is unset or empty. One in quotes is a fault."""
        if name not in VARIABLES:
            raise KeyError(name)
        value = self._variables.get(name, "").strip()
        if unquoted(value) == value:
            return value or None
        self._fault(name, f"is {describe(value)}, with the quotes", f"take them off{self._hint_on_quotes}")
        return None

    def _read(self, name: str, read: Callable[[str], T | None], remedy: str, default: T) -> T:
        value = self.given(name)
        if value is None:
            return default
        if (found := read(value)) is None:
            self._fault(name, f"is {describe(value)}", remedy)
        return default if found is None else found

    def choice(self, name: str, words: tuple[str, ...]) -> str | None:
        """One of the words, upper or lower case."""
        by_lower = {word.lower(): word for word in words}
        return self._read(name, lambda value: by_lower.get(value.lower()), f"must be {one_of(words)}", None)

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        def whole(value: str) -> int | None:
            return int(value) if re.fullmatch(r"[0-9]{1,10}", value) and least <= int(value) <= most else None

        return self._read(name, whole, f"must be a whole number from {least} to {most}", default)

    def seconds(self, name: str, default: float) -> float:
        """0, or any number of seconds from 1 on."""

        def number(value: str) -> float | None:
            try:
                seconds = float(value)
            except ValueError:
                return None
            return seconds if seconds == 0 or 1 <= seconds < math.inf else None

        return self._read(name, number, "must be 0 (off) or a number of seconds from 1 on", default)

    def url(self, name: str) -> str | None:
        """A web address without the slash at its end; ``http://`` is allowed."""
        value = self.given(name) or ""
        if value and (problem := url_problem(value)):
            self._fault(name, problem, "write for example https://bridge.example.com")
        return value.rstrip("/") or None

    def e_mail(self, name: str) -> str | None:
        value = self.given(name)
        if value and (problem := e_mail_problem(value)):
            self._fault(name, problem, E_MAIL_REMEDY)
        return value

    def addresses(self, name: str) -> tuple[str, ...]:
        """A comma list of IP addresses; those of IPv6 with or without brackets."""
        entries = tuple(entry.removeprefix("[").removesuffix("]") for entry in _listed(self.given(name) or ""))
        remedy = "must be IP addresses of this machine, such as 127.0.0.1 or ::1"
        return self._each(name, entries, ipaddress.ip_address, remedy)

    def listener(self, name: str) -> tuple[str, int] | None:
        """``PORT``, on loopback, or ``ADDRESS:PORT`` with an address of IPv6 in brackets."""

        def read(value: str) -> tuple[str, int] | None:
            found = _LISTENER.fullmatch(value)
            if found is None or not 0 < int(found["port"]) <= 65_535:
                return None
            host = found["six"] or found["four"] or "127.0.0.1"
            try:
                is_six = ipaddress.ip_address(host).version == 6
            except ValueError:
                return None
            return (host, int(found["port"])) if is_six == bool(found["six"]) else None

        remedy = "must be a port (on loopback) or ADDRESS:PORT, such as 9464, 10.0.0.5:9464 or [fd00::5]:9464"
        return self._read(name, read, remedy, None)

    def networks(self, name: str) -> tuple[str, ...]:
        """A comma list of IP addresses and networks such as ``10.0.0.0/8``."""
        read, remedy = (
            partial(ipaddress.ip_network, strict=False),
            "must be IP addresses or networks such as 10.0.0.0/8",
        )
        return self._each(name, _listed(self.given(name) or ""), read, remedy)

    def _each(self, name: str, entries: tuple[str, ...], read: Callable[[str], object], remedy: str) -> tuple[str, ...]:
        for entry in entries:
            try:
                read(entry)
            except ValueError:
                self._fault(name, f"holds {describe(entry)}", remedy)
        return entries

    def database_url(self) -> str | None:
        """Where PostgreSQL is; None means SQLite in the data directory."""
        value = self.secret("DATABASE_URL")
        if value is None or re.match(r"postgresql(\+psycopg)?://.", value):
            return value
        if value.startswith("postgres://") and value != "postgres://":
            return value.replace("postgres", "postgresql", 1)
        remedy = "must begin with postgresql://; leave it unset for SQLite in BRIDGE_DATA_DIR"
        self._fault("DATABASE_URL", "is no address of a PostgreSQL database", remedy)
        return None

    def secret(self, name: str) -> str | None:
        """A secret, from its variable or from the file ``NAME_FILE`` names, without blanks and line breaks around it.

        Its length and its letters are its maker's business; only what can never be sent or compared is a fault.
        """
        value = self._secret(name)
        return None if value is None or self._is_faulty(name, value) else value

    def secret_url(self, name: str) -> str | None:
        """A web address that may hold a token, in its path or its query; ``http://`` is allowed. Never quoted."""
        value = self.secret(name)
        if value and url_problem(value.partition("?")[0]):
            self._fault(name, "is no web address", "copy it anew; it begins with https://")
            return None
        return value

    def secrets(self, name: str) -> tuple[str, ...]:
        """A list of secrets, newest first, with commas or line breaks between them."""
        listed = _listed(self._secret(name, _unquoted_list) or "")
        return tuple(value for value in listed if not self._is_faulty(name, value))

    def _secret(self, name: str, without_quotes: Callable[[str], str] = unquoted) -> str | None:
        if name not in SECRETS and not _SERVICE_KEY.fullmatch(name):
            raise KeyError(name)
        value, path = self._variables.get(name, "").strip(), self._variables.get(f"{name}_FILE", "").strip()
        if value and path:
            self._fault(name, f"is set, and {name}_FILE too", "set one of them")
        return self._file(f"{name}_FILE", path) if path else without_quotes(value) or None

    def _is_faulty(self, name: str, value: str) -> bool:
        if problem := secret_problem(value, in_header=name in SENT_IN_HEADERS):
            self._fault(name if name in self._variables else f"{name}_FILE", problem, "copy it anew, by itself")
        return bool(problem)

    def service_keys(self) -> dict[str, str]:
        """The integration keys of services by service id."""
        named = filter(None, map(_SERVICE_KEY.fullmatch, (n for n in self._variables if n != f"{SERVICE_KEY}FILE")))
        keys = {found["service"]: self.secret(f"{SERVICE_KEY}{found['service']}") for found in named}
        return {service: key for service, key in keys.items() if key}

    def _file(self, name: str, path: str) -> str | None:
        try:
            with Path(path).open("rb") as file:
                return file.read(_MAX_SECRET_BYTES).decode("utf-8-sig").strip() or None
        except OSError as fault:
            self._fault(name, f"{_file_named(path)} cannot be read: {fault.strerror}")
        except ValueError:
            self._fault(name, f"{_file_named(path)} is no text in UTF-8")
        return None

    def _fault(self, name: str, problem: str, remedy: str = "") -> None:
        fault = Fault(name, problem, remedy)
        if fault not in self.faults:
            self.faults.append(fault)


class Arguments(Environment):
    """What a caller of the Python API gives in the place of variables: read by the same laws, and a fault names the
    argument, not the variable."""

    source = "the arguments"
    _hint_on_quotes = ""

    def __init__(self, given: Mapping[str, tuple[str, str | None]]) -> None:
        """``given``: by variable, the name of the argument and its value. None counts as unset, like a blank one."""
        super().__init__({variable: value for variable, (_, value) in given.items() if value is not None})
        self._names = {variable: name for variable, (name, _) in given.items()}

    def _fault(self, name: str, problem: str, remedy: str = "") -> None:
        super()._fault(self._names[name], problem, remedy)


def _is_link(name: str, variables: Mapping[str, str]) -> bool:
    """Whether a cluster set it, not a person: Kubernetes gives every pod the addresses of the Services beside it, under
    names made of theirs (``bridge`` makes ``BRIDGE_PORT``). ``docker run --link`` does the same, and adds the other
    container's name and all of its variables (``BRIDGE_NAME``, ``BRIDGE_ENV_PATH``).
    https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    https://docs.docker.com/engine/network/links/#environment-variables"""
    if _SERVICE_LINK.fullmatch(name) or _is_link_port(name, variables):
        return True
    found = _CONTAINER_LINK.fullmatch(name)
    return found is not None and _is_link_port(f"{found['alias']}_PORT", variables)


def _is_link_port(name: str, variables: Mapping[str, str]) -> bool:
    return name.endswith("_PORT") and _SERVICE_LINK_PORT.fullmatch(variables.get(name, "")) is not None


def _unquoted_list(text: str) -> str:
    """A comma list without the quotes around the whole of it, or around each entry."""
    whole = unquoted(text)
    return ",".join(unquoted(entry) for entry in _listed(text if text[:1] in whole else whole))


def _file_named(path: str) -> str:
    """The path, unless it may be the secret itself, put into the wrong variable."""
    return repr(path) if path.startswith(("/", "./", "../")) else "the file it names"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(entry for part in re.split(r"[,\r\n]", text) if (entry := part.strip()))


def secret_problem(value: str, in_header: bool = False) -> str:
    """Why a secret can never prove anything; empty where it can. Never quotes it."""
    if any(unicodedata.category(character) == "Cc" for character in value):
        return "has a line break or another control character in it"
    if in_header and any(ord(character) > 255 for character in value):
        return "has a character in it that no HTTP header can carry"
    return ""


E_MAIL_REMEDY = "must be the e-mail address of a user of the PagerDuty account"


def e_mail_problem(value: str) -> str:
    """Why a text cannot be the ``From`` of a call to PagerDuty; empty where it can."""
    if not _E_MAIL.fullmatch(value) or unquoted(value) != value:
        return f"is {describe(value)}"
    return f"{problem}: {describe(value)}" if (problem := secret_problem(value, in_header=True)) else ""


def url_problem(url: str) -> str:
    """Why a text is no address of a partner; empty where it is one."""
    try:
        parts = urlsplit(url)
        port_usable = parts.port is None or parts.port > 0
    except ValueError:
        return "is no web address"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password"
    if not url.isascii() or not url.isprintable() or " " in url or parts.query or parts.fragment:
        return "has a blank, a ?, a # or a character no web address has"
    usable = parts.scheme in ("http", "https") and bool(parts.hostname) and port_usable
    return "" if usable else f"is {describe(url)}, which is no web address"
