"""The simulated PagerDuty: REST API v2, Events API v2, webhooks v3.

LAW: what https://developer.pagerduty.com/docs says, and nothing more convenient than that.
"""
