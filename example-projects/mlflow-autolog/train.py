"""Fit a random forest. Nothing in here knows of mlproj: MLflow's client finds the run by itself."""

import argparse

import mlflow
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--n_estimators", type=int)
parser.add_argument("--max_depth", type=int)
arguments = parser.parse_args()

data, target = load_wine(return_X_y=True, as_frame=True)
train_data, test_data, train_target, test_target = train_test_split(data, target, random_state=0)

mlflow.sklearn.autolog(silent=True)
with mlflow.start_run():
    forest = RandomForestClassifier(n_estimators=arguments.n_estimators, max_depth=arguments.max_depth, random_state=0)
    forest.fit(train_data, train_target)
    accuracy = forest.score(test_data, test_target)
    mlflow.log_metric("accuracy", accuracy)
    mlflow.sklearn.autolog(disable=True)
    for depth in (1, 2, 3):
        with mlflow.start_run(nested=True, run_name=f"depth {depth}"):
            shallow = RandomForestClassifier(n_estimators=10, max_depth=depth, random_state=0)
            shallow.fit(train_data, train_target)
            mlflow.log_param("max_depth", depth)
            mlflow.log_metric("accuracy", shallow.score(test_data, test_target))
print(f"accuracy {accuracy:.3f}")
