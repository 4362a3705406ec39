"""Who may look and act: tokens, sessions, one-time links.

LAW: secrets come in and go out as texts; what is kept and compared is a digest.
"""
