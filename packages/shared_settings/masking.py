"""Shows a URL without what is secret in it. Standard library only: beat imports this at its start."""

import re


def masked_url(url: str) -> str:
    """The URL with its password, and any secret in its query, replaced by stars."""
    url = re.sub(r"(?<=://)([^/?#@]*?):[^/?#]*@", r"\1:***@", url)
    return re.sub(r"(?i)((?:password|secret|token|key)=)[^&#]*", r"\1***", url)
