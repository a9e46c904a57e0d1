"""The inboxes: look at what sources offer, judge and remember it, queue what is wanted as there is room."""
