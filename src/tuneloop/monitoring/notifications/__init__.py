"""Tells people of alerts: what to tell and when, the queue of it, the text, the channels.

An alert's move and its event are written in one transaction (`alerts`); the event is the queue's
way in. `delivery.deliver_due` makes deliveries of new events, one a channel, and sends what is due.
"""
