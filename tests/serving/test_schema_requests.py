"""A share of the requests of `python -m schema_requests`."""

import pytest


@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")
def test_answers_agree_with_the_description(served_model):
    pytest.importorskip("schemathesis")
    from schema_requests import Server, load_schema, send_all

    # A process of its own: modules that a server in a thread imports would change `sys.modules`
    # while Hypothesis iterates over it.
    with Server(served_model) as server:
        statuses = send_all(load_schema(server.address), 250)
    assert {200, 404, 422} <= set(statuses) and sum(statuses.values()) > 250
