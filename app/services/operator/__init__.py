"""What an operator asks for and looks at.

LAW: asks the worker by a row in the inbox, and changes no link itself. May call every other capability.
"""
