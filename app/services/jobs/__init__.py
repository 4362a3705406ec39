"""Long work beside the deliveries: queued, watched, run.

LAW: knows no other capability. What a job does is a ``Runner`` that bootstrap composes.
"""
