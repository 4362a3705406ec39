"""How fast the bridge is, on this machine, now: ``python -m bench``. A measurement, never a test.

LAW: a stranger to the bridge. It starts the same commands a user starts, speaks HTTP, and imports nothing of ``app``
(``inbox_micro`` and ``large_store`` alone do: they measure one part of it, and ``growth`` has the second fill a store).
"""
