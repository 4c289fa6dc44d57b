"""A family that gets better with use, on traffic that changes."""
