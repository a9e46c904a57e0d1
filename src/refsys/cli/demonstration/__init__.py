"""The parts of `refsys demo`: what is offered, how far it came, how that looks, whether it came back unchanged."""
