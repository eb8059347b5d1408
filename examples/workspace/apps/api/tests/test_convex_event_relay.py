"""The relay's boundary: what reaches Convex, what never does, and what a failure means."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from app.contracts import ExecutionEvent, ExecutionState, ProjectionState, ProjectionUpdate
from app.convex_event_relay import (
    PROJECTION_STATES,
    ConvexEventRelay,
    ConvexSink,
    DeliveryRejected,
    DeliveryUnavailable,
    TenantMismatch,
    project,
)
from app.main import app, get_relay
from fastapi.testclient import TestClient
from pydantic import ValidationError

TENANT = "tenant-a"


def event(**changes: object) -> ExecutionEvent:
    values: dict[str, object] = {
        "event_id": "evt-1",
        "tenant_id": TENANT,
        "workspace_id": "ws-1",
        "job_id": "job-1",
        "submission_id": "sub-1",
        "execution_id": "exec-1",
        "state": "running",
        "occurred_at": "2026-01-02T03:04:05Z",
        "trace_id": "trace-1",
    }
    return ExecutionEvent.model_validate(values | changes)


class Convex(HTTPServer):
    """A real HTTP server in Convex's place: keeps what it is sent, answers what the test asks for."""

    answer = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, str, dict[str, object]]] = []

    @property
    def sink(self) -> ConvexSink:
        return ConvexSink(f"http://127.0.0.1:{self.server_port}/projection", "a-token", timeout=5)


class _Handler(BaseHTTPRequestHandler):
    server: Convex

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = self.headers
        self.server.received.append((headers["Idempotency-Key"], headers["Authorization"], body))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def convex(monkeypatch: pytest.MonkeyPatch) -> Iterator[Convex]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # a developer's proxy must not get in between
    with Convex() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("accepted", "pending"),
        ("queued", "pending"),
        ("running", "running"),
        ("retrieving", "running"),
        ("completed", "succeeded"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        ("timed_out", "failed"),
    ],
)
def test_states_are_mapped(state: str, shown: str) -> None:
    update = project(event(state=state), tenant_id=TENANT)
    assert (update.projection_state, update.source_execution_state) == (shown, state)


def test_every_execution_state_has_a_projection() -> None:
    assert set(PROJECTION_STATES) == set(ExecutionState)
    assert set(PROJECTION_STATES.values()) == set(ProjectionState)


def test_identity_and_time_are_carried_over_unchanged() -> None:
    source = event()
    update = project(source, tenant_id=TENANT)
    for field in ("tenant_id", "workspace_id", "job_id", "submission_id", "occurred_at", "trace_id"):
        assert getattr(update, field) == getattr(source, field)


def test_a_repeated_event_gives_the_same_update() -> None:
    assert project(event(), tenant_id=TENANT) == project(event(), tenant_id=TENANT)


def test_another_event_or_tenant_gives_another_projection_id() -> None:
    ids = {
        project(event(event_id=event_id, tenant_id=tenant), tenant_id=tenant).projection_event_id
        for event_id in ("evt-1", "evt-2")
        for tenant in ("tenant-a", "tenant-b")
    }
    assert len(ids) == 4


def test_an_event_of_another_tenant_never_reaches_convex(convex: Convex) -> None:
    with pytest.raises(TenantMismatch):
        ConvexEventRelay(convex.sink).deliver(event(tenant_id="tenant-b"), tenant_id=TENANT)
    assert convex.received == []


def test_scheduler_and_engine_details_stay_on_the_execution_side() -> None:
    source = event(
        state="completed",
        status_detail="slurm: node n017 in partition gpu",
        scheduler_ref={"slurm_job_id": "4711", "partition": "gpu", "qos": "high"},
        result_ref={"output_uri": "s3://results/job-1", "metadata_uri": "s3://provenance/job-1"},
    )
    sent = project(source, tenant_id=TENANT).model_dump_json()
    for internal in ("4711", "gpu", "high", "n017", "provenance", "exec-1"):
        assert internal not in sent
    assert "s3://results/job-1" in sent


@pytest.mark.parametrize("internal", ["pk", "uuid", "node_type", "repository_metadata", "ctime", "process_state"])
def test_aiida_internals_are_refused_on_the_way_in(internal: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        event(**{internal: "1"})


def test_no_projection_field_is_named_after_aiida_internals() -> None:
    internal = {"pk", "uuid", "ctime", "mtime", "process_state", "execution_id", "scheduler_ref"}
    assert not internal & set(ProjectionUpdate.model_fields)
    assert not [f for f in ProjectionUpdate.model_fields if f.startswith(("node_", "repository_", "aiida"))]


def test_a_failure_carries_code_and_message_but_no_retry_advice() -> None:
    error = {"code": "OUT_OF_MEMORY", "message": "The job needs more memory", "retryable": True}
    failure = project(event(state="failed", error=error), tenant_id=TENANT).failure
    assert failure is not None
    assert failure.model_dump() == {"code": "OUT_OF_MEMORY", "message": "The job needs more memory"}


def test_a_failed_state_without_an_error_still_says_why() -> None:
    failure = project(event(state="timed_out"), tenant_id=TENANT).failure
    assert failure is not None
    assert failure.code == "timed_out"


def test_an_error_of_a_job_that_goes_on_is_no_failure() -> None:
    error = {"code": "NODE_FAIL", "message": "requeued", "retryable": True}
    assert project(event(state="queued", error=error), tenant_id=TENANT).failure is None


def test_a_result_is_shown_only_when_the_job_succeeded() -> None:
    result = {"output_uri": "s3://results/job-1"}
    assert project(event(state="running", result_ref=result), tenant_id=TENANT).result_ref is None
    assert project(event(state="completed", result_ref=result), tenant_id=TENANT).result_ref is not None


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        event(occurred_at="2026-01-02T03:04:05")


def test_the_update_is_posted_with_its_idempotency_key(convex: Convex) -> None:
    update = ConvexEventRelay(convex.sink).deliver(event(), tenant_id=TENANT)
    key, authorization, body = convex.received[0]
    assert (key, authorization) == (update.projection_event_id, "Bearer a-token")
    assert ProjectionUpdate.model_validate(body) == update


def test_a_repeat_that_convex_knows_counts_as_delivered(convex: Convex) -> None:
    convex.answer = 409
    ConvexEventRelay(convex.sink).deliver(event(), tenant_id=TENANT)
    assert len(convex.received) == 1


@pytest.mark.parametrize("answer", [429, 500, 503])
def test_a_busy_convex_may_be_asked_again(convex: Convex, answer: int) -> None:
    convex.answer = answer
    with pytest.raises(DeliveryUnavailable) as caught:
        ConvexEventRelay(convex.sink).deliver(event(), tenant_id=TENANT)
    assert caught.value.retryable


@pytest.mark.parametrize("answer", [400, 401, 422])
def test_a_refusal_is_final(convex: Convex, answer: int) -> None:
    convex.answer = answer
    with pytest.raises(DeliveryRejected) as caught:
        ConvexEventRelay(convex.sink).deliver(event(), tenant_id=TENANT)
    assert not caught.value.retryable


def test_an_unreachable_convex_may_be_asked_again(convex: Convex) -> None:
    sink = convex.sink
    convex.socket.close()
    with pytest.raises(DeliveryUnavailable):
        ConvexEventRelay(sink).deliver(event(), tenant_id=TENANT)


@pytest.mark.parametrize(("answer", "status"), [(200, 202), (503, 503), (400, 502)])
def test_the_route_tells_the_caller_which_it_was(convex: Convex, answer: int, status: int) -> None:
    convex.answer = answer
    app.dependency_overrides[get_relay] = lambda: ConvexEventRelay(convex.sink)
    try:
        client = TestClient(app)
        body = event().model_dump(mode="json", exclude_none=True)
        response = client.post("/v1/execution-events", json=body, headers={"X-Tenant-Id": TENANT})
        assert response.status_code == status
        assert ("Retry-After" in response.headers) == (status == 503)
        other = client.post("/v1/execution-events", json=body, headers={"X-Tenant-Id": "tenant-b"})
        assert other.status_code == 403
    finally:
        app.dependency_overrides.clear()
