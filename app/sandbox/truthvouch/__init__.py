"""The simulated TruthVouch: its alert API and its webhooks, in every documented spelling.

LAW: what TruthVouch's two generations of documents say; where they contradict each other, both can be chosen.
"""
