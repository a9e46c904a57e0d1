"""Floor 5: the HTTP application: routes of every stage mounted on one server."""
