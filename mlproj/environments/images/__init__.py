"""Images and the engine that keeps them: the parts of the kind ``docker``."""
