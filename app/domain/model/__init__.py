"""The values that every other room shares: alert, incident, events, outcomes.

LAW: values and their vocabulary alone; knows no rule, no link and no partner's wire.
"""
