"""How processes start, stay and end: worker, supervisor, startup.

LAW: processes, signals and exit codes; what a process is made of comes from ``bootstrap``. ``supervisor`` lives in
gunicorn's master for as long as the bridge does, so importing the room loads none of it.
"""
