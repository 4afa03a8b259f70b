"""The base of every service's settings: frozen, filled from the layers, with errors that name variable and file."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from packages.shared_settings.errors import SettingProblem, SettingsError
from packages.shared_settings.layers import Layers

_DEFAULTS = "the defaults"


class _LayersSource(EnvSettingsSource):
    """Reads the merged layers instead of `os.environ`; the decoding of JSON values is the library's."""

    def __init__(self, settings_cls: type[BaseSettings], layers: Layers) -> None:
        self._layers = layers
        super().__init__(settings_cls, case_sensitive=False)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {variable.lower(): value for variable, value in self._layers.values.items()}


class ServiceSettings(BaseSettings):
    """A frozen set of values. A field's variable is its name in upper case; its description says what is allowed."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    service: ClassVar[str]

    @classmethod
    def from_layers(cls, layers: Layers) -> Self:
        """Build from merged layers.

        Raises:
            SettingsError: with every wrong variable, the layer it came from and what is allowed.
        """
        try:
            return cls(_layers=layers)
        except ValidationError as error:
            # A default that is made from another field is not made when that one is wrong; only the latter counts.
            details = [d for d in error.errors(include_url=False) if d["type"] != "default_factory_not_called"]
            problems = (cls._problem(detail, layers) for detail in details)
            raise SettingsError(*problems) from None
        except ValueError as error:
            # The library's own error for a mapping that is no JSON; its cause may quote a secret.
            field = next((name for name in cls.model_fields if f'"{name}"' in str(error)), "")
            problem = SettingProblem(
                field.upper(),
                layers.origins.get(field.upper(), _DEFAULTS),
                "this is no JSON",
                cls.allowed(field),
            )
            raise SettingsError(problem) from None

    def __init__(self, _layers: Layers | None = None, **values: Any) -> None:  # noqa: ANN401  # pydantic checks them
        if _layers is not None:
            source = _LayersSource(type(self), _layers)
            values = {**source(), **values}
        super().__init__(**values)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: the layers are merged before, by one piece of code for all services."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @classmethod
    def variables(cls) -> frozenset[str]:
        """The names of this service's variables, in upper case."""
        return frozenset(name.upper() for name in cls.model_fields)

    @classmethod
    def allowed(cls, field: str) -> str:
        """What a field may be, in words; empty when the field says nothing."""
        info = cls.model_fields.get(field)
        return (info.description or "") if info else ""

    @classmethod
    def _problem(cls, detail: Any, layers: Layers) -> SettingProblem:  # noqa: ANN401  # pydantic's ErrorDetails
        message = str(detail["msg"]).removeprefix("Value error, ")
        if not detail["loc"]:
            # A contradiction between fields: the model's own validator names them.
            variable, _, problem = message.partition(": ")
            return SettingProblem(variable, layers.origins.get(variable, _DEFAULTS), problem.rstrip("."), "")
        field = str(detail["loc"][0]).lower()
        variable = field.upper()
        value = layers.values.get(variable, "")
        shown = "" if cls.is_secret(field) else f"{value!r}: "
        problem = f"{shown}{message[:1].lower()}{message[1:]}"
        return SettingProblem(variable, layers.origins.get(variable, _DEFAULTS), problem, cls.allowed(field))

    @classmethod
    def is_secret(cls, field: str) -> bool:
        """Whether a field's value must never be shown."""
        return "SecretStr" in str(cls.model_fields[field].annotation) if field in cls.model_fields else False
