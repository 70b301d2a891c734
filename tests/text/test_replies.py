"""Of a mail only what its sender wrote is left, if the settings say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.text.replies import strip_quotes, strip_signature

QUOTES = {
    "below": ("Yes.\n\nOn Mon, 1 Jan 2024, Ann wrote:\n> Will you?\n> Ann", "Yes."),
    "introduction_broken": (
        "Yes.\n\nOn Mon, 1 Jan 2024 at 10:00, Ann <ann@example.org>\nwrote:\n\n> Will you?",
        "Yes.",
    ),
    "above": ("> Will you?\n\nYes.", "Yes."),
    "between": ("Ann wrote:\n> one?\nYes.\n> two?\nNo.", "Yes.\nNo."),
    "german": ("Ja.\n\nAm 01.01.24 um 10:00 schrieb Ann:\n> Kommst du?", "Ja."),
    "french": ("Oui.\n\nLe lun. 1 janv. 2024, Ann a écrit :\n> Viens-tu ?", "Oui."),
    "chinese": ("好的\n\n2024年1月1日,Ann写道:\n> 来吗", "好的"),
    "nested": ("Yes.\n>> a\n> > b\n> c", "Yes."),
    "windows_lines": ("Yes.\r\n> a\r\nNo.", "Yes.\nNo."),
    "outlook": ("Yes.\n\n-----Original Message-----\nFrom: Ann\nWill you?", "Yes."),
    "outlook_headers": ("Yes.\n\nFrom: Ann\nSent: Monday\nTo: Bob\nSubject: x\n\nWill you?", "Yes."),
    "outlook_german": ("Ja.\n\nVon: Ann\nGesendet: Montag\nAn: Bob\nBetreff: x\n\nKommst du?", "Ja."),
    "no_quote": ("a > b\n\nFrom: here to there\nAnn wrote: a book", "a > b\n\nFrom: here to there\nAnn wrote: a book"),
    "all_is_quoted": ("> a", ""),
}
SIGNATURES = {
    "dashes": ("Hi\n\n-- \nAnn\nExample Ltd", "Hi"),
    "stripped_dashes": ("Hi\n--\nAnn", "Hi"),
    "windows_lines": ("Hi\r\n-- \r\nAnn", "Hi"),
    "telephone": ("Hi\n\nSent from my iPhone\n", "Hi"),
    "german_telephone": ("Hallo\nVon meinem iPhone gesendet", "Hallo"),
    "rule": ("Hi\n---\nthere", "Hi\n---\nthere"),
    "long_tail": ("Hi\n--\n" + "text\n" * 30, "Hi\n--\n" + "text\n" * 30),
    "none": ("Hi\n\nSent from my heart to yours\nAnn", "Hi\n\nSent from my heart to yours\nAnn"),
}


@pytest.mark.parametrize(("mail", "own"), QUOTES.values(), ids=QUOTES.keys())
def test_quotes(mail: str, own: str) -> None:
    """Quoted lines go with the line that introduces them; what is below an Outlook header goes as a whole."""
    assert strip_quotes(mail) == own


@pytest.mark.parametrize(("mail", "own"), SIGNATURES.values(), ids=SIGNATURES.keys())
def test_signatures(mail: str, own: str) -> None:
    """What follows two hyphens near the end goes, a rule within the text does not."""
    assert strip_signature(mail) == own


LINES = ["> a", "On Monday Ann wrote:", "wrote:", "", "From: a", "To: b", "Subject: c", "-- ", "Sent from my x", "text"]


@given(st.lists(st.sampled_from(LINES)).map("\n".join))
def test_nothing_is_made_up(mail: str) -> None:
    """Lines are left out, never changed; quoted ones all go."""
    own = strip_quotes(mail).splitlines()
    assert not [line for line in own if line.startswith(">")]
    assert {line.strip() for line in own} <= {line.strip() for line in mail.splitlines()}


@pytest.mark.parametrize("piece", ["> \n", "\n", " \n", "a wrote:\n>\n", "From: x\n", "--\n", "-", " ", "wrote: "])
def test_repetition_is_no_bomb(piece: str) -> None:
    """A megabyte of any one piece comes to an end; quadratic time would take this test minutes."""
    mail = "x" + piece * (1_000_000 // len(piece))
    assert len(strip_signature(strip_quotes(mail))) <= len(mail)
