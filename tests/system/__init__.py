"""The bridge as its users meet it: real processes, real sockets, two simulated partners.

LAW: imports nothing from the application (``tests/architecture`` enforces it). What a test believes about signatures,
keys and states is written down here a second time, on purpose.
"""
