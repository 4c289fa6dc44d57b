"""`python -m tests.benchmarks.litellm_guardrail LITELLM`: LiteLLM's proxy asks for moderations.

LITELLM is the command of an environment of its own with `litellm[proxy]`, which is too large for
those of the tests. Prints what the OpenAI client's requests get, and ends with status 1 unless the
harmless one is answered, and the bad one and, without Sizewise, any is not.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import yaml

from tests.support.bundles import write_registry
from tests.support.language_model import language_model
from tests.support.processes import ROOT, clean_environ, free_port, serving, wait_until_accepting

CONFIG = ROOT / "docs" / "guides" / "guardrails" / "litellm.yaml"
KEYS = {"LITELLM_MASTER_KEY": "sk-" + "0123456789abcdef" * 3, "SIZEWISE_API_KEY": "correct-horse"}
TEXTS = ("a good film", "an awful plot")


def main():
    """Ask with Sizewise, then without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("litellm", type=Path)
    litellm = parser.parse_args().litellm.absolute()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place, reached = Path(folder), []
        registry = write_registry(place / "registry", place)
        (registry / "tone" / "policy.json").write_text('{"harmless": ["positive"]}')
        server = stack.enter_context(serving(registry, api_key=KEYS["SIZEWISE_API_KEY"]))
        model_port = stack.enter_context(language_model(reached))
        url = stack.enter_context(proxy(litellm, place, server.url, model_port))
        asked = [ask(url, text) for text in TEXTS]
        server.stop()
        asked.append(ask(url, TEXTS[0]))
    for text, (status, content) in zip(
        (*TEXTS, f"{TEXTS[0]}, without Sizewise"), asked, strict=True
    ):
        print(f"{text}: {status} {content}")
    statuses = [status for status, _ in asked]
    chats = [json.loads(body)["messages"] for _, body in reached if body]
    print(f"reached the model: {chats}")
    sys.exit(statuses[0] != 200 or min(statuses[1:]) < 400 or len(chats) != 1)


@contextlib.contextmanager
def proxy(litellm, place, sizewise, model_port):
    config = yaml.safe_load(CONFIG.read_text())
    config["model_list"][0]["litellm_params"]["api_base"] = f"http://127.0.0.1:{model_port}/v1"
    config["guardrails"][0]["litellm_params"] |= {"api_base": f"{sizewise}/v1", "model": "tone"}
    path, log, port = place / "litellm.yaml", place / "litellm.log", free_port()
    path.write_text(yaml.safe_dump(config))
    with log.open("w") as output:
        process = subprocess.Popen(
            [litellm, "--config", path, "--host", "127.0.0.1", "--port", str(port)],
            cwd=place, env=clean_environ() | KEYS | {"PATH": os.environ["PATH"]},
            stdout=output, stderr=output,
        )  # fmt: skip
        try:
            wait_until_accepting(port, seconds=300)
            yield f"http://127.0.0.1:{port}"
        except BaseException:
            print(log.read_text()[-5000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait(60)


def ask(url, text):
    answer = httpx.post(
        f"{url}/v1/chat/completions",
        json={"model": "llm", "messages": [{"role": "user", "content": text}]},
        headers={"Authorization": f"Bearer {KEYS['LITELLM_MASTER_KEY']}"},
        timeout=60,
    )
    return answer.status_code, json.dumps(answer.json())[:300]


if __name__ == "__main__":
    main()
