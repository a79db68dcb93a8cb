"""Messages signed as Standard Webhooks has it (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body.

A message carries `webhook-id`, `webhook-timestamp` and `webhook-signature`, a list of `v1,<base64>` of which one has to
be right.
"""

import base64
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook

from mlorch_site.lib.errors import Unauthenticated
from mlorch_site.lib.readable import is_text

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
SECRET_PREFIX = "whsec_"  # noqa: S105 - how secrets of this standard begin, and none
AGE_MAX_S = 300
ID_MAX_CHARS = 100
SIGNATURES_MAX = 10
SIGNATURE_MAX_CHARS = 1_000
TIMESTAMP_DIGITS_MAX = 12


def shown_secret(secret: bytes) -> str:
    """The secret as receivers' libraries take it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signature_of(secret: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """One signature of a message, whose body is text in UTF-8."""
    moment = datetime.fromtimestamp(int(timestamp), UTC)
    return str(Webhook(shown_secret(secret)).sign(message_id, moment, body.decode()))


def signed_headers(secret: bytes, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """The three headers of a message that is sent now."""
    timestamp = str(int(now.timestamp()))
    return {ID: message_id, TIMESTAMP: timestamp, SIGNATURE: signature_of(secret, message_id, timestamp, body)}


def verified_id(secret: bytes, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """The id of a message. Raises Unauthenticated for a missing or wrong signature, and for one that is not of now."""
    message_id, timestamp = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    given = headers.get(SIGNATURE, "")
    is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= TIMESTAMP_DIGITS_MAX
    if not message_id or len(message_id) > ID_MAX_CHARS or not is_text(message_id) or not is_number:
        raise Unauthenticated("The message's id or timestamp is missing or malformed.")
    try:
        wanted = signature_of(secret, message_id, timestamp, body).encode()
    except (UnicodeDecodeError, OverflowError, ValueError) as error:
        raise Unauthenticated("The message's body is no text, or its timestamp none of this age.") from error
    said = given[:SIGNATURE_MAX_CHARS].split(" ")[:SIGNATURES_MAX]
    # All of them are compared, so that the time tells nothing.
    if not sum(hmac.compare_digest(wanted, one.encode(errors="replace")) for one in said):
        raise Unauthenticated("The signature is wrong.")
    if abs(now.timestamp() - int(timestamp)) > AGE_MAX_S:
        raise Unauthenticated(f"The message was signed more than {AGE_MAX_S} s before or after now.")
    return message_id
