"""Write mutilated bundles, signed again where the mutilation is not in the signature."""

import json
import os
import shutil

from serving.bundles.bundle import BundleFile, Manifest, file_sha256
from tests.support.bundles import write_bundle
from tests.support.mutilated import graphs

DEEP = "[" * 100_000 + "]" * 100_000


def write_all(registry):
    """Write every case into a registry; return the paths that must be refused."""
    return [write(name, registry) for name in CASES]


def write(name, registry):
    """Write one case as `<registry>/<name>/tiny`; return the path."""
    folder = registry / name / "tiny"
    write_bundle(folder, family=name, max_length=64)
    CASES[name](folder)
    return folder


def sign(folder, **changes):
    """Write a manifest that fits the files, whatever they hold."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | changes
    files = {}
    for each in sorted(folder.iterdir()):
        if each.is_file() and each.name != path.name:
            files[each.name] = {"sha256": file_sha256(each), "bytes": each.stat().st_size}
    manifest["files"] = files | changes.get("files", {})
    typed = {name: BundleFile(**each) for name, each in manifest["files"].items()}
    version = Manifest.model_construct(**(manifest | {"files": typed})).content_version()
    path.write_text(json.dumps(manifest | {"version": version}))


def _content(name, change):
    """A case that rewrites a file by its content."""

    def mutilate(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))
        if name != "manifest.json":
            sign(folder)

    return mutilate


def _cut(content):
    return content[: len(content) // 2]


def _empty(_content):
    return b""


def _invalid_utf8(content):
    return content.replace(b"positive", b"posit\xff\xfe").replace(b"great", b"gr\xff\xfe")


def _deep(content):
    return content.rstrip()[:-1] + b', "recipe": ' + DEEP.encode() + b"}"


def _fields(**changes):
    return lambda content: json.dumps(json.loads(content) | changes).encode()


def _signed(**changes):
    return lambda folder: sign(folder, **changes)


def _tokenizer(change):
    """A case that changes the parsed tokenizer.json."""

    def rewrite(content):
        tokenizer = json.loads(content)
        change(tokenizer)
        return json.dumps(tokenizer).encode()

    return _content("tokenizer.json", rewrite)


def _add_token(tokenizer):
    tokenizer["added_tokens"].append({
        "id": graphs.ROWS, "content": "[URL]", "single_word": False, "lstrip": False,
        "rstrip": False, "normalized": False, "special": False,
    })  # fmt: skip


def _graph(name):
    def mutilate(folder):
        graphs.write(name, folder / "model.onnx")
        sign(folder)

    return mutilate


def _without_model(folder):
    (folder / "model.onnx").unlink()


def _directory(name):
    def mutilate(folder):
        (folder / name).unlink()
        (folder / name).mkdir()

    return mutilate


def _pipe(name):
    def mutilate(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return mutilate


def _loop_of_links(folder):
    shutil.rmtree(folder)
    folder.symlink_to(folder)


def _linked_to_itself(name):
    def mutilate(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)

    return mutilate


# What OpenVINO reads although ONNX Runtime does not.
FOR_OPENVINO = {"graph-newer-ir", "graph-newer-opset"}
_NOWHERE = {"sha256": "0" * 64, "bytes": 1}
CASES = {
    "model-cut": _content("model.onnx", _cut),
    "model-empty": _content("model.onnx", _empty),
    "model-noise": _content("model.onnx", lambda _: bytes(i * 37 % 256 for i in range(999))),
    "model-text": _content("model.onnx", lambda _: b"version https://git-lfs.github.com/spec/v1"),
    "model-altered": lambda folder: (folder / "model.onnx").write_bytes(b"altered"),
    "model-missing": _without_model,
    "model-directory": _directory("model.onnx"),
    "model-pipe": _pipe("model.onnx"),
    "model-links-to-itself": _linked_to_itself("model.onnx"),
    "tokenizer-cut": _content("tokenizer.json", _cut),
    "tokenizer-empty": _content("tokenizer.json", _empty),
    "tokenizer-invalid-utf8": _content("tokenizer.json", _invalid_utf8),
    "tokenizer-deep": _content("tokenizer.json", lambda _: DEEP.encode()),
    "tokenizer-array": _content("tokenizer.json", lambda _: b"[]"),
    "tokenizer-null-model": _tokenizer(lambda t: t.update(model=None)),
    "tokenizer-unknown-model": _tokenizer(lambda t: t["model"].update(type="Oracle")),
    "tokenizer-no-words": _tokenizer(lambda t: t["model"].update(vocab={})),
    "tokenizer-without-unk": _tokenizer(lambda t: t["model"].update(unk_token="<none>")),
    "tokenizer-added-token": _tokenizer(_add_token),
    "tokenizer-large-id": _tokenizer(lambda t: t["model"]["vocab"].update(good=4_000_000_000)),
    "tokenizer-large-special-id": _tokenizer(
        lambda t: t["post_processor"]["special_tokens"]["[SEP]"].update(ids=[999])
    ),
    "config-cut": _content("config.json", _cut),
    "config-empty": _content("config.json", _empty),
    "config-deep": _content("config.json", lambda _: DEEP.encode()),
    "config-other-labels": _content("config.json", _fields(id2label={"0": "a", "1": "b"})),
    "config-wrong-types": _content("config.json", _fields(id2label=[1, 2])),
    "manifest-cut": _content("manifest.json", _cut),
    "manifest-empty": _content("manifest.json", _empty),
    "manifest-invalid-utf8": _content("manifest.json", _invalid_utf8),
    "manifest-deep": _content("manifest.json", _deep),
    "manifest-array": _content("manifest.json", lambda _: b"[]"),
    "manifest-wrong-types": _content("manifest.json", _fields(labels=3, files="all")),
    "manifest-other-family": _content("manifest.json", _fields(family="another")),
    "manifest-thousands-of-digits": _content(
        "manifest.json",
        lambda c: c.replace(b'"pad_token_id": 0', b'"pad_token_id": ' + b"9" * 5000),
    ),
    "manifest-directory": _directory("manifest.json"),
    "manifest-pipe": _pipe("manifest.json"),
    "manifest-large-pad-id": _signed(pad_token_id=10**30),
    "manifest-pad-id-beyond": _signed(pad_token_id=99),
    "manifest-no-room": _signed(max_length=2),
    "manifest-long-file-name": _signed(files={"x" * 300: _NOWHERE}),
    "manifest-undecodable-file-name": _signed(files={"\udcff": _NOWHERE}),
    "folder-links-to-itself": _loop_of_links,
    **{name: _graph(name) for name in graphs.GRAPHS},
}
