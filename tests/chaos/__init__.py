"""Chaos: the whole bridge on real processes, in traffic, while its processes are killed and its partners misbehave.

==============  ==================================================================
``plan``        everything that will happen, from one seed
``settings``    what the partners are like, from the same seed
``partners``    the simulated partners' control API, as people and as an observer
``world``       the processes, and who may be killed among them
``load``        alerts, and what people do about them
``violence``    kills, faults, webhooks held, shuffled and lost
``looks``       what reconciliation has looked at, from the bridge's log
``evidence``    what was seen, as values
``recorder``    remembers every call
``judge``       what the evidence says: values in, values out; ``verdict`` is its answer
``merged``      which incident is an alert's own, after merges
``acts``        who acted last, and what they knew of the other side
``sequence``    the order of what was carried against the order of what people did
``report``      the verdict in words and as JSON
``stage``       the play, from the first alert until nothing moves
``run``         one run from beginning to end
==============  ==================================================================

LAW: imports nothing from the application: it judges from outside. docs/chaos.md says how to read its report.
"""
