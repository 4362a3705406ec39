"""Statistics and reports of a period, from the bridge's own record.

LAW: reads only; dictionaries out. Knows ``ports`` and the domain; no other capability.
"""
