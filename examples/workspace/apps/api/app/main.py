"""The HTTP adapter: an ASGI application, `app.main:app`."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel

from app.contracts import ExecutionEvent, ProjectionUpdate, SubmitJobCommand
from app.convex_event_relay import (
    ConvexEventRelay,
    ConvexSink,
    DeliveryRejected,
    DeliveryUnavailable,
    TenantMismatch,
)

app = FastAPI(title="Workspace API", version="0.1.0")

Tenant = Annotated[str, Header(alias="X-Tenant-Id", description="the authenticated caller's tenant")]


class Health(BaseModel):
    status: str


class Validated(BaseModel):
    tenant_id: str
    job_id: str
    idempotency_key: str


def get_relay() -> ConvexEventRelay:
    url, token = os.environ.get("CONVEX_RELAY_URL"), os.environ.get("CONVEX_RELAY_TOKEN")
    if not url or not token:
        raise HTTPException(503, "the relay is not set up: set CONVEX_RELAY_URL and CONVEX_RELAY_TOKEN")
    return ConvexEventRelay(ConvexSink(url, token))


Relay = Annotated[ConvexEventRelay, Depends(get_relay)]


@app.get("/healthz", operation_id="health")
def health() -> Health:
    return Health(status="ok")


@app.post("/v1/submit-job-commands/validate", operation_id="validateSubmitJobCommand")
def validate_submit_job_command(command: SubmitJobCommand, tenant: Tenant) -> Validated:
    """Validate a command before it is routed to the execution side. Nothing is stored here."""
    if command.tenant_id != tenant:
        raise HTTPException(403, "the command belongs to another tenant")
    return Validated(
        tenant_id=command.tenant_id, job_id=command.job_id, idempotency_key=command.idempotency_key
    )


@app.post("/v1/execution-events", operation_id="relayExecutionEvent", status_code=202)
def relay_execution_event(event: ExecutionEvent, tenant: Tenant, relay: Relay) -> ProjectionUpdate:
    """Project an execution event and deliver it to Convex. Safe to repeat."""
    try:
        return relay.deliver(event, tenant_id=tenant)
    except TenantMismatch as error:
        raise HTTPException(403, str(error)) from error
    except DeliveryUnavailable as error:
        raise HTTPException(503, str(error), headers={"Retry-After": "5"}) from error
    except DeliveryRejected as error:
        raise HTTPException(502, str(error)) from error
