"""A simulated PagerDuty and a simulated TruthVouch: one process, one port, one page.

LAW: an independent opinion of the two partners. Imports nothing else of ours, so that an error in the bridge's
own reading of a partner cannot hide in the partner that tests it. Flask, gunicorn and the standard library only.
Every answer says ``X-Sandbox: simulation`` and every screen says it is a simulation.
"""
