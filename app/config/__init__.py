"""How the bridge is told what to do: by the environment and by ``bridge.yaml``.

LAW: the only room that reads either. Faults are told together, each with its place; a change leaves every comment of
the file where it is; keys are values of their own, never part of a ``Rulebook``. Importing the room loads none of it.
"""
