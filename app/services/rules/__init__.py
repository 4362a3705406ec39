"""The rulebook in force, and what it or a draft does with alerts.

LAW: writes no link. Knows ``ports``, the domain and ``sync``'s public functions; no other capability.
"""
