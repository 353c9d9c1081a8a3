//! How model and tools take turns: the model is asked, what it wants called is called, and it is asked again, until it
//! answers. It is asked so often and no more, and the last time it is told to answer without tools.

use super::completion::{Asking, Call, Completion};
use super::llm::Llm;
use super::sessions::Message;
use crate::answer::{Answer, trouble};
use crate::traces::Span;
use astromesh_core::agent::Pattern;
use astromesh_core::api::Usage;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{HeaderValue, RETRY_AFTER};
use maia::id::Label;
use serde_json::{Value, json as value};
use std::time::{Duration, Instant};

/// How many tools are called for one answer of the model; of more it is told that they were not.
const MOST_CALLS: usize = 16;

/// How much of what a tool said stands among the steps.
const EXCERPT_CHARS: usize = 2_000;

/// What the model is told where it is to plan first.
const MAKE_A_PLAN: &str = "First make a plan: numbered steps, short, each with what it is to find out or to do. \
                           Do not carry it out yet, and call no tools.";

/// And then.
const CARRY_IT_OUT: &str = "Now carry out this plan step by step, and then give the answer alone.";

/// Why a run came to nothing.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    pub(super) retry_after: Option<HeaderValue>,
}

/// One run, as far as it has come.
pub(super) struct Turns<'a> {
    llm: &'a Llm,
    asking: Asking,
    /// What the model is shown.
    said: Vec<Message>,
    /// Where in it the part begins that stays in the session, after the question.
    kept_from: usize,
    question: Message,
    asked: u32,
    pub(super) model: String,
    pub(super) usage: Usage,
    pub(super) steps: Vec<Value>,
}

impl<'a> Turns<'a> {
    /// A run that begins with `question`, after what was `said` before.
    pub(super) fn begin(
        llm: &'a Llm,
        asking: Asking,
        mut said: Vec<Message>,
        question: Message,
    ) -> Self {
        said.push(question.clone());
        Self {
            llm,
            asking,
            kept_from: said.len(),
            said,
            question,
            asked: 0,
            model: llm.model.clone(),
            usage: Usage::default(),
            steps: Vec::new(),
        }
    }

    /// Goes on until the model has answered.
    pub(super) async fn go_on(&mut self) -> Result<String, Failed> {
        if self.llm.pattern == Pattern::PlanAndExecute && self.llm.most_turns > 1 {
            self.plan().await?;
        }
        loop {
            let completion = self.ask(self.asked + 1 < self.llm.most_turns).await?;
            self.said.push(Message::new(&completion.message));
            if completion.calls.is_empty() {
                return Ok(completion.text);
            }
            if self.asked >= self.llm.most_turns {
                return Err(Failed::endless(self.asked));
            }
            for (place, call) in completion.calls.iter().enumerate() {
                let result = match place < MOST_CALLS {
                    true => self.call(call).await,
                    false => format!("not called: only {MOST_CALLS} tools are called at a time"),
                };
                self.said.push(Message::new(
                    &value!({"role": "tool", "tool_call_id": call.id, "content": result}),
                ));
            }
        }
    }

    /// What is to stay in the session.
    pub(super) fn to_keep(&self) -> Vec<Message> {
        let answered = self.said[self.kept_from..].iter().cloned();
        [self.question.clone()]
            .into_iter()
            .chain(answered)
            .collect()
    }

    /// Lets the model say how it will go about it. The plan guides this run, and stays in no session.
    async fn plan(&mut self) -> Result<(), Failed> {
        let user = |content: &str| Message::new(&value!({"role": "user", "content": content}));
        self.said.push(user(MAKE_A_PLAN));
        let completion = self.ask(false).await?;
        self.step(value!({"type": "plan", "plan": excerpt(&completion.text)}));
        let plan = value!({"role": "assistant", "content": completion.text});
        self.said.extend([Message::new(&plan), user(CARRY_IT_OUT)]);
        self.kept_from = self.said.len();
        Ok(())
    }

    async fn ask(&mut self, with_tools: bool) -> Result<Completion, Failed> {
        let began = Instant::now();
        self.asked += 1;
        let request = self.request(with_tools);
        let completion = self.asking.ask(&self.llm.provider, request).await?;
        let Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens,
        } = completion.usage;
        self.usage.prompt_tokens = self.usage.prompt_tokens.saturating_add(prompt_tokens);
        self.usage.completion_tokens = self
            .usage
            .completion_tokens
            .saturating_add(completion_tokens);
        self.usage.total_tokens = self.usage.total_tokens.saturating_add(total_tokens);
        if let Some(model) = &completion.model {
            self.model.clone_from(model);
        }
        let wanted: Vec<&str> = completion
            .calls
            .iter()
            .map(|call| call.name.as_str())
            .collect();
        self.step(value!({
            "type": "model", "model": self.model, "calls": wanted, "usage": completion.usage,
            "ms": millis(began),
        }));
        Ok(completion)
    }

    fn request(&self, with_tools: bool) -> Bytes {
        let llm = self.llm;
        let mut request = llm.parameters.clone();
        request.insert("model".to_owned(), value!(llm.model));
        request.insert("messages".to_owned(), value!(self.said));
        if !llm.tools.is_empty() {
            request.insert("tools".to_owned(), llm.tools.described());
            if !with_tools {
                request.insert("tool_choice".to_owned(), value!("none"));
            }
        }
        if self.asking.teller.is_heard() {
            request.insert("stream".to_owned(), value!(true));
            request.insert("stream_options".to_owned(), value!({"include_usage": true}));
        }
        Value::Object(request).to_string().into()
    }

    async fn call(&mut self, call: &Call) -> String {
        let began = Instant::now();
        let name = || format!("execute_tool {}", call.name);
        let mut span = Span::along(&self.asking.trail, name);
        span.say("gen_ai.operation.name", "execute_tool");
        span.say("gen_ai.tool.name", &call.name);
        let outcome = self.llm.tools.call(&call.name, &call.arguments).await;
        let (ok, result) = match outcome {
            Ok(result) => {
                span.ended();
                (true, result)
            }
            Err(trouble) => {
                span.failed(trouble.kind);
                (false, format!("error: {}", trouble.detail))
            }
        };
        drop(span);
        let arguments =
            serde_json::from_str(&call.arguments).unwrap_or_else(|_| value!(call.arguments));
        self.step(value!({
            "type": "tool", "tool": call.name, "arguments": arguments, "ok": ok,
            "result": excerpt(&result), "ms": millis(began),
        }));
        result
    }

    fn step(&mut self, step: Value) {
        self.asking.teller.tell(&value!({ "step": step }));
        self.steps.push(step);
    }
}

impl Failed {
    /// Somebody else is at fault.
    pub(super) fn upstream(detail: String) -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            detail,
            retry_after: None,
        }
    }

    pub(super) fn too_late(patience: Duration) -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            ..Self::upstream(format!(
                "did not come to an end within {patience:?} (spec.orchestration.timeout_seconds)"
            ))
        }
    }

    fn endless(turns: u32) -> Self {
        Self::upstream(format!(
            "the model wants tools called after {turns} turns still (spec.orchestration.max_iterations), and has not answered"
        ))
    }

    /// The same, with the name of the agent.
    #[must_use]
    pub(super) fn of(self, agent: &Label) -> Self {
        let detail = format!("agent {:?}: {}", agent.as_str(), self.detail);
        Self { detail, ..self }
    }

    pub(super) fn into_answer(self) -> Answer {
        let mut answer = trouble(self.status, self.detail);
        if let Some(after) = self.retry_after {
            answer.headers_mut().insert(RETRY_AFTER, after);
        }
        answer
    }
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
