"""The relay: one ExecutionEvent in, one ProjectionUpdate out to Convex.

It is stateless. The same event always gives the same update with the same projection_event_id,
so Convex can drop a repeat, and a retry after a lost answer does no harm.
"""

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable

from app.contracts import (
    ExecutionEvent,
    ExecutionState,
    Failure,
    ProjectionResultRef,
    ProjectionState,
    ProjectionUpdate,
)

PROJECTION_STATES = {
    ExecutionState.ACCEPTED: ProjectionState.PENDING,
    ExecutionState.QUEUED: ProjectionState.PENDING,
    ExecutionState.RUNNING: ProjectionState.RUNNING,
    # The scheduler is done, the outputs are not here yet: for the user the job still runs.
    ExecutionState.RETRIEVING: ProjectionState.RUNNING,
    ExecutionState.COMPLETED: ProjectionState.SUCCEEDED,
    ExecutionState.FAILED: ProjectionState.FAILED,
    ExecutionState.CANCELLED: ProjectionState.CANCELLED,
    ExecutionState.TIMED_OUT: ProjectionState.FAILED,
}

DISPLAY_MESSAGES = {
    ExecutionState.ACCEPTED: "Accepted, not yet queued",
    ExecutionState.QUEUED: "Waiting in the queue",
    ExecutionState.RUNNING: "Running",
    ExecutionState.RETRIEVING: "Collecting the results",
    ExecutionState.COMPLETED: "Finished",
    ExecutionState.FAILED: "Failed",
    ExecutionState.CANCELLED: "Cancelled",
    ExecutionState.TIMED_OUT: "Stopped at its time limit",
}

# A fixed name space: the projection id is a pure function of tenant and event.
PROJECTION_NAMESPACE = uuid.UUID("6f1d4a52-6c0e-5d0b-9a3e-0d6a9c1f7b25")


class RelayError(Exception):
    """The update was not delivered. `retryable` says whether the same call may succeed later."""

    retryable = False


class TenantMismatch(RelayError):
    """The caller's tenant is not the event's tenant."""


class DeliveryRejected(RelayError):
    """Convex refused the update; sending it again gives the same answer."""


class DeliveryUnavailable(RelayError):
    """Convex could not be reached or is busy; the same update may be sent again."""

    retryable = True


def project(event: ExecutionEvent, *, tenant_id: str) -> ProjectionUpdate:
    """Map an execution event to what the product may see; raises TenantMismatch."""
    if event.tenant_id != tenant_id:
        raise TenantMismatch(f"event {event.event_id} belongs to another tenant")
    return ProjectionUpdate(
        projection_event_id=str(uuid.uuid5(PROJECTION_NAMESPACE, f"{event.tenant_id}/{event.event_id}")),
        tenant_id=event.tenant_id,
        workspace_id=event.workspace_id,
        job_id=event.job_id,
        submission_id=event.submission_id,
        projection_state=PROJECTION_STATES[event.state],
        source_execution_state=event.state,
        occurred_at=event.occurred_at,
        trace_id=event.trace_id,
        # Our own words: status_detail comes from the scheduler and stays on the execution side.
        display_message=DISPLAY_MESSAGES[event.state],
        result_ref=_result(event),
        failure=_failure(event),
    )


def _result(event: ExecutionEvent) -> ProjectionResultRef | None:
    if event.state is not ExecutionState.COMPLETED or event.result_ref is None:
        return None
    return ProjectionResultRef(output_uri=event.result_ref.output_uri, summary=DISPLAY_MESSAGES[event.state])


def _failure(event: ExecutionEvent) -> Failure | None:
    if PROJECTION_STATES[event.state] is not ProjectionState.FAILED:
        return None
    if event.error is None:
        return Failure(code=event.state.value, message=DISPLAY_MESSAGES[event.state])
    return Failure(code=event.error.code, message=event.error.message)


class ConvexSink:
    """Posts updates to a Convex HTTP action. `url` is the action's address, `timeout` is in seconds."""

    def __init__(self, url: str, token: str, timeout: float = 10.0) -> None:
        self.url, self.token, self.timeout = url, token, timeout

    def __call__(self, update: ProjectionUpdate) -> None:
        request = urllib.request.Request(
            self.url,
            data=json.dumps(update.model_dump(mode="json", exclude_none=True)).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "Idempotency-Key": update.projection_event_id,
            },
        )
        try:
            urllib.request.urlopen(request, timeout=self.timeout).close()
        except urllib.error.HTTPError as error:
            if error.code == 409:
                return  # Convex has this projection_event_id already: delivered.
            if error.code == 429 or error.code >= 500:
                raise DeliveryUnavailable(f"Convex answered {error.code}") from error
            raise DeliveryRejected(f"Convex answered {error.code}") from error
        except OSError as error:  # URLError and time limits are OSErrors
            raise DeliveryUnavailable("Convex cannot be reached") from error


class ConvexEventRelay:
    """Projects events and hands them to a sink. The sink raises a RelayError, or has delivered."""

    def __init__(self, sink: Callable[[ProjectionUpdate], None]) -> None:
        self.sink = sink

    def deliver(self, event: ExecutionEvent, *, tenant_id: str) -> ProjectionUpdate:
        update = project(event, tenant_id=tenant_id)
        self.sink(update)
        return update
