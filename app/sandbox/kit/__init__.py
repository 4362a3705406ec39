"""What both simulated partners are made with: faults, calls remembered, webhooks on their way.

LAW: knows neither partner nor the world they live in.
"""
