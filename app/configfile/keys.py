"""The credentials that ``bridge.yaml`` may hold. They are read at the start, and the environment beats them.

They are a value of their own: the ``Rulebook`` is logged, shown and compared, and has no secret in it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.configfile.tree import MAX_FILE_BYTES, Node, read
from app.environment import E_MAIL_REMEDY, SENT_IN_HEADERS, e_mail_problem, secret_problem, url_problem

VARIABLES: Mapping[str, str] = {
    "pagerduty.integration_key": "PAGERDUTY_INTEGRATION_KEY",
    "pagerduty.api_key": "PAGERDUTY_API_KEY",
    "pagerduty.webhook_secrets": "PAGERDUTY_WEBHOOK_SECRETS",
    "pagerduty.from_email": "PAGERDUTY_FROM_EMAIL",
    "pagerduty.service_id": "PAGERDUTY_SERVICE_ID",
    "pagerduty.region": "PAGERDUTY_REGION",
    "truthvouch.api_key": "TRUTHVOUCH_API_KEY",
    "truthvouch.webhook_secrets": "TRUTHVOUCH_WEBHOOK_SECRETS",
    "truthvouch.api_url": "TRUTHVOUCH_API_URL",
}
"""What stands in the file, and the variable that beats it."""
SECRETS = frozenset(
    {
        "pagerduty.integration_key",
        "pagerduty.api_key",
        "pagerduty.webhook_secrets",
        "truthvouch.api_key",
        "truthvouch.webhook_secrets",
    }
)
PAGERDUTY_KEYS = ("integration_key", "api_key", "from_email", "webhook_secrets")
TRUTHVOUCH_KEYS = ("api_key", "webhook_secrets", "api_url")

SHOWN_CHARS = 4
MIN_MASKED_CHARS = 16
"""Of a shorter secret, four characters would be too much."""
_MAY_HOLD = re.compile(r"\b(?:integration_key|api_key|webhook_secrets|from_email|api_url)\b")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the file says of both partners; None or empty where it says nothing."""

    integration_key: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    from_email: str | None = None
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    truthvouch_api_key: str | None = field(default=None, repr=False)
    truthvouch_webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    truthvouch_api_url: str | None = None


def credentials(root: Node) -> Credentials:
    """The credentials of a file's tree. What is wrong is noted there, and never quotes a value."""
    pagerduty, truthvouch = root.get("pagerduty"), root.get("truthvouch")  # whether they are sections is the rulebook's
    return Credentials(
        integration_key=_secret(pagerduty, "integration_key"),
        api_key=_secret(pagerduty, "api_key"),
        from_email=_e_mail(pagerduty, "from_email"),
        webhook_secrets=_secrets(pagerduty, "webhook_secrets"),
        truthvouch_api_key=_secret(truthvouch, "api_key"),
        truthvouch_webhook_secrets=_secrets(truthvouch, "webhook_secrets"),
        truthvouch_api_url=_url(truthvouch, "api_url"),
    )


def held_in(path: Path) -> Credentials:
    """The credentials in a file; none where it cannot be read, for whoever reads its rules says why."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return Credentials()
    if len(text) > MAX_FILE_BYTES or not _MAY_HOLD.search(text):  # no process reads YAML for a file without keys
        return Credentials()
    root = read(text)
    found = credentials(root)
    return found if not root.faults else Credentials()


def given_by_file(held: Credentials, environ: Mapping[str, str]) -> frozenset[str]:
    """The places in the file whose credentials are in force: it holds them, and the environment does not beat them."""
    values = {
        "pagerduty.integration_key": held.integration_key,
        "pagerduty.api_key": held.api_key,
        "pagerduty.webhook_secrets": held.webhook_secrets,
        "pagerduty.from_email": held.from_email,
        "truthvouch.api_key": held.truthvouch_api_key,
        "truthvouch.webhook_secrets": held.truthvouch_webhook_secrets,
    }
    named = [path for path, value in values.items() if value]
    return frozenset(named) - overridden(named, environ).keys()


def overridden(paths: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Which of these places in the file the environment beats, and by which variable."""
    named = {path: VARIABLES[path] for path in paths if path in VARIABLES}
    return {path: name for path, name in named.items() if any(_given(environ, name))}


def _given(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """What the variable and its ``_FILE`` say; blanks say nothing."""
    return environ.get(name, "").strip(), environ.get(f"{name}_FILE", "").strip()


def exposed(path: Path) -> str:
    """Why the keys in this file are no secret on this machine; empty where it holds none or only its owner reads it."""
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:
        return ""
    if not mode & 0o044 or not any_secret(held_in(path)):
        return ""
    return f"{path} holds keys and is readable by others (mode {mode:04o}): run `chmod 600 {path}`"


def any_secret(held: Credentials) -> bool:
    """Whether there is any secret at all."""
    return any(
        (
            held.integration_key,
            held.api_key,
            held.webhook_secrets,
            held.truthvouch_api_key,
            held.truthvouch_webhook_secrets,
        )
    )


def without_secrets(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A file's plain tree without its secrets, for what is shown or hashed."""
    return {
        section: {key: item for key, item in value.items() if not is_secret(f"{section}.{key}")}
        if isinstance(value, Mapping)
        else value
        for section, value in tree.items()
    }


def is_secret(path: str) -> bool:
    """Whether what stands at this dotted path must never be shown."""
    return path in SECRETS


def masked(secret: str) -> str:
    """``****`` and the last four characters of a secret; of a short one nothing."""
    return "****" + (secret[-SHOWN_CHARS:] if len(secret) >= MIN_MASKED_CHARS else "")


# ------------------------------------------------------------------------------------------------ single values


def _secret(section: Node, key: str) -> str | None:
    node = section.get(key)
    if node.value is None:
        return None
    if not isinstance(node.value, str):
        node.fault("must be a text", "put it in quotes")
        return None
    return _checked(node, node.value)


def _secrets(section: Node, key: str) -> tuple[str, ...]:
    node = section.get(key)
    if node.value is not None and not isinstance(node.value, list):
        node.fault("must be a list", "begin each secret with a dash, the newest first")
        return ()
    found = []
    for entry in node.items():
        if not isinstance(entry.value, str) or not entry.value.strip():
            entry.fault("must be a text", "put it in quotes")
        elif secret := _checked(entry, entry.value):
            found.append(secret)
    return tuple(found)


def _checked(node: Node, value: str) -> str | None:
    """A secret without blanks and line breaks around it, as in the environment."""
    secret = value.strip()
    if problem := secret_problem(secret, in_header=VARIABLES.get(node.path) in SENT_IN_HEADERS):
        node.fault(problem, "copy it anew, by itself")
        return None
    return secret or None


def _e_mail(section: Node, key: str) -> str | None:
    text = section.text(key)
    if text is not None and e_mail_problem(text):
        section.get(key).fault("is no e-mail address that can be sent", E_MAIL_REMEDY)
    return text


def _url(section: Node, key: str) -> str | None:
    text = section.text(key)
    if text is not None and (problem := url_problem(text)):
        section.get(key).fault(problem, "write for example https://api.truthvouch.com/api/v1")
    return None if text is None else text.rstrip("/")
