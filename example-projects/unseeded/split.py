"""Split twenty items into two halves at random, and note the time, as many scripts do."""

import argparse
import json
import random
from datetime import datetime

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seed", type=int)
seed = parser.parse_args().seed
random.seed(seed)
items = list(range(20))
random.shuffle(items)
with open("split.json", "w") as stream:
    json.dump({"train": items[:10], "test": items[10:]}, stream)
with open("stamp.txt", "w") as stream:
    stream.write(f"split at {datetime.now().isoformat()}\n")
with open("split.log", "w") as stream:
    stream.write(f"took {random.random()} s\n")
print("train", *sorted(items[:10]))
