"""Which language a text is in: `py3langid`, whose model of 139 languages lies in its wheel; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.errors import SettingsError
from worker.types import Decode, Decoded, Message, Record

# The time grows with the text, and holds the interpreter's lock; `python -m benchmarks.languages` shows what more
# characters would bring.
MAX_CHARACTERS = 200
LEAST_PROBABILITY = 0.5  # likelier than all other languages together; a word or two do not get there

# Members of what ISO 639-3 calls a macrolanguage, under its two letters. Others without two letters are not named.
_WITHIN: Mapping[str, str] = {
    "ary": "ar",
    "arz": "ar",
    "fuv": "ff",
    "gug": "gn",
    "kik": "ki",
    "ltg": "lv",
    "sdh": "ku",
    "uzs": "uz",
    "wuu": "zh",
    "yue": "zh",
}


class LanguageIdentifier:
    """Called with a text it gives the ISO 639-1 code of its language, None where it is not sure. Any thread.

    It reads the beginning of a text only. Raises `SettingsError` where the library is missing or cannot be used.
    """

    def __init__(self) -> None:
        self._model = _load()

    def __call__(self, text: str) -> str | None:
        try:
            language, probability = self._model.classify(text[:MAX_CHARACTERS])
        except Exception:  # one text must not stop the stream for what is an extra
            return None
        if probability < LEAST_PROBABILITY:
            return None
        code = _WITHIN.get(language, language)
        return code if len(code) == 2 else None


class WithLanguage:
    """A `types.Decode` that adds the language to messages whose sender did not name it."""

    def __init__(self, decode: Decode, identify: LanguageIdentifier) -> None:
        self._decode = decode
        self._identify = identify

    def __call__(self, record: Record) -> Decoded:
        decoded = self._decode(record)
        if not isinstance(decoded, Message) or decoded.language:
            return decoded
        return decoded._replace(language=self._identify(decoded.text))


def _load() -> Any:
    try:
        from py3langid.langid import MODEL_FILE
        from py3langid.langid import LanguageIdentifier as Model
    except ImportError:
        raise SettingsError(
            "text.identify_language needs the package py3langid, which is missing: pip install 'tagstream[text]'"
        ) from None
    try:
        return Model.from_model_file(MODEL_FILE, norm_probs=True)
    except Exception as error:  # an archive in a file: it fails in more ways than its library names
        raise SettingsError(
            f"text.identify_language: py3langid cannot read its model ({type(error).__name__}):"
            " install it again, and see that temporary files can be written"
        ) from None
