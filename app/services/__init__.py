"""What the bridge does, one use case a file.

LAW: one transaction a use case; talks to ``ports`` only. No Flask, no SQL, no DBOS, no settings; the clock comes in as
a function.
"""
