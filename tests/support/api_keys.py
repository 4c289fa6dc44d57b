"""Files of API keys."""

import json

from serving.access.api_keys import new_key


def write_callers(path, **limits):
    """A file of callers with these limits; each one's headers."""
    entries, headers = {}, {}
    for name, given_limits in limits.items():
        key, entry = new_key(name)
        entries[name] = json.loads(entry)[name] | given_limits
        headers[name] = {"Authorization": f"Bearer {key}"}
    path.write_text(json.dumps(entries))
    return headers
