"""One transformers model as a step of a pass, and how it goes on from the layers that it has in common with another.

Layers are common where all of their weights are equal; then the other's states are taken over, and what is below them
is thrown away. transformers' own classes run in any case.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch

from worker.model.attention import PACKED
from worker.model.inputs import Input

# Where the layers stand, by model type: those whose attention lets itself be replaced, as the probe at load confirms.
LAYERS = {
    "bert": "encoder.layer",
    "roberta": "encoder.layer",
    "xlm-roberta": "encoder.layer",
    "camembert": "encoder.layer",
    "electra": "encoder.layer",
    "distilbert": "transformer.layer",
}
POOLER = "pooler."  # of a base model; we pool ourselves
# What a config says that does not change the states of a layer.
IRRELEVANT = frozenset(
    (
        "_name_or_path",
        "activation_dropout",
        "architectures",
        "attention_dropout",
        "attention_probs_dropout_prob",
        "attn_pdrop",
        "classifier_activation",
        "classifier_dropout",
        "classifier_dropout_prob",
        "dropout",
        "dtype",
        "embd_pdrop",
        "finetuning_task",
        "gradient_checkpointing",
        "hidden_dropout",
        "hidden_dropout_prob",
        "id2label",
        "initializer_range",
        "label2id",
        "output_attentions",
        "output_hidden_states",
        "position_embedding_type",  # a folder with another one than absolute has been refused
        "problem_type",
        "qa_dropout",
        "resid_pdrop",
        "return_dict",
        "seq_classif_dropout",
        "sinusoidal_pos_embds",  # how a table was made that is a weight
        "summary_activation",
        "summary_first_dropout",
        "summary_last_dropout",
        "summary_type",
        "summary_use_proj",
        "tokenizer_class",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    )
)


class Network:
    """A model, whole or from some layer upwards. The infer thread only.

    `depth` layers are another network's work; `layers` is how many the model has.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.depth = 0
        self.layers = int(model.config.num_hidden_layers)
        self._stock = model.config._attn_implementation
        model.config.return_dict = True  # a config may ask for tuples, which name nothing
        self._hidden = torch.empty(0)
        self._input: Input | None = None
        # The stock head's own call runs the base model; the hook keeps what the embedding is pooled from.
        model.base_model.register_forward_hook(self._after_base)

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def vocabulary(self) -> int:
        return int(self.model.config.vocab_size)

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        dtype = next(self.model.parameters()).dtype
        assert isinstance(dtype, torch.dtype)
        return dtype

    def flops(self, tokens: int) -> float:
        """Of one text of so many tokens: the products with weights, and its attention to itself."""
        linear = [module for module in self.model.base_model.modules() if isinstance(module, torch.nn.Linear)]
        weights = sum(module.in_features * module.out_features for module in linear)
        return 2.0 * tokens * weights + 4.0 * tokens**2 * self.width * self.layers

    def use(self, *, packed: bool) -> None:
        """Choose between packed attention and the model's own."""
        self.model.set_attn_implementation(PACKED if packed else self._stock)

    def __call__(self, given: Input) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The last hidden states, and the stock head's logits [n, labels] if there is one."""
        self._input = given
        output = self.model(**given.arguments())
        return self._hidden, getattr(output, "logits", None)

    def _after_base(self, module: Any, args: Any, output: Any) -> Any:
        self._hidden = output[0]
        first = self._input.first(self._hidden) if self._input is not None else None
        if first is None:
            return output
        output.last_hidden_state = first
        if getattr(module, "pooler", None) is not None:
            output.pooler_output = module.pooler(first)
        return output

    def keep(self, depth: int, handed: Handed) -> None:
        """Hand over the states behind `depth` layers, at each pass."""
        layer = _layers(self.model)[depth - self.depth - 1]
        layer.register_forward_hook(handed.take)

    def graft(self, donor: Network, depth: int) -> None:
        """Take the states behind `depth` layers from `donor`, which must run before with the same input."""
        handed = Handed()
        donor.keep(depth, handed)
        base = self.model.base_model
        base.embeddings = handed
        if hasattr(base, "embeddings_project"):
            del base.embeddings_project
        parent, _, name = LAYERS[base.config.model_type].rpartition(".")
        setattr(base.get_submodule(parent), name, _layers(self.model)[depth:])
        self.depth = depth


class Handed(torch.nn.Module):
    """Stands in for the embeddings of a grafted network: gives what its donor has computed."""

    def __init__(self) -> None:
        super().__init__()
        self._states = torch.empty(0)

    def take(self, module: Any, args: Any, output: Any) -> None:
        self._states = output[0] if isinstance(output, tuple) else output

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        return self._states


def common_layers(one: Network, other: Network) -> int:
    """How many layers from below are equal in both, weights and all; 0 where not even the embeddings are."""
    if not _alike(one.model.config, other.model.config):
        return 0
    ours, theirs = one.model.base_model, other.model.base_model
    if not all(_equal(a, b) for a, b in zip(_below(ours), _below(theirs), strict=True)):
        return 0
    count = 0
    for a, b in zip(_layers(one.model), _layers(other.model), strict=True):
        if not _equal(a, b):
            break
        count += 1
    return count


def fingerprint(network: Network, *reading: str) -> str:
    """Twelve hex digits over what gives the last states: weights, as they are computed with, and config; and `reading`.

    Of a whole network. Neither a head nor a pooler counts, nor what the config says of them.
    """
    base = network.model.base_model
    config = {k: v for k, v in network.model.config.to_diff_dict().items() if k not in IRRELEVANT}
    whole = hashlib.sha256(json.dumps([config, *reading], sort_keys=True).encode())
    for name, weights in sorted(base.state_dict().items()):
        if not name.startswith(POOLER):
            whole.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
            whole.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return whole.hexdigest()[:12]


def _alike(one: Any, other: Any) -> bool:
    relevant = [{k: v for k, v in c.to_dict().items() if k not in IRRELEVANT} for c in (one, other)]
    return one.model_type in LAYERS and relevant[0] == relevant[1]


def _below(base: Any) -> list[torch.nn.Module]:
    """What comes before the first layer."""
    return [base.embeddings, *([base.embeddings_project] if hasattr(base, "embeddings_project") else [])]


def _layers(model: Any) -> torch.nn.ModuleList:
    layers = model.base_model.get_submodule(LAYERS[model.config.model_type])
    assert isinstance(layers, torch.nn.ModuleList)
    return layers


def _equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
