"""Tells people of alerts and of what else happens: what and when, the queue, text and channels.

An alert's move and its event are written in one transaction (`alerts`); the event is the queue's
way in. What else happens stands in the audit log, written with the change itself; `notices` says
what of it is told, and `news` puts that into the queue. `delivery.deliver_due` makes deliveries of
all that is new, one a channel, and sends what is due.
"""
