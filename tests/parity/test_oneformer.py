"""OneFormer: logits of every task equal those of `transformers`, for reading and writing."""

import pytest
import torch
import torch.nn.functional as F
from parity.theirs import assert_same_logits, random_weights, swin

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.labels import TASKS
from unimask.modeling.build import build_segmenter
from unimask.text.task_sentences import task_tokens

transformers = pytest.importorskip("transformers")


def config_of(**changes) -> "transformers.OneFormerConfig":
    return transformers.OneFormerConfig(
        **{
            "backbone_config": swin(3),
            "conv_dim": 64,
            "mask_dim": 64,
            "hidden_dim": 64,
            "encoder_layers": 2,
            "decoder_layers": 5,
            "num_attention_heads": 4,
            "dim_feedforward": 40,
            "encoder_feedforward_dim": 48,
            "dropout": 0.0,  # theirs applies dropout in the pixel decoder even in eval mode
            "num_queries": 11,
            "num_labels": 5,
            "query_dec_layers": 2,
            "text_encoder_width": 64,
            "text_encoder_num_layers": 2,
            "text_encoder_n_ctx": 3,
            "text_encoder_vocab_size": 99,
            "is_training": True,
        }
        | changes
    )


@pytest.fixture(
    scope="module",
    params=[{}, {"query_dec_layers": 1, "is_training": False}, {"use_task_norm": False}],
    ids=["whole", "without texts", "without task norm"],
)
def pair(request, tmp_path_factory):
    """Network of `transformers`, and the same network read from its folder."""
    torch.manual_seed(0)
    theirs = transformers.OneFormerForUniversalSegmentation(config_of(**request.param)).eval()
    random_weights(theirs)
    theirs.model.task_encoder.task_mlp.layers[0].layers[0].weight.data.mul_(1e-3)  # ids are large
    theirs.model.transformer_module.decoder.mask_embed.layers[2].layers[0].weight.data.mul_(0.1)
    folder = tmp_path_factory.mktemp("theirs")
    theirs.save_pretrained(folder)
    checkpoint = read_huggingface(folder)
    ours = build_segmenter(checkpoint.description.config).eval()
    ours.load_state_dict(checkpoint.state)
    return theirs, checkpoint, ours


def run_theirs(theirs, pixel_values, tasks):
    """Run their network with dummy texts, as it always calls its text branch."""
    tokens = torch.tensor([task_tokens(task, 77) for task in tasks]).float()
    text = torch.zeros(len(tasks), 8, 77, dtype=torch.long)
    with torch.no_grad():
        return theirs(pixel_values, tokens, text_inputs=text, output_auxiliary_logits=True)


@pytest.mark.parametrize("size", [(75, 109), (96, 130), (33, 200)], ids=str)
def test_logits_equal_transformers_for_a_batch_of_tasks(pair, size):
    theirs, _, ours = pair
    pixel_values = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(1))
    expected = run_theirs(theirs, pixel_values, TASKS)
    with torch.no_grad():
        actual = ours(pixel_values, TASKS, auxiliary=True)
    assert actual.class_logits.std() > 0.05 and actual.mask_logits.std() > 0.05
    assert_same_logits(actual.class_logits, expected.class_queries_logits)
    assert_same_logits(actual.mask_logits, expected.masks_queries_logits)
    others = expected.transformer_decoder_auxiliary_predictions
    for layer, other in zip(actual.auxiliary, others, strict=True):
        assert_same_logits(layer.class_logits, other["class_queries_logits"])
        assert_same_logits(layer.mask_logits, other["masks_queries_logits"])
    queries = expected.transformer_decoder_contrastive_queries
    assert_same_logits(actual.object_queries, queries)


def test_the_task_changes_the_output(pair):
    _, _, ours = pair
    pixel_values = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs = [ours(pixel_values, task) for task in TASKS]
        default = ours(pixel_values)
    for index in range(3):
        difference = outputs[index].class_logits - outputs[index - 1].class_logits
        assert difference.abs().max() > 1e-3
    assert torch.equal(default.class_logits, outputs[TASKS.index("panoptic")].class_logits)


def attend_to_earlier_tokens(layer, hidden_states, key_padding_mask=None):
    """Compute the authors' layer; that of `transformers` does not pass on its causal mask."""
    normed = layer.layer_norm1(hidden_states)
    mask = layer.attn_mask
    mixed = layer.self_attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
    hidden_states = hidden_states + mixed
    return hidden_states + layer.mlp(layer.layer_norm2(hidden_states))


@pytest.mark.parametrize(
    "pair",
    [{}, {"use_task_norm": False}],
    ids=["whole", "without task norm"],
    indirect=True,
)
def test_text_features_equal_transformers_with_a_causal_mask(pair, monkeypatch):
    theirs, _, ours = pair
    layer = transformers.models.oneformer.modeling_oneformer.OneFormerTextTransformerLayer
    monkeypatch.setattr(layer, "forward", attend_to_earlier_tokens)
    generator = torch.Generator().manual_seed(2)
    sentences = torch.randint(0, 99, (2, 8, 77), generator=generator)
    sentences[:, 5:] = sentences[:, 4:5]  # the same text again, as in most images
    with torch.no_grad():
        expected = theirs.model.text_mapper(sentences)
        assert_same_logits(ours.text_mapper.encode(sentences), expected)
        scaled = ours.text_mapper(sentences)
    scale = theirs.criterion.logit_scale.exp().clamp(max=100)
    directions = F.normalize(expected.flatten(1), dim=-1)
    assert_same_logits(scaled.flatten(1), scale * directions)


@pytest.mark.filterwarnings("ignore")
def test_saved_folders_load_in_transformers(pair, tmp_path):
    _, checkpoint, ours = pair
    write_huggingface(tmp_path, checkpoint)
    back = transformers.OneFormerForUniversalSegmentation.from_pretrained(tmp_path).eval()
    pixel_values = torch.randn(1, 3, 65, 97, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        actual = ours(pixel_values, "instance")
    expected = run_theirs(back, pixel_values, ["instance"])
    assert_same_logits(actual.class_logits, expected.class_queries_logits)
    assert_same_logits(actual.mask_logits, expected.masks_queries_logits)
