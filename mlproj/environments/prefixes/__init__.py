"""The parts of the kind ``conda``: what is declared, channels, solving, the lock, installing, activating."""
