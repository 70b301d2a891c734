"""Settings from a file, the environment and `--set`, and the one line that says what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from worker.errors import SettingsError
from worker.settings import Settings

ENVIRONMENT_PREFIX = "TAGSTREAM_"

Layer = tuple[str, dict[str, Any]]


def load(path: Path | None, assignments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read and merge all three layers. Raises `SettingsError` with one line: what, where, what to do."""
    layers = [_from_file(path), _from_environment(environment), _from_assignments(assignments)]
    merged: dict[str, Any] = {}
    for _, values in layers:
        merged = _merge(merged, values)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_explain(error.errors()[0], layers)) from None


def _from_file(path: Path | None) -> Layer:
    if path is None:
        return "defaults", {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}; name an existing file with --config") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise SettingsError(f"{path}{line} is not YAML: {getattr(error, 'problem', 'unreadable')}") from None
    except ValueError as error:  # a date that no calendar holds
        raise SettingsError(f"{path} is not YAML: {error}; quote the value") from None
    if content is not None and not isinstance(content, dict):
        raise SettingsError(f"{path} must hold sections such as `kafka:`, not a {type(content).__name__}")
    return str(path), content or {}


def _from_environment(environment: Mapping[str, str]) -> Layer:
    """`TAGSTREAM_KAFKA__GROUP_ID=x` is kafka.group_id; names without `__` are not settings."""
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            path = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            values = _merge(values, _nest(path, _parse(text, path[-1], name)))
    return "the environment", values


def _from_assignments(assignments: Sequence[str]) -> Layer:
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or "." not in name:
            raise SettingsError(f"--set {name}: write --set section.key=value")
        path = name.strip().split(".")
        values = _merge(values, _nest(path, _parse(text, path[-1], f"--set {name}")))
    return "--set", values


def _parse(text: str, key: str, where: str) -> Any:
    """A value as YAML reads it; a secret to the letter, as ` #` or `*` in it would be syntax."""
    if _is_secret(key):
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise SettingsError(f"{where}: the value is not YAML; quote it") from None


def _is_secret(key: str) -> bool:
    return key.endswith(("password", "hash_key"))


def _nest(path: Sequence[str], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _explain(error: ErrorDetails, layers: Sequence[Layer]) -> str:
    location = tuple(str(part) for part in error["loc"])
    name = ".".join(location) or "settings"
    held = location[:-1] if error["type"] == "missing" else location
    where = next((layer for layer, values in reversed(layers) if _holds(values, held)), "the settings")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _known_keys(location[:-1]), n=1, cutoff=0.5)
        hint = f"did you mean {'.'.join((*location[:-1], near[0]))}?" if near else "see docs/settings.md"
        return f"unknown setting {name} in {where}; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error" and not location:
        return f"{message} (in {where})"
    shown = _is_plain(error["input"]) and not any(map(_is_secret, location))
    value = f" (got {error['input']!r})" if shown else ""
    return f"{name} in {where}: {message[0].lower()}{message[1:]}{value}"


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool) or value is None


def _holds(values: Any, location: Sequence[str]) -> bool:
    """Whether a layer set the named place, or put something else where its section belongs."""
    for key in location:
        if isinstance(values, Mapping) and key in values:
            values = values[key]
        elif isinstance(values, list) and key.isdigit() and int(key) < len(values):
            values = values[int(key)]
        else:
            return not isinstance(values, Mapping | list)
    return bool(location)


def _known_keys(location: Sequence[str]) -> list[str]:
    """Names of the fields at a place in the settings; none where the place is no section."""
    model: type[BaseModel] | None = Settings
    for key in location:
        if key.isdigit():  # an item of a list: its section was found with the list
            continue
        field = model.model_fields.get(key) if model else None
        model = _section_of(field.annotation) if field else None
    return list(model.model_fields) if model else []


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation such as `X`, `X | None` or `tuple[X, ...]` holds."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
