"""Every effective value of a service with the layer that gave it, for people: secrets are masked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, SecretStr

from packages.shared_settings.loading import SERVICES, layers_of
from packages.shared_settings.masking import masked_url


@dataclass(frozen=True)
class EffectiveValue:
    """One variable as a service sees it. `value` is text, with secrets masked; None means not set."""

    variable: str
    value: str | None
    source: str
    allowed: str


def effective_values(service: str, environ: Mapping[str, str] | None = None) -> list[EffectiveValue]:
    """All variables of a service, in the order of their declaration.

    Raises:
        KeyError: there is no such service.
        SettingsError: the settings cannot be used.
    """
    model = SERVICES[service]
    layers = layers_of(service, environ)
    settings = model.from_layers(layers)
    return [
        EffectiveValue(
            variable=field.upper(),
            value=_shown(getattr(settings, field)),
            source=layers.origins.get(field.upper(), "default"),
            allowed=model.allowed(field),
        )
        for field in model.model_fields
    ]


def _shown(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return masked_url(text) if "://" in text else "***"
    if isinstance(value, dict):
        # A channel's URL may hold its token anywhere, so none of it is shown.
        is_secret = any(isinstance(part, SecretStr) for part in value.values())
        shown = ", ".join(f"{name}=***" for name in value) if is_secret else json.dumps(value)
        return shown if value else "none"
    if isinstance(value, BaseModel):
        # As it can be written into an env file.
        given = value.model_dump(mode="json", exclude_none=True)
        return json.dumps(given) if given else None
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
