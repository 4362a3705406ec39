"""What the adapters of both partners share: transport, reading of payloads, replies, signatures, rate limit.

LAW: ``transport`` is the only I/O, and the only place that imports requests; ``trace`` knows the trace of the present
context; the rest is pure. Knows neither partner.
"""
