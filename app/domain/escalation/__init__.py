"""One incident's way up the levels of our own escalation.

LAW: knows ``sync`` and what lies below it; ``sync`` does not know it, and neither do reports.
"""
