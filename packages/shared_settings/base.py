"""The base of every service's settings: frozen, filled from the layers, with errors that name variable and file."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Self, get_args, get_origin

from pydantic import BaseModel, PrivateAttr, ValidationError
from pydantic.fields import FieldInfo
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

    # Built when first used: each process reads the names of all services, and uses the settings of one.
    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)

    service: ClassVar[str]
    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)

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
        if _layers is not None:
            self._origins = _layers.origins

    def problem_with(self, field: str, problem: str) -> SettingProblem:
        """What is wrong with a field, as found by who knows more than the field: with its variable and layer."""
        variable = field.upper()
        return SettingProblem(variable, self._origins.get(variable, _DEFAULTS), problem, "")

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
    def allowed(cls, field: str, key: str = "") -> str:
        """What a field may be, or a key of its JSON object, in words; empty when nothing is said."""
        info = cls.model_fields.get(field)
        if key and info is not None:
            return _in_words(_keys_of(info)[key])
        return _in_words(info) if info else ""

    @classmethod
    def _problem(cls, detail: Any, layers: Layers) -> SettingProblem:  # noqa: ANN401  # pydantic's ErrorDetails
        message = str(detail["msg"]).removeprefix("Value error, ")
        if not detail["loc"]:
            # A contradiction between fields: the model's own validator names them.
            variable, _, problem = message.partition(": ")
            return SettingProblem(variable, layers.origins.get(variable, _DEFAULTS), problem.rstrip("."), "")
        field = str(detail["loc"][0]).lower()
        variable = field.upper()
        origin = layers.origins.get(variable, _DEFAULTS)
        keys = _keys_of(cls.model_fields[field]) if field in cls.model_fields else {}
        if keys and len(detail["loc"]) > 1:
            key = str(detail["loc"][1])
            if key not in keys:
                close = get_close_matches(key, keys, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                return SettingProblem(variable, origin, f"unknown key {key!r}{hint}", cls.allowed(field))
            problem = f"{key!r} is {detail['input']!r}: {message[:1].lower()}{message[1:]}"
            return SettingProblem(variable, origin, problem, cls.allowed(field, key))
        if _is_mapping(cls.model_fields.get(field)) and len(detail["loc"]) > 1 and not cls.is_secret(field):
            problem = f"{detail['loc'][1]!r} is {detail['input']!r}: {message[:1].lower()}{message[1:]}"
            return SettingProblem(variable, origin, problem, cls.allowed(field))
        value = layers.values.get(variable, "")
        shown = "" if cls.is_secret(field) else f"{value!r}: "
        said = "this is no JSON object" if keys else f"{message[:1].lower()}{message[1:]}"
        return SettingProblem(variable, origin, f"{shown}{said}", cls.allowed(field))

    @classmethod
    def is_secret(cls, field: str) -> bool:
        """Whether a field's value must never be shown."""
        return "SecretStr" in str(cls.model_fields[field].annotation) if field in cls.model_fields else False


def _keys_of(info: FieldInfo) -> Mapping[str, FieldInfo]:
    """The keys of the JSON object that a field is; none if it is something else."""
    kind = info.annotation
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def _is_mapping(info: FieldInfo | None) -> bool:
    return info is not None and get_origin(info.annotation) is dict


def _in_words(info: FieldInfo) -> str:
    """The description of a field, or that of the type which it may have beside None."""
    within = (meta for part in get_args(info.annotation) for meta in getattr(part, "__metadata__", ()))
    descriptions = (meta.description for meta in within if isinstance(meta, FieldInfo))
    return info.description or next((text for text in descriptions if text), "")
