"""Load, in another run, a model that an earlier one logged."""

import json
import sys

import mlflow
import numpy

values = numpy.array([[1.0, 2.0, 3.0]])
print("\n" + json.dumps([mlflow.sklearn.load_model(uri).predict(values).tolist() for uri in sys.argv[1:]]), flush=True)
