"""The operator's rules: what a rulebook says, and what it decides about one alert.

LAW: knows ``model`` and no link; the same alert and the same rulebook always give the same decision.
"""
