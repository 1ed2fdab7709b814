"""Print the configuration that Hydra composed, and leave it behind as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf


@hydra.main(version_base="1.3", config_path="configuration", config_name="main")
def main(configuration: DictConfig) -> None:
    print(OmegaConf.to_yaml(configuration))
    plain = OmegaConf.to_container(configuration, resolve=True)
    Path("configuration.json").write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
