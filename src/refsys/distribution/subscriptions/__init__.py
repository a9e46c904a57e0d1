"""Subscriptions: users are told what becomes of products (standards 2.2), from the change feed, without loss.

model      what a subscription and a notification are, and how they look outside
store      their tables
matching   feed → queues: what a subscription asks for, exactly once
rendering  notifications as users get them
pushing    queues → endpoints of users, in order, at least once
sending    one request to an endpoint that a stranger named
events     the feed as server-sent events, for one subscription
service    what runs in workers
requests, routes   HTTP
"""
