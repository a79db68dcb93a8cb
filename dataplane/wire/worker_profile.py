"""What a version's worker found out about how its model can be asked: decided before it serves the first time, kept by
the agent, handed in at the next start (docs/wire.md section 6).
"""

from typing import Annotated

from msgspec import Meta, Struct

from dataplane.wire.shapes import Text

# Small: the profiles of all replicas go in every report of their agent, and a worker may say anything.
FORMS_MAX = 16
FORM_MAX_CHARS = 40
REASON_MAX_CHARS = 200

Form = Annotated[str, Meta(max_length=FORM_MAX_CHARS)]
Forms = Annotated[list[Form], Meta(max_length=FORMS_MAX)]
Reason = Annotated[str, Meta(max_length=REASON_MAX_CHARS)]
Reasons = Annotated[dict[Form, Reason], Meta(max_length=FORMS_MAX)]


class WorkerProfile(Struct, frozen=True):
    """How requests are answered: by which native path in which `forms`, and whether those of different clients are
    joined in one prediction.

    `given_up` says of each other form why, `reason` why requests are joined or not. `objection` is what the examples
    had against it, `alarm` what was found while it served; either ends it.
    """

    native: Form = ""
    forms: Forms = []
    given_up: Reasons = {}
    joins: bool = False
    reason: Text = ""
    objection: Text = ""
    alarm: Text = ""

    @property
    def is_decided(self) -> bool:
        """Whether a decision was come to: there is a native path, or a reason why there is none."""
        return bool(self.native or self.given_up)
