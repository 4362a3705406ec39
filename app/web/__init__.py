"""HTTP: how the bridge is spoken to.

LAW: Flask and status codes. A view has fifteen lines: read the request, call one service, answer. Nothing is
decided here. ``server`` and ``server_log`` are gunicorn's side of the same room; importing the room loads none of it.
"""
