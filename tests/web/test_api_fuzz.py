"""Whatever is asked of ``/api/v1``: never a 5xx, and always an answer as the document promises.

Requests are made from the document itself, right ones and wrong ones, the same in every run of the same code. Who may
come in is ``test_api.py``'s matter: here everybody has the token.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi import checks
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.web.test_api import LOGIN, ROOT, Api, an_api, document, people

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
OPERATIONS = [(method.upper(), path) for path, methods in document()["paths"].items() for method in methods]
EXAMPLES = 10
KNOWN: dict[str, list[Any]] = {
    "id": [1, 2],
    "alert_id": ["a1", "alert/2 ü"],
    "alert_or_incident": ["a1", "Q2"],
    "incident_id": ["Q1", "Q1"],
    "name": ["deploy/2", "deploy/2"],
}
"""What is there: hardly any generated id is."""
BODIES: dict[str, Any] = {
    "/rules/explain": {"alert_id": "a1"},
    "/silences": {
        "name": "drill",
        "match": "severity == critical",
        "reason": "drill",
        "until": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    },
    "/silences/preview": {"match": "severity == critical"},
    "/jobs/backtest": {"since": "2026-05-04T09:00:00Z", "until": "2026-05-05T09:00:00Z"},
    "/jobs/replay": {"all": True},
    "/jobs/erase": {"alerts": ["a1", "nobody"]},
    "/jobs/reconcile": {"since": "2026-05-04T09:00:00Z", "dry_run": True},
    "/links/{alert_id}/resolve": {"note": "rolled back"},
    "/links/{alert_id}/note": {"note": "rolled back"},
    "/escalations/{incident_id}/now": {"raise_urgency": False},
}
"""What means something: hardly any generated body does."""
NEVER_WRONG = {
    "/links/{alert_id}", "/evidence/{alert_id}", "/escalations/{incident_id}", "/health", "/rules", "/openapi.json",
}  # fmt: skip
"""They take nothing, or any text."""
READ_TOGETHER = {"/stats", "/report", *BODIES}
"""What they take may be right one by one and mean nothing together: a period that ends before it begins. A trigger is a
language of its own."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One store for all requests: they meet what the ones before them did."""
    with an_api(tmp_path_factory.mktemp("fuzz")) as made:
        yield people(made)


@pytest.fixture(scope="module")
def schema(api: Api) -> OpenApiSchema:
    """The document as it is served."""
    generation = GenerationConfig(with_security_parameters=False)
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    return schemathesis.openapi.from_wsgi(f"{ROOT}/openapi.json", api.app, config=config, headers=LOGIN)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_right_requests_are_answered_as_the_document_promises(api: Api, schema: OpenApiSchema, method: str, path: str):
    api.beat()
    seen = ask(schema, method, path, GenerationMode.POSITIVE)
    assert seen[200] > 0
    assert set(seen) <= {200, 202, 404, *([400] if path in READ_TOGETHER else [])}


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if one[1] not in NEVER_WRONG])
def test_wrong_requests_are_refused_as_the_document_promises(schema: OpenApiSchema, method: str, path: str):
    """A few are right after all, once they are written down: an unknown parameter whose value is an empty list."""
    seen = ask(schema, method, path, GenerationMode.NEGATIVE)
    assert seen[400] > 0
    assert set(seen) <= {200, 202, 400, 404}


def ask(schema: OpenApiSchema, method: str, path: str, mode: GenerationMode) -> Counter[int]:
    """Make requests and check every answer; how often which status came."""
    statuses: Counter[int] = Counter()

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=EXAMPLES,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=schema[path][method].as_strategy(generation_mode=mode), turn=st.integers(0, 3))
    def asked(case: Case, turn: int) -> None:
        if mode is GenerationMode.POSITIVE and turn < 2:
            case.path_parameters = {
                name: known[turn] for name, known in KNOWN.items() if name in (case.path_parameters or {})
            }
            case.body = BODIES.get(path, case.body)
        answer = case.call(headers=LOGIN)
        case.validate_response(answer, checks=CHECKS)
        statuses[answer.status_code] += 1

    asked()
    return statuses
