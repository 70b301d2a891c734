"""What a mail repeats of others or adds to every mail: quoted replies and signatures, taken out line by line."""

from __future__ import annotations

import re

_QUOTE = re.compile(r"[ \t]{0,3}>")
# The line above a quote: "On Monday, Ann wrote:", in the languages of the common mail programs.
_SAYS_WHO = re.compile(
    r"(?:wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev|napisał\(?a?\)?|написал\(?а?\)?"
    r"|写道|のメッセージ)[^\n:：]{0,80}[:：]\s*$",
    re.IGNORECASE,
)
_SAYS_WHEN = re.compile(r"\s{0,3}(?:On|Am|Le|El|Il|Op|Em|Den|W dniu|\d)\b.{0,200}$", re.IGNORECASE)
# From here on all is somebody else's: the line that Outlook puts above what it quotes without marking it.
_ORIGINAL = re.compile(
    r"\s{0,3}-{2,}\s{0,3}(?:Original Message|Original-Nachricht|Ursprüngliche Nachricht|Message d'origine"
    r"|Mensaje original|Messaggio originale|Oorspronkelijk bericht|Mensagem original"
    r"|Исходное сообщение)\s{0,3}-{2,}\s*$",
    re.IGNORECASE,
)
_SENDER_LINE = re.compile(r"\*?(?:From|Von|De|Da|Van|Från|От)\*?\s{0,3}:\s?\S", re.IGNORECASE)
_HEADER_LINE = re.compile(
    r"\*?(?:Sent|Date|To|Cc|Subject|Gesendet|Datum|An|Betreff|Envoyé|À|Objet|Enviado(?: el)?|Para|Asunto|Inviato|A"
    r"|Oggetto|Verzonden|Aan|Onderwerp|Отправлено|Кому|Тема)\*?\s{0,3}:\s?\S",
    re.IGNORECASE,
)
_HEADER_LINES = 2  # after the sender's line so many more make it a header block

_SIGNATURE_LINES = 25  # a longer tail is text, whatever line stands above it
_SENT_FROM = re.compile(
    r"\s{0,3}(?:Sent from (?:my|mail|outlook|yahoo)|Get Outlook for|Von meinem .{1,40}gesendet|Gesendet (?:mit|von) "
    r"|Envoyé (?:de mon|depuis)|Enviado desde|Inviato da|Verzonden vanaf|Отправлено с).{0,80}$",
    re.IGNORECASE,
)


def strip_quotes(text: str) -> str:
    """The text without quoted lines, the line that says whom they quote, and all below an Outlook header."""
    if ">" not in text and ":" not in text and "--" not in text:
        return text
    lines = text.splitlines()
    whole = len(lines)
    lines = lines[: _end_of_own(lines)]
    kept: list[str] = []
    for line in lines:
        if not _QUOTE.match(line):
            kept.append(line)
        elif kept:
            _drop_introduction(kept)
    return text if len(kept) == whole else "\n".join(kept).strip()


def _end_of_own(lines: list[str]) -> int:
    """Where an unmarked quotation of a whole mail begins."""
    for i, line in enumerate(lines):
        if _ORIGINAL.match(line):
            return i
        if (
            _SENDER_LINE.match(line)
            and i
            and len(list(filter(_HEADER_LINE.match, lines[i + 1 : i + 5]))) >= _HEADER_LINES
        ):
            return i
    return len(lines)


def _drop_introduction(kept: list[str]) -> None:
    """Blank lines, and a line that ends in "wrote:" with the one it may have been broken from."""
    index = len(kept) - 1
    while index > 0 and not kept[index].strip():
        index -= 1
    if not _SAYS_WHO.search(kept[index][-200:]):
        return
    broken = index > 0 and not _SAYS_WHEN.match(kept[index]) and _SAYS_WHEN.match(kept[index - 1])
    del kept[index - 1 if broken else index :]


def strip_signature(text: str) -> str:
    """The text without what follows a line of two hyphens near its end, or a telephone's "Sent from" line."""
    lines = text.rstrip().rsplit("\n", _SIGNATURE_LINES + 1)
    first = 1 if len(lines) > _SIGNATURE_LINES + 1 else 0  # item 0 is then all the lines before
    for i in range(first, len(lines)):
        if lines[i].rstrip() == "--" or (i == len(lines) - 1 and _SENT_FROM.match(lines[i])):
            return "\n".join(lines[:i]).rstrip()
    return text
