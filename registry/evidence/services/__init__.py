"""Every change to what gates look at."""

from registry.evidence.services.advisories import advisories_load, resolution_keep
from registry.evidence.services.external_checks import (
    external_answer_take,
    external_call_open,
    external_call_send,
    external_check_add,
    external_check_end,
)
from registry.evidence.services.signing_keys import signing_key_add, signing_key_end

__all__ = [
    "advisories_load",
    "external_answer_take",
    "external_call_open",
    "external_call_send",
    "external_check_add",
    "external_check_end",
    "resolution_keep",
    "signing_key_add",
    "signing_key_end",
]
