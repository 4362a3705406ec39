"""Checks against the written-down PagerDuty: is this request one it would take, is this body one it would send?"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from openapi_core import OpenAPI
from openapi_core.contrib.werkzeug import WerkzeugOpenAPIRequest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from tests.far_side import Recorded

HERE = Path(__file__).parent
REST_HOST = "https://api.pagerduty.com"
EVENTS_HOST = "https://events.pagerduty.com"
PAYLOADS = {path.stem.removeprefix("synthetic-"): path.read_bytes() for path in sorted(HERE.glob("payloads/*.json"))}


@cache
def _openapi() -> OpenAPI:
    return OpenAPI.from_dict(json.loads((HERE / "openapi.json").read_text()))


@cache
def webhook_schema() -> Draft202012Validator:
    """The schema of a v3 delivery body."""
    return Draft202012Validator(json.loads((HERE / "webhook-v3.schema.json").read_text()))


def check_request(recorded: Recorded, host: str) -> None:
    """Raise unless PagerDuty's documented API, at ``host``, takes this request."""
    headers: Any = [(name, value) for name, value in recorded.headers.items() if name.lower() != "host"]
    builder = EnvironBuilder(
        recorded.path, host, method=recorded.method, query_string=recorded.query, headers=headers, data=recorded.body
    )
    _openapi().validate_request(WerkzeugOpenAPIRequest(Request(builder.get_environ())))
