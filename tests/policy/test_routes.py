"""Labels and routes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worker.errors import SettingsError
from worker.policy.routes import Decision, Policy, decide, decide_batch, findings
from worker.types import Classifier, Predictions

TOPIC = Classifier("topic", "single", ("spam", "ham", "Spam"), "m", "r1")
FLAGS = Classifier("flags", "multi", ("rude", "urgent"), "m", "r2")
POLICY = Policy("tagged", routes={"spam": "junk", "urgent": "now"})


def predict(*pairs: tuple[Classifier, list[list[float]]], rows: int | None = None) -> Predictions:
    """Predictions of each classifier's rows of scores."""
    scores = tuple(np.array(s, dtype=np.float32).reshape(len(s), len(c.labels)) for c, s in pairs)
    count = len(scores[0]) if rows is None else rows
    return Predictions(tuple(c for c, _ in pairs), scores, np.zeros((count, 2), dtype=np.float32))


def test_single_takes_the_best_label_and_its_route():
    """The best label of a single-label classifier is the label; its topic, or the default one, is the route."""
    decisions = decide_batch(POLICY, predict((TOPIC, [[0.75, 0.25, 0], [0.25, 0.75, 0]])), 0.5)
    assert decisions == [
        Decision("spam", 0.75, "junk", (("spam",),)),
        Decision("ham", 0.75, "tagged", (("ham",),)),
    ]


def test_labels_that_differ_in_case_are_different():
    """`Spam` does not take the route of `spam`."""
    (decision,) = decide_batch(POLICY, predict((TOPIC, [[0.25, 0, 0.75]])), 0.5)
    assert (decision.label, decision.route) == ("Spam", "tagged")


@pytest.mark.parametrize(
    ("row", "label", "score", "route", "labels"),
    [
        ([0.625, 0.875], "urgent", 0.875, "now", ("urgent", "rude")),
        ([0.875, 0.25], "rude", 0.875, "tagged", ("rude",)),
        ([0.5, 0.25], None, None, "tagged", ()),
    ],
    ids=["two", "one", "none, at the threshold"],
)
def test_multi_gives_all_labels_above_the_threshold(row, label, score, route, labels):
    """A multi-label classifier gives what is above the threshold, best first; the best decides the route."""
    (decision,) = decide_batch(POLICY, predict((FLAGS, [row])), 0.5)
    assert decision == Decision(label, score, route, (labels,))


@pytest.mark.parametrize(
    ("score", "route"), [(0.5, "look"), (0.7, "junk"), (0.9, "junk")], ids=["below", "float32 of the bound", "above"]
)
def test_unsure_goes_to_review(score, route):
    """A score below the bound goes to review before the label's own route; the bound itself is sure enough."""
    policy = Policy("tagged", routes={"spam": "junk"}, review_topic="look", review_below=0.7)
    (decision,) = decide_batch(policy, predict((TOPIC, [[score, 0.05, 0.05]])), 0.5)
    assert (decision.label, decision.route) == ("spam", route)


def test_primary_decides_and_every_classifier_gives_labels():
    """The route is the primary classifier's, the labels are everyone's."""
    policy = Policy("tagged", primary="flags", routes=POLICY.routes)
    (decision,) = decide_batch(policy, predict((TOPIC, [[0.75, 0.25, 0]]), (FLAGS, [[0, 0.75]])), 0.5)
    assert decision == Decision("urgent", 0.75, "now", (("spam",), ("urgent",)))


def test_scores_that_are_no_numbers_give_no_label():
    """A row that could not be computed has no label and harms no other row."""
    rows = [[np.nan, 0, 0], [0.75, 0.25, 0]]
    first, second = decide_batch(POLICY, predict((TOPIC, rows)), 0.5)
    assert first == Decision(None, None, "tagged", ((),))
    assert second.label == "spam"


def test_without_classifiers_everything_takes_the_default_route():
    """An encoder without a head gives no label."""
    assert decide_batch(POLICY, predict(rows=2), 0.5) == [Decision(None, None, "tagged", ())] * 2


def test_empty_batch():
    """No texts, no decisions."""
    assert decide_batch(POLICY, predict((TOPIC, []), (FLAGS, [])), 0.5) == []


def test_unknown_primary_is_refused():
    """Results are never routed by a classifier that nobody asked for."""
    with pytest.raises(SettingsError, match=r"policy\.primary names 'topics'"):
        decide_batch(Policy("tagged", primary="topics"), predict((TOPIC, [[1, 0, 0]])), 0.5)


@given(
    hnp.arrays(np.float32, (3, 3), elements=st.floats(0, 1, width=32)),
    hnp.arrays(np.float32, (3, 2), elements=st.floats(0, 1, width=32)),
    st.floats(0, 1),
)
def test_a_batch_decides_as_its_texts_do_alone(topic, flags, threshold):
    """Neighbours change nothing; the label comes from the primary's labels, the route from the policy."""
    policy = Policy("tagged", routes=POLICY.routes, review_topic="look", review_below=0.5)
    batch = predict((TOPIC, topic.tolist()), (FLAGS, flags.tolist()))
    decisions = decide_batch(policy, batch, threshold)
    assert decisions == [decide(policy, (TOPIC, FLAGS), (a, b), threshold) for a, b in zip(topic, flags, strict=True)]
    for decision, row in zip(decisions, topic, strict=True):
        assert decision.score == row.max()
        assert decision.route in {"tagged", "junk", "look"}


@pytest.mark.parametrize(
    ("policy", "classifiers", "expected"),
    [
        (Policy("t", routes={"spam": "a"}), [TOPIC, FLAGS], []),
        (
            Policy("t", routes={"hamm": "a"}),
            [TOPIC],
            ["policy.routes has 'hamm', which no classifier gives; did you mean 'ham'?"],
        ),
        (
            Policy("t", routes={"HAM": "a"}),
            [TOPIC],
            ["policy.routes has 'HAM', which no classifier gives; did you mean 'ham'?"],
        ),
        (
            Policy("t", routes={"x\ny": "a"}),
            [FLAGS],
            ["policy.routes has 'x\\ny', which no classifier gives; use one of 'rude', 'urgent'"],
        ),
        (
            Policy("t", primary="flag"),
            [TOPIC, FLAGS],
            ["policy.primary names 'flag', which is no classifier; did you mean 'flags'?"],
        ),
        (Policy("t", primary="flag"), [], ["policy.primary names 'flag', which is no classifier; there is none"]),
        (
            Policy("t", routes={"rude": "a"}),
            [TOPIC, FLAGS],
            [
                "policy.routes has 'rude', a label of classifier 'flags', but 'topic' decides; "
                "set policy.primary to 'flags' or remove the route"
            ],
        ),
        (
            Policy("t", routes={"spam": "a"}),
            [],
            ["policy.routes has 'spam', but the model gives no labels; train a head or remove the route"],
        ),
    ],
    ids=["fine", "typo", "case", "newline", "primary", "no classifier", "label of another", "no head"],
)
def test_findings_say_what_to_do(policy, classifiers, expected):
    """`check` is told of each part of the policy that cannot come true, in one line."""
    assert findings(policy, classifiers) == expected


def test_a_label_below_the_models_own_threshold_is_unsure() -> None:
    """Whatever the review's own bound; other labels keep to that."""
    policy = replace(POLICY, review_topic="review", review_below=0.3)
    strict = replace(TOPIC, thresholds={"spam": 0.9})
    scores = [[0.8, 0.1, 0.1], [0.95, 0.03, 0.02], [0.2, 0.6, 0.2]]
    assert [d.route for d in decide_batch(policy, predict((strict, scores)), 0.5)] == ["review", "junk", "tagged"]


def test_a_models_own_thresholds_decide_which_of_many_labels_are_given() -> None:
    """In place of the setting's, label by label; the score is that of the label given."""
    lenient = replace(FLAGS, thresholds={"rude": 0.9, "urgent": 0.1})
    (decision,) = decide_batch(POLICY, predict((lenient, [[0.8, 0.2]])), 0.5)
    assert (decision.label, decision.route, decision.labels) == ("urgent", "now", (("urgent",),))
    assert decision.score == pytest.approx(0.2)
