"""OpenAI's own client against `anyref serve`; the program is named by ANYREF."""

import base64
import os
import pathlib
import re
import subprocess

from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI

ROOT = pathlib.Path(__file__).parents[2]
DEMO = ROOT / "assets" / "demo"
PROGRAM = os.environ.get("ANYREF", str(ROOT / "target" / "release" / "anyref"))


def encoded(name):
    return base64.b64encode((DEMO / name).read_bytes()).decode()


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


server = subprocess.Popen(
    [PROGRAM, "serve", "--listen", "127.0.0.1:0", "--token", "secret"],
    stdout=subprocess.PIPE,
    text=True,
)
try:
    address = re.search(r"http://[^/]+", server.stdout.readline())[0]
    client = OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0)
    assert [model.id for model in client.models.list()] == ["nano"]

    picture = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded('scene5.jpg')}"}}
    sound = {"type": "input_audio", "input_audio": {"data": encoded("scene5-5-1.wav"), "format": "wav"}}
    words = "Can you segment the thing that makes {2}, right of {1} in this image?"
    box = {"type": "box", "box": [17.9, 38.1, 93.7, 97.4]}

    def ask(content, **more):
        messages = [{"role": "user", "content": content}]
        return client.chat.completions.create(model="nano", messages=messages, **more)

    text = {"type": "text", "text": words}
    answer = ask([picture, sound, text], extra_body={"anyref": {"references": [box]}})
    message = answer.choices[0].message
    assert message.content == "chicken right of the yak.", message.content
    assert len(message.anyref["masks"]) == 1 and message.anyref["masks"][0]["size"] == [256, 256]
    assert answer.choices[0].finish_reason == "stop"

    pieces, masks = [], None
    for chunk in ask([picture, {"type": "text", "text": "Can you segment the rabbit in this image?"}], stream=True):
        delta = chunk.choices[0].delta
        pieces.append(delta.content or "")
        masks = getattr(delta, "anyref", None) or masks
    assert "".join(pieces).strip() == "rabbit.", pieces
    assert len(pieces) > 2 and len(masks["masks"]) == 1

    error = refused(BadRequestError, lambda: ask("no picture"))
    assert error.code == "no_picture", error
    refused(NotFoundError, lambda: client.chat.completions.create(model="gpt-4o", messages=[]))
    stranger = OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0)
    refused(AuthenticationError, stranger.models.list)
    print("OpenAI's client is answered")
finally:
    server.terminate()
    server.wait()
