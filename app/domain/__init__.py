"""What the bridge knows and decides.

LAW: values in, values out. No I/O, no clock, no Flask, no log; ``now`` is a parameter.
*Alert* and *severity* are TruthVouch's words, *incident* and *urgency* PagerDuty's, *link* is ours.
"""
