"""What the pieces of the desired state are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

Int = Annotated[int, Strict()]
L4Port = Annotated[Int, Field(ge=1, le=65535)]


class Part(BaseModel):
    """A piece of the desired state."""

    model_config = ConfigDict(frozen=True, extra="forbid")
