"""Figures from records: statistics of a period, comparisons, backtests.

LAW: reads links and changes none; every number is defined in docs/reports.md. Knows no escalation.
"""
