"""What schemathesis makes of the OpenAPI documents: no 5xx, nothing that they do not say."""

import contextlib
from functools import partial

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.protocols.admin import create_admin
from serving.settings import Settings
from tests.benchmarks.fuzz.servers import ADMIN_KEY
from tests.benchmarks.fuzz.tally import Tally

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
WITHIN_S = 30
_ALLOWED = {504}
_NAMES = {"model": "tone", "family": "same"}
# Each of these loads or unloads a model.
_FEW = {"/admin/models/{family}/load", "/admin/models/{family}/unload", "/admin/rescan"}
_MOST_OF_FEW = 5


def share(running, seed, first, count):
    """So many requests, or a few more, over all operations; what came of them."""
    tally = Tally()
    documents = [(running.running.url, _document(running.running.url), running.headers)]
    admin = f"http://127.0.0.1:{running.admin_port}"
    documents.append((admin, admin_document(), (("Authorization", f"Bearer {ADMIN_KEY}"),)))
    asked = [
        (url, dict(headers), operation.ok())
        for url, document, headers in documents
        for operation in schemathesis.openapi.from_dict(document).get_all_operations()
    ]
    with requests.Session() as session:
        for url, headers, operation in asked:
            each = max(1, count // (3 * len(asked)))
            most = min(each, _MOST_OF_FEW) if operation.path in _FEW else each
            for kind, strategy in _strategies(operation, few=each == 1):
                case_seed = f"{seed}/{first}/{operation.label}/{kind}"
                ask = partial(_answer, session, url, headers)
                _ask(ask, strategy, most, case_seed, tally)
    return tally


def admin_document():
    """The OpenAPI document of the admin API, which the server itself does not show."""
    return create_admin(Settings(), None, None).api.openapi()


def _document(url):
    return requests.get(f"{url}/openapi.json", timeout=WITHIN_S).json()


def _strategies(operation, *, few):
    named = {
        each.name: _NAMES[each.name] for each in operation.path_parameters if each.name in _NAMES
    }
    yield "named", operation.as_strategy(GenerationMode.POSITIVE, path_parameters=named or None)
    if not few:
        yield "valid", operation.as_strategy(GenerationMode.POSITIVE)
    yield "invalid", operation.as_strategy(GenerationMode.NEGATIVE)


def _answer(session, url, headers, case):
    return case.call(base_url=url, session=session, headers=headers, timeout=WITHIN_S)


def _ask(ask, strategy, most, case_seed, tally):
    @seeded(case_seed)
    @settings(
        max_examples=most, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def one(case):
        try:
            response = ask(case)
        except requests.Timeout:
            _note(tally, "hang", case, case_seed)
            return
        except requests.RequestException as error:
            _note(tally, f"no answer: {error}", case, case_seed)
            return
        tally.requests += 1
        tally.count(response.status_code)
        if response.status_code == 400 and b'"malformed_request"' in response.content:
            tally.malformed += 1
        if response.status_code >= 500 and response.status_code not in _ALLOWED:
            _note(tally, f"status {response.status_code}", case, case_seed)
        try:
            case.validate_response(response, checks=CHECKS)
        except (Failure, FailureGroup) as failure:
            for each in getattr(failure, "exceptions", [failure]):
                _note(tally, f"{each.title}: {each}", case, case_seed)

    with contextlib.suppress(Unsatisfiable):  # no request to it could be wrong
        one()


def _note(tally, what, case, case_seed):
    """Keep a fault with the command that sends it again."""
    tally.fault(f"{what}\n{case.as_curl_command()}", part="openapi", seed=case_seed, number=0)
