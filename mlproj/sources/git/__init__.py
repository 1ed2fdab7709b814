"""Git repositories: addresses, mirrors, trees, and what git knows of a working tree."""
