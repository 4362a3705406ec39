"""Durable delivery: at once by the worker that submits it, or by way of DBOS Transact.

LAW: the only room that knows DBOS. It moves numbers (link, side, sequence), never meanings: what a delivery does is a
function it is given. Why DBOS and how it is arranged: docs/decisions.
"""
