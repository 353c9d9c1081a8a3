//! An agent that a model runs: with a system prompt, what was said in the session, and tools.
//!
//! What is asked and kept is put together here; how model and tools take turns is in `turns`.

use super::completion::Asking;
use super::live::{Teller, streamed};
use super::sessions::{Message, Sessions};
use super::tools::Toolbox;
use super::turns::{Failed, Turns};
use super::{Around, models::Models};
use crate::answer::{Answer, json};
use crate::traces::Trail;
use astromesh_core::agent::{self, Orchestration, Pattern};
use astromesh_core::api::{RunAnswer, RunRequest};
use hyper::StatusCode;
use maia::id::Label;
use serde_json::{Map, Value, json as value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How often the model may be asked in one run where nobody says.
const MOST_TURNS: u32 = 10;

/// How long a run may take where nobody says.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is asked of a model in every request, and not the agent's to set.
const OURS: [&str; 6] = [
    "model",
    "messages",
    "tools",
    "tool_choice",
    "stream",
    "stream_options",
];

/// One such agent.
#[derive(Debug)]
pub(super) struct Llm {
    /// Who serves the model, by the name that inference nodes know them by.
    pub(super) provider: String,
    /// The model, by the provider's name for it.
    pub(super) model: String,
    pub(super) parameters: Map<String, Value>,
    pub(super) tools: Toolbox,
    pub(super) pattern: Pattern,
    /// How often the model may be asked in one run.
    pub(super) most_turns: u32,
    patience: Duration,
    system: Option<Message>,
    sessions: Arc<Sessions>,
}

/// One run, with all that it needs to go on by itself.
struct Run {
    llm: Arc<Llm>,
    models: Arc<dyn Models>,
    hops: u32,
    trail: Trail,
    agent: Label,
    session: String,
    question: Message,
    node: String,
}

impl Llm {
    /// The agent that `spec` describes.
    pub(super) fn new(
        spec: &agent::Llm,
        defaults: &Orchestration,
        sessions: &Arc<Sessions>,
    ) -> Self {
        let orchestration = spec.orchestration.or(defaults);
        let mut parameters = spec.parameters.clone();
        parameters.retain(|name, _| !OURS.contains(&name.as_str()));
        let system = |text: &String| Message::new(&value!({"role": "system", "content": text}));
        Self {
            provider: spec.provider.clone(),
            model: spec.model.clone(),
            parameters,
            tools: Toolbox::of(&spec.tools),
            pattern: orchestration.pattern.unwrap_or_default(),
            most_turns: orchestration.max_iterations.unwrap_or(MOST_TURNS),
            patience: orchestration.timeout.unwrap_or(PATIENCE),
            system: spec.system_prompt.as_ref().map(system),
            sessions: Arc::clone(sessions),
        }
    }

    /// Runs it once.
    pub(super) async fn run(
        self: &Arc<Self>,
        around: &Around<'_>,
        name: &Label,
        request: RunRequest,
    ) -> Answer {
        let run = Run {
            llm: Arc::clone(self),
            models: Arc::clone(&around.models),
            hops: around.hops,
            trail: around.trail.clone(),
            agent: name.clone(),
            session: around.session(request.session_id),
            question: question(&request.query, request.context.as_ref()),
            node: around.node.to_owned(),
        };
        if request.stream {
            return streamed(|teller| run.in_time(teller)).await;
        }
        match run.in_time(Teller::default()).await {
            Ok(answer) => json(StatusCode::OK, &answer),
            Err(failed) => failed.into_answer(),
        }
    }
}

impl Run {
    async fn in_time(self, teller: Teller) -> Result<RunAnswer, Failed> {
        let (agent, patience) = (self.agent.clone(), self.llm.patience);
        let named = |failed: Failed| failed.of(&agent);
        match timeout(patience, self.carry_out(teller)).await {
            Ok(ended) => ended.map_err(named),
            Err(_) => Err(named(Failed::too_late(patience))),
        }
    }

    async fn carry_out(self, teller: Teller) -> Result<RunAnswer, Failed> {
        let llm = &self.llm;
        let mut said: Vec<Message> = llm.system.iter().cloned().collect();
        said.extend(llm.sessions.recall(&self.agent, &self.session));
        let asking = Asking {
            models: self.models,
            hops: self.hops,
            trail: self.trail,
            teller,
        };
        let mut turns = Turns::begin(llm, asking, said, self.question);
        let answer = turns.go_on().await?;
        llm.sessions
            .keep(&self.agent, &self.session, turns.to_keep());
        Ok(RunAnswer {
            answer,
            session_id: self.session,
            model: turns.model,
            usage: turns.usage,
            steps: turns.steps,
            node: self.node,
        })
    }
}

/// What the user says to the model.
fn question(query: &str, context: Option<&Value>) -> Message {
    let content = match context {
        None | Some(Value::Null) => query.to_owned(),
        Some(context) => format!("{query}\n\nContext, as JSON:\n{context}"),
    };
    Message::new(&value!({"role": "user", "content": content}))
}
