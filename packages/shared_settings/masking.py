"""Shows a URL without what is secret in it. Standard library only: beat imports this at its start."""

import re

# Neither runs past the URL: a blank or a quotation mark ends it, so a whole line may be masked.
_USER_INFO = re.compile(r"""(?<=://)([^/?#@:\s"']*):[^/?#\s"']*@""")
_SECRET_PARAMETER = re.compile(r"""(?i)([?&][a-z_]*(?:password|secret|token|key)=)[^&#\s"']*""")


def masked_url(url: str) -> str:
    """The text with the password of each URL in it, and any secret in its query, replaced by stars."""
    url = _USER_INFO.sub(r"\1:***@", url)
    return _SECRET_PARAMETER.sub(r"\1***", url)
