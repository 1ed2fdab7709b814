"""MLflow's REST protocol on loopback, for the entry point of one run: what its clients log goes into that run.

``listener`` waits for a first client, ``application`` answers, the ``*_calls`` modules hold what is answered, each with
its table of ``CALLS``; ``session`` is what they work on.
"""
