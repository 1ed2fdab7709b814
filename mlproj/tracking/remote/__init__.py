"""Runs on the user's own tracking server of MLflow's, as well as in the store. What it takes is mlflow-skinny."""
