"""The three contract surfaces, field by field as docs/contracts/ documents them.

Unknown fields are refused, so that nothing of AiiDA's internals can slip through unnoticed.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")]
Uri = Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^[a-z][a-z0-9+.-]*://")]
Message = Annotated[str, Field(max_length=1024)]


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExecutionState(StrEnum):
    """What the execution side (AiiDA, Slurm) reports."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    RETRIEVING = "retrieving"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class ProjectionState(StrEnum):
    """What the product shows."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


# --- SubmitJobCommand -------------------------------------------------------------------------


class ExecutionProfile(Contract):
    queue_name: Identifier
    qos: Identifier | None = None
    account: Identifier | None = None


class ResourceShape(Contract):
    cpu: Annotated[int, Field(ge=1)]
    memory_mib: Annotated[int, Field(ge=1)]
    walltime_seconds: Annotated[int, Field(ge=1)]


class PayloadRef(Contract):
    input_uri: Uri
    artifact_bucket: Identifier | None = None


class RequestedBy(Contract):
    user_id: Identifier
    session_id: Identifier | None = None


class SubmitJobCommand(Contract):
    tenant_id: Identifier
    workspace_id: Identifier
    job_id: Identifier
    idempotency_key: Identifier
    management_node_id: Identifier
    execution_profile: ExecutionProfile
    resource_shape: ResourceShape
    payload_ref: PayloadRef
    requested_by: RequestedBy


# --- ExecutionEvent ---------------------------------------------------------------------------


class SchedulerRef(Contract):
    slurm_job_id: Identifier | None = None
    partition: Identifier | None = None
    qos: Identifier | None = None


class ExecutionResultRef(Contract):
    output_uri: Uri | None = None
    metadata_uri: Uri | None = None


class ExecutionError(Contract):
    code: Identifier
    message: Message
    retryable: bool


class ExecutionEvent(Contract):
    event_id: Identifier
    tenant_id: Identifier
    workspace_id: Identifier
    job_id: Identifier
    submission_id: Identifier
    execution_id: Identifier
    state: ExecutionState
    occurred_at: AwareDatetime
    trace_id: Identifier
    status_detail: Message | None = None
    scheduler_ref: SchedulerRef | None = None
    result_ref: ExecutionResultRef | None = None
    error: ExecutionError | None = None


# --- ProjectionUpdate -------------------------------------------------------------------------


class ProjectionResultRef(Contract):
    output_uri: Uri | None = None
    summary: Message | None = None


class Failure(Contract):
    code: Identifier
    message: Message


class ProjectionUpdate(Contract):
    projection_event_id: Identifier
    tenant_id: Identifier
    workspace_id: Identifier
    job_id: Identifier
    submission_id: Identifier
    projection_state: ProjectionState
    source_execution_state: ExecutionState
    occurred_at: AwareDatetime
    trace_id: Identifier
    display_message: Message | None = None
    result_ref: ProjectionResultRef | None = None
    failure: Failure | None = None
