"""The settings of Envoy's external processor."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_ROLE = "(user|system|developer|assistant|tool|function)"


class ExtProcSettings(BaseModel):
    """What becomes of requests that Envoy lets check; frozen once read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ext_proc_model: str = Field(
        "",
        max_length=128,
        description="Family that classifies what Envoy lets check (`ext_proc`); empty is the "
        "default one. `x-sizewise-model` in the metadata of Envoy's call takes precedence.",
    )
    ext_proc_roles: str = Field(
        "user",
        pattern=rf"^{_ROLE}(,{_ROLE})*$",
        description="Roles whose messages are classified, separated by commas: of `user`, "
        "`system`, `developer`, `assistant`, `tool` and `function`.",
    )
    ext_proc_flagged: Literal["block", "mark"] = Field(
        "block",
        description="What becomes of a flagged request: `block` answers 403, `mark` lets it go on "
        "with headers that say so.",
    )
    ext_proc_failure: Literal["closed", "open"] = Field(
        "closed",
        description="What becomes of a request that cannot be judged through no fault of its "
        "client: `closed` refuses it, `open` lets it go on with a header that says why.",
    )
    ext_proc_deadline_ms: int = Field(
        150,
        ge=1,
        le=600_000,
        description="Maximum time to judge a request whose body has arrived, in ms; Envoy's "
        "`message_timeout` (200 ms by default) must be longer.",
    )
