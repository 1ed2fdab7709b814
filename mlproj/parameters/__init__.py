"""Parameters: from raw values to a typed configuration and a rendered command."""
