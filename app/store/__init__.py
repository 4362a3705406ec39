"""What the bridge remembers.

LAW: the only room that speaks SQL. It knows no partner, no engine and no rule; a transaction leaves it only as an
opaque value. SQLite keeps the inbox in a file of its own, so that a draining worker never makes an accept wait.
"""
