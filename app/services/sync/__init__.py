"""One event on its way: received, taken in, delivered.

LAW: the only writer of links. One transaction a link; partners are called outside of it, in ``execute_effect`` alone.
"""
