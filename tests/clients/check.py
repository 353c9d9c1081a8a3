"""The official clients, as their users call them: only the base URL is ours. See run."""

import os
import signal
import sys
import time

import anthropic
import openai

GATEWAY = sys.argv[1]
PROXY = int(sys.argv[2])
HELLO = "Hello from the mock."

# Keys of clients mean nothing to a node, and go no further than to it.
gpt = openai.OpenAI(base_url=f"{GATEWAY}/v1", api_key="mine", max_retries=0, timeout=60)
claude = anthropic.Anthropic(base_url=GATEWAY, api_key="mine", max_retries=0, timeout=60)

ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}
GPT_TOOLS = [{"type": "function", "function": {"name": "add", "parameters": ADD}}]
CLAUDE_TOOLS = [{"name": "add", "input_schema": ADD}]


def asked(text):
    return [{"role": "user", "content": text}]


def by(provider):
    return {"X-Astromesh-Provider": provider}


def done(what):
    print(f"ok  {what}", flush=True)


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def wait_for_the_mesh():
    deadline = time.monotonic() + 60
    while True:
        models = {model.id for model in gpt.models.list()}
        if {"gpt-mock", "tool-mock", "echo"} <= models:
            return
        assert time.monotonic() < deadline, models
        time.sleep(0.2)


def lists():
    assert gpt.models.retrieve("gpt-mock").id == "gpt-mock"
    assert {"gpt-mock", "echo"} <= {model.id for model in claude.models.list()}
    assert claude.models.retrieve("echo").type == "model"
    done("both clients list the mesh's models, and find one of them")


def gpt_whole():
    said = gpt.chat.completions.create(model="gpt-mock", messages=asked("hi"))
    assert said.choices[0].message.content == HELLO, said
    assert said.choices[0].finish_reason == "stop" and said.usage.total_tokens > 0, said
    raw = gpt.chat.completions.with_raw_response.create(model="gpt-mock", messages=asked("hi"))
    assert raw.headers["x-astromesh-node"] == "gateway", raw.headers
    assert raw.headers["x-astromesh-inference-node"] == "inference", raw.headers
    assert raw.headers["x-astromesh-provider"] == "openai", raw.headers
    done("openai client, OpenAI provider: an answer")


def gpt_stream():
    options = {"include_usage": True}
    stream = gpt.chat.completions.create(
        model="gpt-mock", messages=asked("hi"), stream=True, stream_options=options
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == HELLO, text
    assert any(chunk.usage for chunk in chunks), chunks
    done("openai client, OpenAI provider: a stream, with usage")


def gpt_tools():
    said = gpt.chat.completions.create(model="tool-mock", messages=asked("1+2?"), tools=GPT_TOOLS)
    call = said.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("add", '{"a": 1, "b": 2}'), said
    done("openai client, OpenAI provider: a tool is called")


def gpt_by_anthropic():
    said = gpt.chat.completions.create(
        model="gpt-mock", messages=asked("hi"), extra_headers=by("anthropic")
    )
    assert said.choices[0].message.content == HELLO, said
    assert said.id.startswith("msg_") and said.usage.completion_tokens > 0, said
    stream = gpt.chat.completions.create(
        model="echo-by-litellm",
        messages=asked("one two three"),
        stream=True,
        extra_headers=by("anthropic"),
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "one two three", text
    assert chunks[-1].choices[0].finish_reason == "stop", chunks[-1]
    done("openai client, Anthropic provider: an answer and a stream, translated")


def claude_whole():
    message = claude.messages.create(
        model="gpt-mock", max_tokens=64, messages=asked("hi"), extra_headers=by("anthropic")
    )
    assert message.content[0].text == HELLO and message.stop_reason == "end_turn", message
    with claude.messages.stream(
        model="echo-by-litellm",
        max_tokens=64,
        messages=asked("one two three"),
        extra_headers=by("anthropic"),
    ) as stream:
        assert "".join(stream.text_stream) == "one two three"
    done("anthropic client, Anthropic provider: an answer and a stream")


def claude_by_openai():
    message = claude.messages.create(model="gpt-mock", max_tokens=64, messages=asked("hi"))
    assert message.content[0].text == HELLO and message.usage.input_tokens > 0, message
    with claude.messages.stream(model="gpt-mock", max_tokens=64, messages=asked("hi")) as stream:
        assert "".join(stream.text_stream) == HELLO
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0, final
    done("anthropic client, OpenAI provider: an answer and a stream, translated")


def claude_tools():
    message = claude.messages.create(
        model="tool-mock", max_tokens=64, messages=asked("1+2?"), tools=CLAUDE_TOOLS
    )
    call = next(block for block in message.content if block.type == "tool_use")
    assert (call.name, call.input, message.stop_reason) == ("add", {"a": 1, "b": 2}, "tool_use"), message
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "3"}
    turns = asked("1+2?") + [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    again = claude.messages.create(
        model="gpt-mock", max_tokens=64, messages=turns, tools=CLAUDE_TOOLS
    )
    assert again.content[0].text == HELLO, again
    # LiteLLM's mock calls no tools in streams; that is tested with a server of ours, in astromeshd/tests/providers.rs.
    done("anthropic client, OpenAI provider: a tool is called and answered, translated")


def echo():
    said = gpt.chat.completions.create(model="echo", messages=asked("one two"))
    assert said.choices[0].message.content == "one two", said
    with claude.messages.stream(model="echo", max_tokens=64, messages=asked("one two")) as stream:
        assert "".join(stream.text_stream) == "one two"
    done("both clients: the built-in echo")


def refusals():
    error = raises(
        openai.NotFoundError,
        lambda: gpt.chat.completions.create(model="nobodys", messages=asked("hi")),
    )
    assert error.code == "model_not_found", error
    raises(
        anthropic.NotFoundError,
        lambda: claude.messages.create(model="nobodys", max_tokens=9, messages=asked("hi")),
    )
    raises(
        openai.RateLimitError,
        lambda: gpt.chat.completions.create(model="limited-mock", messages=asked("hi")),
    )
    raises(
        anthropic.RateLimitError,
        lambda: claude.messages.create(model="limited-mock", max_tokens=9, messages=asked("hi")),
    )
    raises(
        openai.BadRequestError,
        lambda: gpt.chat.completions.create(
            model="gpt-mock", messages=asked("hi"), n=2, extra_headers=by("anthropic")
        ),
    )
    raises(
        anthropic.BadRequestError,
        lambda: claude.messages.create(
            model="gpt-mock", max_tokens=9, messages=[{"role": "judge", "content": []}]
        ),
    )
    done("both clients: 404, 429 of the provider, and 400 are the errors that they know")


def provider_down():
    os.kill(PROXY, signal.SIGKILL)
    for kind, call in [
        (
            openai.InternalServerError,
            lambda: gpt.chat.completions.create(model="gpt-mock", messages=asked("hi")),
        ),
        (
            anthropic.InternalServerError,
            lambda: claude.messages.create(model="gpt-mock", max_tokens=9, messages=asked("hi")),
        ),
    ]:
        error = raises(kind, call)
        assert error.status_code == 503, error
        assert int(error.response.headers["retry-after"]) > 0
    done("both clients: 503 with Retry-After once the provider was killed")


wait_for_the_mesh()
for check in [
    lists,
    gpt_whole,
    gpt_stream,
    gpt_tools,
    gpt_by_anthropic,
    claude_whole,
    claude_by_openai,
    claude_tools,
    echo,
    refusals,
    provider_down,
]:
    check()
print(f"all passed: openai {openai.__version__}, anthropic {anthropic.__version__}")
