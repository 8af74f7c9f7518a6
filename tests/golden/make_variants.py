#!/usr/bin/env python3
"""Writes each kind of GPT-2 that transformers 5 saves as a tiny checkpoint, with what transformers computes with it.

Usage: make_variants.py OUT_DIR      (needs torch, transformers 5, safetensors)
Makes OUT_DIR/NAME/ with the model's files and golden.json, which holds either, for each prompt, the float32 logits after
its last token and the greedy continuation with its stop tokens; or, for what a GPT-2 without them can't compute, 'refused':
the option that an error must name.
"""
import json, os, shutil, sys
import torch
from safetensors.torch import load_file, save_file, save_model
from transformers import GPT2Config, GPT2DoubleHeadsModel, GPT2ForQuestionAnswering, GPT2ForSequenceClassification
from transformers import GPT2ForTokenClassification, GPT2LMHeadModel, GPT2Model

NEW = 8
# name: (options, class, dtype, options of save_pretrained)
LOADED = {
    "plain": ({}, GPT2LMHeadModel, torch.float32, {}),
    "f16": ({}, GPT2LMHeadModel, torch.float16, {}),
    "bf16": ({}, GPT2LMHeadModel, torch.bfloat16, {}),
    "base": ({}, GPT2Model, torch.float32, {}),
    "double-heads": ({}, GPT2DoubleHeadsModel, torch.float32, {}),
    "untied": (dict(tie_word_embeddings=False), GPT2LMHeadModel, torch.float32, {}),
    "gelu": (dict(activation_function="gelu"), GPT2LMHeadModel, torch.float32, {}),
    "gelu-pytorch-tanh": (dict(activation_function="gelu_pytorch_tanh"), GPT2LMHeadModel, torch.float32, {}),
    "inner": (dict(n_inner=20), GPT2LMHeadModel, torch.float32, {}),
    "unscaled": (dict(scale_attn_weights=False), GPT2LMHeadModel, torch.float32, {}),
    "scaled-by-layer": (dict(scale_attn_by_inverse_layer_idx=True), GPT2LMHeadModel, torch.float32, {}),
    "upcast": (dict(reorder_and_upcast_attn=True), GPT2LMHeadModel, torch.float32, {}),
    "epsilon": (dict(layer_norm_epsilon=1e-2), GPT2LMHeadModel, torch.float32, {}),
    "sharded": ({}, GPT2LMHeadModel, torch.float32, dict(max_shard_size="4KB")),
    "sharded-untied-f16": (dict(tie_word_embeddings=False), GPT2LMHeadModel, torch.float16, dict(max_shard_size="2KB")),
}
# Changed after they were saved, as other tools write them.
CHANGED = ["save-model", "head-only", "head-differs", "aliases", "stop-list", "generation-config"]
REFUSED = {
    "relu": (dict(activation_function="relu"), GPT2LMHeadModel, "activation_function"),
    "cross-attention": (dict(add_cross_attention=True), GPT2LMHeadModel, "add_cross_attention"),
    "sequence-classification": ({}, GPT2ForSequenceClassification, "architectures"),
    "token-classification": ({}, GPT2ForTokenClassification, "architectures"),
    "question-answering": ({}, GPT2ForQuestionAnswering, "architectures"),
}


def config(**options):
    sizes = dict(n_layer=2, n_head=2, n_embd=8, vocab_size=40, n_positions=24)
    return GPT2Config(bos_token_id=0, eos_token_id=39, attn_implementation="eager", **sizes, **options)


def draw(model, dtype):
    torch.manual_seed(7)
    with torch.no_grad():
        for name, p in model.named_parameters():
            around = 1.0 if "ln_" in name and name.endswith("weight") else 0.0
            p.copy_((torch.randn(p.shape) * 0.7 + around).to(dtype).float())
    return model.eval()


def reference(model, options):
    """The language model with the weights of any class."""
    lm = GPT2LMHeadModel(config(**options)).eval()
    state = model.state_dict()
    if isinstance(model, GPT2Model):
        state = {"transformer." + name: value for name, value in state.items()}
    lm.load_state_dict(state, strict=False)
    lm.tie_weights()
    return lm


def prompts():
    g = torch.Generator().manual_seed(3)
    return [torch.randint(0, 39, (1, length), generator=g) for length in (1, 4, 11)]


def golden(folder, model):
    cases = []
    for ids in prompts():
        with torch.no_grad():
            logits = model(ids).logits[0, -1]
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW, pad_token_id=0)
        cases.append(dict(prompt=ids[0].tolist(), logits=[round(float(x), 6) for x in logits], greedy=out[0, ids.shape[1]:].tolist()))
    json.dump(dict(new=NEW, cases=cases), open(f"{folder}/golden.json", "w"))


def edit(path, change):
    data = json.load(open(path))
    change(data)
    json.dump(data, open(path, "w"), indent=2)


def changed(out, name):
    folder = f"{out}/{name}"
    model = draw(GPT2LMHeadModel(config()), torch.float32)
    model.save_pretrained(folder)
    weights = f"{folder}/model.safetensors"
    if name == "save-model":
        save_model(model, weights)
    if name == "head-only":
        tensors = load_file(weights)
        tensors["lm_head.weight"] = tensors.pop("transformer.wte.weight")
        save_file(tensors, weights, metadata={"format": "pt"})
    if name == "head-differs":
        tensors = load_file(weights)
        tensors["lm_head.weight"] = tensors["transformer.wte.weight"].flip(0).contiguous()
        save_file(tensors, weights, metadata={"format": "pt"})
        model = GPT2LMHeadModel.from_pretrained(folder).eval()
    if name == "aliases":
        names = dict(n_layer="num_hidden_layers", n_head="num_attention_heads", n_embd="hidden_size", n_positions="max_position_embeddings")
        edit(f"{folder}/config.json", lambda c: c.update({names[key]: c.pop(key) for key in names}))
    if name in ("stop-list", "generation-config"):
        free = json.load(open(f"{out}/plain/golden.json"))["cases"][-1]["greedy"]
        stop = [free[6], free[2]]
        assert stop[0] not in free[:3] and stop[1] not in free[:2]
        if name == "stop-list":
            os.remove(f"{folder}/generation_config.json")
            edit(f"{folder}/config.json", lambda c: c.update(eos_token_id=stop))
        else:
            edit(f"{folder}/generation_config.json", lambda c: c.update(eos_token_id=stop))
        # What a folder says, transformers reads itself.
        model = GPT2LMHeadModel.from_pretrained(folder).eval()
    golden(folder, model)


if __name__ == "__main__":
    out = sys.argv[1]
    for name, (options, kind, dtype, saving) in LOADED.items():
        shutil.rmtree(f"{out}/{name}", ignore_errors=True)
        model = draw(kind(config(**options)), dtype)
        lm = reference(model, options)
        model.to(dtype).save_pretrained(f"{out}/{name}", **saving)
        golden(f"{out}/{name}", lm)
    for name in CHANGED:
        shutil.rmtree(f"{out}/{name}", ignore_errors=True)
        changed(out, name)
    for name, (options, kind, refused) in REFUSED.items():
        shutil.rmtree(f"{out}/{name}", ignore_errors=True)
        kind(config(**options)).save_pretrained(f"{out}/{name}")
        # The configuration decides; no weights are needed for it.
        for file in os.listdir(f"{out}/{name}"):
            if file != "config.json":
                os.remove(f"{out}/{name}/{file}")
        json.dump(dict(refused=refused), open(f"{out}/{name}/golden.json", "w"))
