"""Who asks, and what they may: tokens of our own, tokens of an OpenID Connect provider, local users, nobody."""
