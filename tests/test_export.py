"""Export: files that Hugging Face's own libraries read, where they are installed, and that come back the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from textmill import cli
from textmill.errors import InputError, UnknownNameError, UserError, WorkspaceError
from textmill.pipeline.stages.model import Train
from textmill.pipeline.stages.rows import Rows
from textmill.pipeline.stages.tokens import CountPretokens, Tokens, TrainTokenizer
from textmill.pipeline.trained import find_model
from textmill.pipeline.workspace import Workspace, new_run
from textmill.tokenize import Tokenizer
from textmill.train import safetensors_file
from textmill.train.config import ModelConfig, preset
from textmill.train.huggingface import export_llama, format_config, load_llama, parse_config, to_llama
from textmill.train.model import Transformer

pytestmark = pytest.mark.usefixtures("one_thread")

EOT = "<|endoftext|>"
TOKENIZER = Tokenizer({i: bytes([i]) for i in range(256)} | {256: b"th"}, [(b"t", b"h")], [EOT])
SMALL = ModelConfig(vocab_size=260, n_layers=2, n_heads=4, d_model=32, d_ff=48, context_length=16)
FORMS = {
    "default": {},
    "untied": {"tie_embeddings": False},
    "grouped": {"n_kv_heads": 2, "rope_theta": 500.0, "norm_eps": 1e-3},
    "bias": {"bias": True, "dropout": 0.1},
}


def model_of(form: str) -> Transformer:
    model = Transformer(replace(SMALL, **FORMS[form]), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model


IDS = torch.randint(257, (2, 16), generator=torch.Generator().manual_seed(1))


# --- the layout


@pytest.mark.parametrize("form", FORMS)
def test_a_model_comes_back_the_same(tmp_path: Path, form: str) -> None:
    model = model_of(form)
    export_llama(model, TOKENIZER, str(tmp_path / "out"))
    loaded = load_llama(tmp_path / "out").eval()
    assert loaded.config == replace(model.config, n_kv_heads=model.config.kv_heads, dropout=0.0)
    state = loaded.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert Tokenizer.load(tmp_path / "out" / "tokenizer.json").encode(f"the th{EOT}") == TOKENIZER.encode(
        f"the th{EOT}"
    )


@pytest.mark.parametrize("form", FORMS)
def test_transformers_computes_the_same_logits(tmp_path: Path, form: str) -> None:
    transformers = pytest.importorskip("transformers")
    model = model_of(form)
    export_llama(model, TOKENIZER, str(tmp_path / "out"))
    theirs, loading = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    with torch.no_grad():
        expected, actual = theirs.eval()(IDS).logits, model(IDS)
    assert expected.abs().max() > 1
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("the th")["input_ids"] == TOKENIZER.encode("the th")
    assert theirs.config.eos_token_id == tokenizer.eos_token_id == TOKENIZER.eot_id


def test_what_transformers_saves_is_read(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    theirs = transformers.LlamaForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path / "one")
    theirs.save_pretrained(tmp_path / "many", max_shard_size="20KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    for name in ("one", "many"):
        with torch.no_grad():
            actual, expected = load_llama(tmp_path / name).eval()(IDS % 100), theirs(IDS % 100).logits
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)


def test_rows_of_queries_change_places_within_their_head() -> None:
    config = ModelConfig(vocab_size=3, n_layers=1, n_heads=2, d_model=12, d_ff=4, context_length=4)
    weights = {"layers.0.attn.q_proj.weight": torch.arange(12)[:, None].expand(12, 12)}
    (theirs,) = to_llama(weights, config).items()
    assert theirs[0] == "model.layers.0.self_attn.q_proj.weight"
    assert theirs[1][:, 0].tolist() == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]


def test_weights_are_written_in_the_type_that_is_asked_for(tmp_path: Path) -> None:
    model = model_of("default")
    export_llama(model, None, str(tmp_path / "out"), "bfloat16")
    tensors = safetensors_file.read(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    assert not (tmp_path / "out" / "tokenizer.json").exists()
    loaded = load_llama(tmp_path / "out").state_dict()["token_embeddings.weight"]
    assert torch.equal(loaded, model.token_embeddings.weight.bfloat16().float())


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'bfloat16'"):
        export_llama(model_of("default"), None, str(tmp_path / "out"), "bflot16")


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"norm": "layernorm"}, "no Llama has norm layernorm"),
        ({"norm_position": "post", "activation": "gelu"}, "no Llama has norm_position post, activation gelu"),
        ({"position": "learned"}, "position learned"),
        ({"qk_norm": True}, "qk_norm True"),
        ({"window": 4}, "window 4"),
        ({"logit_cap": 30.0}, "logit_cap 30.0"),
    ],
)
def test_a_model_that_is_no_llama_is_refused(tmp_path: Path, form: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        export_llama(Transformer(replace(SMALL, **form), seed=0), None, str(tmp_path / "out"))
    assert not list(tmp_path.iterdir())


def test_an_export_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(WorkspaceError, match="is there already"):
        export_llama(model_of("default"), None, str(tmp_path / "full"))

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors_file, "write", full_disk)
    with pytest.raises(OSError, match="No space"):
        export_llama(model_of("default"), None, str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    export_llama(model_of("grouped"), TOKENIZER, str(tmp_path / "out"))
    return tmp_path / "out"


def change_config(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text()) | values
        (folder / "config.json").write_text(json.dumps(content))

    return change


def change_file(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes())) and None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_config(model_type="qwen3"), "its model_type"),
        (change_config(hidden_act="gelu"), "its hidden_act"),
        (change_config(head_dim=16), "its head_dim is 16"),
        (change_config(mlp_bias=True), "its mlp_bias is True"),
        (change_config(rope_parameters={"rope_type": "llama3", "factor": 8}), "its rope_type"),
        (change_config(rope_parameters=None, rope_scaling={"rope_type": "yarn"}), "its rope_type is yarn"),
        (change_config(rope_parameters=None, rope_scaling={"type": "linear"}), "its rope_type is linear"),
        (change_config(hidden_size="wide"), "not the configuration of a Llama"),
        (change_config(num_attention_heads=5), "not the configuration of a Llama"),
        (change_config(vocab_size=261), r"1 tensors .* model.embed_tokens.weight: \(260, 32\), expected \(261, 32\)"),
        (change_config(num_hidden_layers=1), r"9 tensors .* model.layers.1.* expected none"),
        (change_config(num_hidden_layers=3), r"9 tensors .* model.layers.2.*: missing"),
        (change_file("config.json", lambda data: data[:-9]), "not JSON"),
        (change_file("config.json", lambda data: b"[]"), "not the configuration"),
        (change_file("model.safetensors", lambda data: data[:-1]), "cut short"),
        (change_file("model.safetensors", lambda data: data[:40]), "cut short"),
        (change_file("model.safetensors", lambda data: b""), "cut short"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors: cannot be read"),
        (lambda folder: (folder / "config.json").unlink(), "config.json: cannot be read"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("{}"), "not an index"),
    ],
)
def test_files_that_are_no_llama_are_refused(exported: Path, change: Callable[[Path], object], message: str) -> None:
    change(exported)
    with pytest.raises(InputError, match=message):
        load_llama(exported)


def test_a_tied_head_that_is_written_twice_and_old_tables_are_left_out(exported: Path) -> None:
    expected, path = load_llama(exported).state_dict(), exported / "model.safetensors"
    tensors = safetensors_file.read(path)
    others = {"lm_head.weight": torch.zeros(260, 32), "model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)}
    safetensors_file.write(tensors | others, path)
    found = load_llama(exported).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_old_and_new_configurations_are_read() -> None:
    content = format_config(replace(SMALL, rope_theta=500.0))
    del content["rope_parameters"]
    assert parse_config(content, "x").rope_theta == 500.0
    del content["rope_theta"], content["head_dim"], content["attention_bias"], content["mlp_bias"]
    content |= {"rope_scaling": None, "num_key_value_heads": None}
    assert parse_config(content, "x") == SMALL


# --- the commands


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``textmill train`` leaves: a model of a few steps, and its tokenizer."""
    folder = tmp_path_factory.mktemp("trained")
    write_shards(folder / "shards")
    arguments = ["train", str(folder / "shards"), "--out", str(folder / "model"), "--steps", "2"]
    assert cli.main(arguments) == 0
    return folder / "model"


def write_shards(folder: Path) -> None:
    """Ids by themselves, as other trainers keep them, and the tokenizer beside."""
    folder.parent.mkdir(exist_ok=True)
    ids = np.random.default_rng(0).integers(0, 256, 4000).astype("<u2")
    ids[99::100] = TOKENIZER.eot_id
    ids.tofile(folder.with_suffix(".bin"))
    TOKENIZER.save(folder.with_suffix(".json"))
    source, tokenizer = str(folder.with_suffix(".bin")), str(folder.with_suffix(".json"))
    arguments = ["--val", source, "--from", "nanogpt", "--tokenizer", tokenizer, "--out", str(folder)]
    assert cli.main(["shards", "import", source, *arguments]) == 0


def test_a_trained_model_is_exported_and_writes_the_same(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "checkpoint.pt",
        "log.jsonl",
        "report.html",
        "tokenizer.json",
    ]
    out = tmp_path / "out"
    assert cli.main(["export", str(trained), "--to", "hf", "--out", str(out)]) == 0
    assert "parameters in float32" in capsys.readouterr().out
    said = []
    for model in (trained, trained / "checkpoint.pt", out):
        arguments = ["generate", str(model), "--prompt", "the", "--prompt", "A", "--max-tokens", "9", "--json"]
        assert cli.main(arguments) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1] == said[2]
    assert [entry["prompt"] for entry in said[0]] == ["the", "A"] and any(entry["text"] for entry in said[0])
    assert cli.main(["generate", str(out), "--prompt", "the", "--max-tokens", "9"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("the") and all(c.isprintable() or c in "\n\t" for c in shown)
    assert cli.main(["generate", str(out), "--max-tokens", "2", "--temperature", "0", "--top-k", "0"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "nowhere"], "nowhere: no model; give a run"),
        (["generate", "MODEL", "--top-p", "2"], "top_p is 2.0"),
        (["generate", "MODEL", "--top-k", "-1"], "top_k is -1"),
        (["generate", "MODEL", "--stop", "ab"], "--stop 'ab': 2 tokens of this tokenizer"),
        (["generate", "MODEL", "--device", "gpu"], "unknown device 'gpu'"),
        (["generate", "MODEL", "--tokenizer", "OTHER"], "trained with the tokenizer"),
        (["generate", "MODEL/log.jsonl"], "not a readable checkpoint"),
        (["export", "MODEL", "--to", "gguf", "--out", "x"], "unknown format 'gguf'"),
        (["export", "MODEL", "--to", "hf", "--out", "x", "--dtype", "int8"], "unknown dtype 'int8'"),
        (["export", "MODEL", "--to", "hf", "--out", "MODEL"], "is there already"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Tokenizer(TOKENIZER.vocab, [(b"t", b"h")], [EOT], pattern="cl100k").save(tmp_path / "other.json")
    known = {
        "MODEL": str(trained),
        "MODEL/log.jsonl": str(trained / "log.jsonl"),
        "OTHER": str(tmp_path / "other.json"),
    }
    assert cli.main([known.get(argument, argument) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and len(shown.err.splitlines()) == 1


def test_a_model_without_tokenizer_is_exported_but_does_not_write(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "checkpoint.pt"
    alone.write_bytes((trained / "checkpoint.pt").read_bytes())
    assert cli.main(["generate", str(alone)]) == 2
    assert "--tokenizer FILE" in capsys.readouterr().err
    assert cli.main(["export", str(alone), "--to", "hf", "--out", str(tmp_path / "out")]) == 0
    assert "no tokenizer was found" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]


def test_the_model_of_a_run_is_found_with_its_tokenizer(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "work"
    workspace = Workspace(str(root))
    workspace.create()
    rows, recipe = Rows(()), preset("tiny")
    tokenizer = TrainTokenizer(CountPretokens(rows), 300)
    tokens = Tokens(rows, tokenizer)
    model = Train(tokens, tokenizer, recipe.model, recipe.train)
    for target in (tokens, model):
        for stage in target.ancestry():
            workspace.save_stage(stage)
        workspace.save_run(replace(new_run("dag", [], target), name=target.name))
    for stage, name in ((tokenizer, "tokenizer.json"), (model, "checkpoint.pt")):
        shutil.copy(trained / name, root / stage.folder / name)
        (root / stage.folder / "_SUCCESS").write_text("{}")
    found = find_model(f"{root}:model")
    assert found == (root / model.folder / "checkpoint.pt", root / tokenizer.folder / "tokenizer.json")
    assert find_model(f"{root}:model", "other.json").tokenizer == Path("other.json")
    assert cli.main(["generate", f"{root}:model", "--prompt", "a", "--max-tokens", "3"]) == 0
    capsys.readouterr()
    assert cli.main(["generate", f"{root}:tokens"]) == 2
    assert "run tokens has no model; `textmill run dag --to model` trains one" in capsys.readouterr().err


# --- safetensors


@pytest.mark.parametrize("dtype", safetensors_file.NAMES)
def test_tensors_come_back_the_same(tmp_path: Path, dtype: torch.dtype) -> None:
    path, shapes = tmp_path / "x.safetensors", [(3, 4), (5,), (), (0, 2), (2, 1, 3)]
    tensors = {f"é.{i}": torch.randn(shape).to(dtype) for i, shape in enumerate(shapes)}
    safetensors_file.write(tensors, path)
    found = safetensors_file.read(path)
    assert list(found) == list(tensors)
    assert all(torch.equal(found[name], tensor) and found[name].dtype == dtype for name, tensor in tensors.items())
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0


def test_the_library_reads_and_writes_the_same_files(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    tensors = {"a": torch.randn(3, 4).T.contiguous(), "b": torch.randn(2).bfloat16(), "c": torch.empty(0, 5)}
    safetensors_file.write(tensors | {"a": tensors["a"].T.contiguous().T}, tmp_path / "ours")
    library.save_file(tensors, tmp_path / "theirs")
    for found in (library.load_file(tmp_path / "ours"), safetensors_file.read(tmp_path / "theirs")):
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def with_header(header: object, values: bytes = b"") -> bytes:
    packed = json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + values


def entry(dtype: str, shape: object, offsets: object) -> dict[str, object]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 8,
        (10**12).to_bytes(8, "little") + b"{}",
        with_header([]),
        with_header({"x": 1}),
        with_header(entry("F32", [1], [0, 4]), b"123"),
        with_header(entry("F32", [2], [0, 4]), b"1234"),
        with_header(entry("F32", [1], [-4, 0]), b"1234"),
        with_header(entry("F32", [-1, -1], [0, 4]), b"1234"),
        with_header(entry("F32", [1], [4, 0]), b"1234"),
        with_header(entry("F32", [1], [0, 4, 4]), b"1234"),
        with_header(entry("F32", "1", [0, 4]), b"1234"),
        with_header(entry("I128", [1], [0, 4]), b"1234"),
        b"\x02\0\0\0\0\0\0\0\xff\xff",
    ],
)
def test_broken_files_of_tensors_are_one_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InputError, match="no safetensors file, or one that was cut short"):
        safetensors_file.read(tmp_path / "x")
