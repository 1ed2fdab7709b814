"""Which files are called as those are that hold secrets: told of in packs, kept out of images and of what is shared."""

from __future__ import annotations

import fnmatch
import re
from functools import cache

_ENVIRONMENTS = (".env", ".env.*")
_SECRETS = (
    *("*.env", ".netrc", "_netrc", ".pypirc", ".npmrc", ".git-credentials", ".pgpass", ".htpasswd"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.pem", "*.key", "*.p12", "*.pfx", "*.kdbx", "*.keystore"),
    *("credentials.json", "service-account*.json", "service_account*.json", "application_default_credentials.json"),
    *("secret.*", "secrets.*", "token", "token.txt", "*.token", ".vault-token", "kubeconfig", "*.kubeconfig"),
    *("*.tfstate", "*.tfstate.*", "terraform.tfvars", "*.auto.tfvars", ".terraformrc", "kaggle.json"),
    *(".databrickscfg", ".s3cfg", ".boto", ".dockercfg", ".my.cnf", ".mylogin.cnf", "*.ppk", "*.jks", "secring.gpg"),
)
# Files whose names say little but in their folder.
_SECRETS_IN_FOLDERS = (".aws/credentials", ".docker/config.json", ".kube/config", ".ssh/*", ".gnupg/*", ".azure/*")
_CODE = ("*.py", "*.md", "*.rst", "*.sh", "*.js", "*.ts")
_NO_SECRETS = ("*.example", "*.sample", "*.template", "*.dist", "*.pub")


def looks_secret(name: str) -> bool:
    """Whether a file is called as those are that hold secrets; ``name`` is its path, or its name alone."""
    *_, above, last = ["", "", *name.lower().split("/")]
    if _any_of(_NO_SECRETS).match(last):
        return False
    if _any_of(_ENVIRONMENTS).match(last):
        return True
    if _any_of(_CODE).match(last):
        return False
    return bool(_any_of(_SECRETS).match(last) or _any_of(_SECRETS_IN_FOLDERS).match(f"{above}/{last}"))


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # One by one they take a tenth of a millisecond for each file.
    return re.compile("|".join(map(fnmatch.translate, patterns)))
