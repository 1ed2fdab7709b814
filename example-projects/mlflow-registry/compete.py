"""Train two forests, evaluate both with MLflow, register them, and give the better one the alias `champion`."""

import argparse
import logging
import warnings

import mlflow
from mlflow import MlflowClient
from mlflow.models import evaluate, infer_signature
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--model")
parser.add_argument("--shallow", type=int)
parser.add_argument("--deep", type=int)
arguments = parser.parse_args()

warnings.filterwarnings("ignore", module="mlflow")
logging.getLogger("mlflow").setLevel(logging.ERROR)
data, target = load_wine(return_X_y=True, as_frame=True)
train_data, test_data, train_target, test_target = train_test_split(data, target, random_state=0)
test_table = test_data.assign(cultivar=test_target)
client = MlflowClient()


def trained(name: str, depth: int) -> tuple[float, str]:
    """Fit, evaluate and register one forest, in a run of its own; its score, and its version in the registry."""
    with mlflow.start_run(nested=True, run_name=name):
        forest = RandomForestClassifier(n_estimators=20, max_depth=depth, random_state=0)
        forest.fit(train_data, train_target)
        mlflow.log_param("max_depth", depth)
        signature = infer_signature(test_data, forest.predict(test_data))
        logged = mlflow.sklearn.log_model(
            forest,
            name="forest",
            signature=signature,
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
        )
        result = evaluate(
            logged.model_uri,
            test_table,
            targets="cultivar",
            model_type="classifier",
            evaluator_config={"log_model_explainability": False},
        )
        version = mlflow.register_model(logged.model_uri, arguments.model)
        score = result.metrics["accuracy_score"]
        client.set_model_version_tag(arguments.model, version.version, "accuracy", f"{score:.4f}")
        return score, version.version


with mlflow.start_run():
    results = [trained("shallow", arguments.shallow), trained("deep", arguments.deep)]
    score, champion = max(results)
    for _, version in results:
        stage = "production" if version == champion else "archived"
        client.set_model_version_tag(arguments.model, version, "stage", stage)
    client.set_registered_model_alias(arguments.model, "champion", champion)
    loaded = mlflow.sklearn.load_model(f"models:/{arguments.model}@champion")
    print(f"version {champion}: champion scores {loaded.score(test_data, test_target):.4f}")
