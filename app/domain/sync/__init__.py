"""One link between an alert and its incident: events in, effects out.

LAW: knows ``model`` and ``rules``; never which level of an escalation an incident is on, and no figures.
"""
