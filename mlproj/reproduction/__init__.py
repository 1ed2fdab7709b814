"""Whether two runs are the same: their outputs and metrics compared, the verdict, and what the reasons may be."""
