"""Reads both sides back; what differs from what we know goes into the inbox like anything else that arrives.

LAW: changes no link. Knows ``ports``, the domain and ``sync``'s public functions; no other capability.
"""
