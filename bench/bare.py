"""The yardstick: a Flask endpoint that reads the body and answers 202, doing nothing for it."""

from flask import Flask, request

app = Flask(__name__)


@app.post("/truthvouch/alerts")
def accept() -> tuple[dict[str, str], int]:
    """What any Flask webhook costs at least."""
    request.get_data(cache=False)
    return {"status": "accepted"}, 202


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """That it is up."""
    return {"status": "ok"}
