"""Incidents that a person or a script opens and moves, with or without a bridge.

LAW: calls PagerDuty at once and knows no link. Knows ``ports`` and the domain; no other capability.
"""
