"""Where the texts that a server is sent remain."""
