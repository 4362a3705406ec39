"""How much a request may hold, and how long it may take."""

MAX_BODY_BYTES = 1024 * 1024
"""PagerDuty's and TruthVouch's deliveries are a few kilobytes; neither documents a limit."""

MAX_HEAD_BYTES = 128 * 1024
"""Request line and headers together; a signature header may be long, since it lists one signature per secret."""

RECEIVE_SECONDS = 10.0
"""From the first byte to the last. PagerDuty gives up after 5 seconds, TruthVouch after 30, both with a retry."""

ANSWER_SECONDS = 15.0
"""How long one request may keep a thread, a sender that does not read its answer included."""
