"""Our own escalation of incidents: what is due is done and written down.

LAW: knows ``ports``, the domain and ``sync``'s public functions; no other capability.
"""
