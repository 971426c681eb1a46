"""Settings of orders: where payments are taken."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class OrdersSettings(BaseModel):
    """What a deployer decides about orders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gateway_url: str | None = Field(
        None,
        alias="PAYMENT_GATEWAY_URL",
        description="The payment gateway; without it nothing can be bought. `platform dev` brings one.",
    )
    gateway_key: SecretStr | None = Field(
        None, description="Sent to the gateway as a bearer token, where it wants one."
    )
    gateway_timeout_seconds: float = Field(
        15,
        gt=0,
        le=25,
        description="The gateway may take so long for a payment; then it is asked what became of it.",
    )
