"""What each finished step has found, kept in a file, so that a run that was killed goes on."""

import json

from serving.bundles.files import replace_file


class Steps:
    """Figures of steps by name, in the order in which they were taken."""

    def __init__(self, path, done=lambda _name: None):
        self._path, self._done = path, done
        self.figures = json.loads(path.read_text()) if path.exists() else {}

    def take(self, name, step):
        """Return what `step()` finds, which it finds once; it tells JSON's types."""
        if name not in self.figures:
            self.figures[name] = step()
            replace_file(self._path, json.dumps(self.figures).encode())
        self._done(name)
        return self.figures[name]
