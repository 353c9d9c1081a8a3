//! The JSON that nodes speak, under `/v1/mesh`: bytes become checked messages here, once, and messages bytes.
//!
//! Older nodes (0.40) speak it too, so the shapes are theirs; `ext` is ours, and they drop it.

use crate::address::Url;
use crate::beats::{Beats, Held};
use crate::error::Invalid;
use crate::id::{Label, Name, NodeId};
use crate::message::{
    Answer, Entry, Failure, Refusal, Reply, Request, State, Status, Subject, Table,
};
use crate::record::{Card, Ext, Heartbeat, Incarnation, Load, Record, Rounds, Version};
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The header in which every request and answer of ours says who speaks.
pub const NODE_ID_HEADER: &str = "x-astromesh-node-id";

/// The header of a heartbeat that names a third member to be asked.
pub const ASK_HEADER: &str = "x-astromesh-ask";

/// Members that one exchange can count: far more than a table holds, and few enough to be read by everybody at once.
const MOST_COUNTED: usize = 65_536;

/// Records that one table can hold: more than fit into a body as older nodes write them. What is read of a body takes a
/// multiple of its bytes in memory, and without a bound a body of nothing but commas takes a hundred times as much.
const MOST_RECORDS: usize = 32_768;

/// Services and agents that the records of one table can name in all: each takes some sixty bytes.
const MOST_LABELS: usize = 262_144;

/// Bytes of one record in a table, as far as it is looked at: as many as one alone may have in a request.
const MOST_RECORD_BYTES: usize = 64 * 1_024;

/// The word for the node that is called, where an id may stand.
const MYSELF: &str = "self";

/// A request as HTTP carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// From `/v1/mesh` on.
    pub path: &'static str,
    /// The value of [`ASK_HEADER`], where it is wanted.
    pub ask: Option<NodeId>,
    /// What the body is.
    pub content_type: &'static str,
    /// JSON, but for [`Endpoint::Exchange`]; empty for a `GET`.
    pub body: Vec<u8>,
}

/// A reply as HTTP carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status: 200 for every answer, 4xx or 503 for a refusal.
    pub status: u16,
    /// The value of `Retry-After`, where there is one.
    pub retry_after: Option<Duration>,
    /// What the body is.
    pub content_type: &'static str,
    /// JSON, but for [`Endpoint::Exchange`].
    pub body: Vec<u8>,
}

/// The calls: six that older nodes know too, and two between our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /v1/mesh/state`
    State,
    /// `POST /v1/mesh/join`
    Join,
    /// `POST /v1/mesh/gossip`
    Gossip,
    /// `POST /v1/mesh/exchange`: not JSON, but [`crate::beats`].
    Exchange,
    /// `POST /v1/mesh/reconcile`
    Reconcile,
    /// `POST /v1/mesh/heartbeat`
    Heartbeat,
    /// `POST /v1/mesh/leave`
    Leave,
    /// `POST /v1/mesh/election`
    Election,
}

impl Endpoint {
    const ALL: [Self; 8] = [
        Self::State,
        Self::Join,
        Self::Gossip,
        Self::Exchange,
        Self::Reconcile,
        Self::Heartbeat,
        Self::Leave,
        Self::Election,
    ];

    /// The call at `path`, if there is one.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
    }

    /// The call that `request` makes.
    pub fn of(request: &Request) -> Self {
        match request {
            Request::State => Self::State,
            Request::Join(_) | Request::Rejoin => Self::Join,
            Request::Gossip(_) => Self::Gossip,
            Request::Exchange(_) => Self::Exchange,
            Request::Reconcile { .. } => Self::Reconcile,
            Request::Heartbeat { .. } => Self::Heartbeat,
            Request::Leave(_) => Self::Leave,
            Request::Election => Self::Election,
        }
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::State => "/v1/mesh/state",
            Self::Join => "/v1/mesh/join",
            Self::Gossip => "/v1/mesh/gossip",
            Self::Exchange => "/v1/mesh/exchange",
            Self::Reconcile => "/v1/mesh/reconcile",
            Self::Heartbeat => "/v1/mesh/heartbeat",
            Self::Leave => "/v1/mesh/leave",
            Self::Election => "/v1/mesh/election",
        }
    }

    /// Its method.
    pub fn method(self) -> &'static str {
        match self {
            Self::State => "GET",
            _ => "POST",
        }
    }
}

/// Writes a request.
pub fn encode_request(request: &Request) -> Call {
    let endpoint = Endpoint::of(request);
    let body = match request {
        Request::State => Vec::new(),
        Request::Join(entry) | Request::Heartbeat { entry, .. } => to_json(&EntryJson::from(entry)),
        Request::Rejoin | Request::Leave(Subject::Myself) => to_json(&SubjectJson {
            node_id: MYSELF.into(),
        }),
        Request::Leave(Subject::Id(id)) => to_json(&SubjectJson {
            node_id: id.as_str().into(),
        }),
        Request::Gossip(table) => to_json(&TableJson::from(table)),
        Request::Exchange(beats) => beats.encode(),
        Request::Reconcile { table, wanted } => to_json(&ReconcileJson {
            nodes: entries(table),
            wanted,
        }),
        Request::Election => to_json(&BallotJson::default()),
    };
    let ask = match request {
        Request::Heartbeat { ask, .. } => ask.clone(),
        _ => None,
    };
    Call {
        method: endpoint.method(),
        path: endpoint.path(),
        ask,
        content_type: content_type(endpoint == Endpoint::Exchange),
        body,
    }
}

fn content_type(is_counted: bool) -> &'static str {
    if is_counted {
        "application/octet-stream"
    } else {
        "application/json"
    }
}

/// Reads a request that came in at `endpoint`; `ask` is the value of [`ASK_HEADER`] as it stood there.
///
/// # Errors
/// Names the field that is wrong. In a gossip table a record that cannot be read is put aside in
/// [`Table::spoiled`]; the node decides whether the rest is taken.
pub fn decode_request(
    endpoint: Endpoint,
    ask: Option<&str>,
    body: &[u8],
) -> Result<Request, Invalid> {
    Ok(match endpoint {
        Endpoint::State => Request::State,
        Endpoint::Join => match subject(body) {
            Some(Subject::Myself) => Request::Rejoin,
            _ => Request::Join(entry(body)?),
        },
        Endpoint::Gossip => Request::Gossip(table(body)?),
        Endpoint::Exchange => Request::Exchange(Beats::decode(body, MOST_COUNTED)?),
        Endpoint::Reconcile => {
            let LooseReconcile { nodes, wanted } = from_json(body)?;
            Request::Reconcile {
                table: sorted_out(nodes)?,
                wanted: wanted.0,
            }
        }
        Endpoint::Heartbeat => Request::Heartbeat {
            entry: entry(body)?,
            ask: ask
                .map(NodeId::new)
                .transpose()
                .map_err(|invalid| Invalid::new(ASK_HEADER, invalid.reason()))?,
        },
        Endpoint::Leave => {
            let SubjectJson { node_id } = from_json(body)?;
            Request::Leave(match &*node_id {
                MYSELF => Subject::Myself,
                id => Subject::Id(NodeId::new(id)?),
            })
        }
        Endpoint::Election => {
            let ballot: BallotJson = from_json(body)?;
            for (field, id) in [
                ("candidate_id", &ballot.candidate_id),
                ("node_id", &ballot.node_id),
            ] {
                NodeId::new(id).map_err(|invalid| Invalid::new(field, invalid.reason()))?;
            }
            Request::Election
        }
    })
}

/// Writes a reply.
pub fn encode_reply(reply: &Reply) -> Response {
    let body = match reply {
        Reply::State(state) => to_json(&StateJson {
            nodes: entries(&state.table),
            leader_id: state.leader.as_ref().map(|id| id.as_str().into()),
            version: state.version,
        }),
        Reply::Gossip(table) => to_json(&TableJson::from(table)),
        Reply::Held(held) => held.encode(),
        Reply::Heartbeat { node, asked } => to_json(&HeartbeatJson {
            status: "ok",
            node: node.as_ref().map(EntryJson::from),
            asked: asked.as_ref().map(EntryJson::from),
        }),
        Reply::Leave => to_json(&HeartbeatJson {
            status: "ok",
            node: None,
            asked: None,
        }),
        Reply::Election(leader) => to_json(&LeaderJson {
            leader_id: leader.as_ref().map(|id| id.as_str().into()),
        }),
        Reply::Refused(refusal) => to_json(&DetailJson {
            detail: refusal.to_string().into(),
        }),
    };
    let (status, retry_after) = match reply {
        Reply::Refused(Refusal::Invalid(_)) => (400, None),
        Reply::Refused(Refusal::NotFromHere) => (403, None),
        Reply::Refused(Refusal::Left) => (409, None),
        Reply::Refused(Refusal::Busy(after)) => (503, Some(*after)),
        _ => (200, None),
    };
    Response {
        status,
        retry_after,
        content_type: content_type(matches!(reply, Reply::Held(_))),
        body,
    }
}

/// Reads the answer to a call of `endpoint`.
///
/// # Errors
/// [`Failure::Left`] where the node there has left; [`Failure::InTrouble`] where it is in trouble itself (5xx);
/// [`Failure::Unusable`] for every other refusal, and for a body that is not the answer. Records that cannot be read are put aside in [`Table::spoiled`].
pub fn decode_reply(endpoint: Endpoint, status: u16, body: &[u8]) -> Result<Reply, Failure> {
    match status {
        200 => read_reply(endpoint, body).map_err(|invalid| Failure::Unusable(invalid.to_string())),
        409 => Err(Failure::Left),
        _ => {
            let detail =
                from_json::<DetailJson>(body).map_or_else(|_| "".into(), |said| said.detail);
            let said = format!("status {status} {}", on_one_line(&detail));
            // A node in trouble may do better the next time; one that refuses will refuse again.
            Err(if status >= 500 {
                Failure::InTrouble(said)
            } else {
                Failure::Unusable(said)
            })
        }
    }
}

/// The same, with the value of [`NODE_ID_HEADER`] in it, as it stood there.
///
/// # Errors
/// As [`decode_reply`]. A header that is no id counts as none.
pub fn decode_answer(
    endpoint: Endpoint,
    status: u16,
    from: Option<&[u8]>,
    body: &[u8],
) -> Result<Answer, Failure> {
    let from = from.and_then(|id| std::str::from_utf8(id).ok());
    let from = from.and_then(|id| NodeId::new(id).ok());
    let reply = decode_reply(endpoint, status, body)?;
    Ok(Answer { from, reply })
}

fn read_reply(endpoint: Endpoint, body: &[u8]) -> Result<Reply, Invalid> {
    Ok(match endpoint {
        Endpoint::State | Endpoint::Join => {
            let state: LooseState<'_> = from_json(body)?;
            Reply::State(State {
                table: sorted_out(state.nodes)?,
                leader: state.leader_id.map(|id| NodeId::new(&id)).transpose()?,
                version: state.version,
            })
        }
        Endpoint::Gossip | Endpoint::Reconcile => Reply::Gossip(table(body)?),
        Endpoint::Exchange => Reply::Held(Held::decode(body, MOST_COUNTED)?),
        Endpoint::Heartbeat => {
            let answer: HeartbeatAnswer<'_> = from_json(body)?;
            Reply::Heartbeat {
                node: answer.node.map(Entry::try_from).transpose()?,
                asked: answer.asked.map(Entry::try_from).transpose()?,
            }
        }
        Endpoint::Leave => from_json::<IgnoredAny>(body).map(|_| Reply::Leave)?,
        Endpoint::Election => {
            let answer: LeaderJson<'_> = from_json(body)?;
            Reply::Election(answer.leader_id.map(|id| NodeId::new(&id)).transpose()?)
        }
    })
}

fn entry(body: &[u8]) -> Result<Entry, Invalid> {
    from_json::<EntryJson<'_>>(body)?.try_into()
}

/// The `node_id` of a body, if that says `"self"` or is an id. Anything else is somebody's record, to be read as one.
fn subject(body: &[u8]) -> Option<Subject> {
    let SubjectJson { node_id } = serde_json::from_slice(body).ok()?;
    match &*node_id {
        MYSELF => Some(Subject::Myself),
        id => NodeId::new(id).ok().map(Subject::Id),
    }
}

fn table(body: &[u8]) -> Result<Table, Invalid> {
    let LooseTable { nodes } = from_json(body)?;
    sorted_out(nodes)
}

/// Reads each record by itself, so that a bad one does not spoil the others.
fn sorted_out(nodes: RawRecords<'_>) -> Result<Table, Invalid> {
    let (mut table, mut labels) = (Table::default(), 0);
    for (place, raw) in nodes.0.into_iter().enumerate() {
        match of_bounded_length(raw.get()).and_then(|text| entry(text.as_bytes())) {
            Ok(entry) => {
                labels += entry.record.card.services.len() + entry.record.card.agents.len();
                if labels > MOST_LABELS {
                    let reason = format!("expected at most {MOST_LABELS} services and agents");
                    return Err(Invalid::new("nodes", reason));
                }
                table.entries.push(entry);
            }
            Err(invalid) => table
                .spoiled
                .push(invalid.within(&format!("nodes[{place}]"))),
        }
    }
    Ok(table)
}

fn of_bounded_length(record: &str) -> Result<&str, Invalid> {
    let length = record.len();
    if length <= MOST_RECORD_BYTES {
        return Ok(record);
    }
    let reason = format!("takes {length} bytes; expected at most {MOST_RECORD_BYTES}");
    Err(Invalid::new("record", reason))
}

fn from_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Invalid> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let Object(value) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = match error.path().to_string() {
            path if path == "." || path == "?" => "body".to_owned(),
            path => on_one_line(&path),
        };
        Invalid::new(field, on_one_line(&error.into_inner().to_string()))
    })?;
    json.end()
        .map_err(|error| Invalid::new("body", error.to_string()))?;
    Ok(value)
}

/// What a peer chose to write, as it can stand in a message: without control characters, and cut where it is long.
fn on_one_line(text: &str) -> String {
    const LONGEST: usize = 200;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("text keys and finite numbers always make JSON")
}

/// A record on the wire, in the order that older nodes write it.
#[derive(Deserialize, Serialize)]
struct EntryJson<'a> {
    #[serde(borrow)]
    node_id: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    services: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    agents: Vec<Cow<'a, str>>,
    #[serde(default, deserialize_with = "object")]
    load: LoadJson,
    #[serde(default)]
    leader: bool,
    joined_at: f64,
    last_heartbeat: f64,
    #[serde(default)]
    status: StatusJson,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    ext: Option<ExtJson>,
}

#[derive(Default, Deserialize, Serialize)]
struct LoadJson {
    #[serde(default)]
    cpu_percent: f64,
    #[serde(default)]
    memory_percent: f64,
    #[serde(default)]
    active_requests: u32,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum StatusJson {
    #[default]
    Alive,
    Suspect,
    Dead,
}

#[derive(Deserialize, Serialize)]
struct ExtJson {
    n: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    left: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    draining: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    leads: bool,
    #[serde(
        default,
        deserialize_with = "present_object",
        skip_serializing_if = "Option::is_none"
    )]
    rounds: Option<RoundsJson>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    version: Option<String>,
    /// Sorted by key, as serde_json's map is, so that everybody relays the same bytes.
    #[serde(flatten)]
    more: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize, Serialize)]
struct RoundsJson {
    origin: u64,
    interval: std::num::NonZeroU32,
}

#[derive(Serialize)]
struct TableJson<'a> {
    nodes: Vec<EntryJson<'a>>,
}

#[derive(Deserialize)]
struct LooseTable<'a> {
    #[serde(borrow)]
    nodes: RawRecords<'a>,
}

#[derive(Serialize)]
struct ReconcileJson<'a> {
    nodes: Vec<EntryJson<'a>>,
    wanted: &'a [u32],
}

#[derive(Deserialize)]
struct LooseReconcile<'a> {
    #[serde(borrow)]
    nodes: RawRecords<'a>,
    wanted: List<u32, MOST_COUNTED>,
}

#[derive(Serialize)]
struct StateJson<'a> {
    nodes: Vec<EntryJson<'a>>,
    leader_id: Option<Cow<'a, str>>,
    version: u64,
}

#[derive(Deserialize)]
struct LooseState<'a> {
    #[serde(borrow)]
    nodes: RawRecords<'a>,
    #[serde(borrow, default)]
    leader_id: Option<Cow<'a, str>>,
    #[serde(default)]
    version: u64,
}

#[derive(Serialize)]
struct HeartbeatJson<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<EntryJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<EntryJson<'a>>,
}

#[derive(Deserialize)]
struct HeartbeatAnswer<'a> {
    #[serde(borrow, default)]
    node: Option<EntryJson<'a>>,
    #[serde(borrow, default)]
    asked: Option<EntryJson<'a>>,
}

#[derive(Deserialize, Serialize)]
struct SubjectJson<'a> {
    #[serde(borrow)]
    node_id: Cow<'a, str>,
}

#[derive(Default, Deserialize, Serialize)]
struct BallotJson<'a> {
    #[serde(borrow)]
    candidate_id: Cow<'a, str>,
    #[serde(borrow)]
    node_id: Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
struct LeaderJson<'a> {
    #[serde(borrow)]
    leader_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Serialize)]
struct DetailJson<'a> {
    #[serde(borrow)]
    detail: Cow<'a, str>,
}

/// A JSON object and nothing else: what is derived would take a list of its fields, too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Fields<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(fields))
            }
        }

        value
            .deserialize_map(Fields(std::marker::PhantomData))
            .map(Self)
    }
}

/// The records of a table, not looked into yet.
type RawRecords<'a> = List<&'a serde_json::value::RawValue, MOST_RECORDS>;

/// A list that is refused once it turns out to be longer than `MOST`, and not read to its end.
struct List<T, const MOST: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for List<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Items<T, const MOST: usize>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> serde::de::Visitor<'de> for Items<T, MOST> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a list of at most {MOST}")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    if list.len() == MOST {
                        return Err(serde::de::Error::invalid_length(MOST + 1, &self));
                    }
                    list.push(item);
                }
                Ok(list)
            }
        }

        value
            .deserialize_seq(Items::<T, MOST>(std::marker::PhantomData))
            .map(Self)
    }
}

fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Object::deserialize(value).map(|Object(fields)| fields)
}

fn present_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    object(value).map(Some)
}

/// Takes what is there and refuses `null`, which `Option` alone would take for absent.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

fn entries(table: &Table) -> Vec<EntryJson<'_>> {
    table.entries.iter().map(EntryJson::from).collect()
}

impl<'a> From<&'a Table> for TableJson<'a> {
    fn from(table: &'a Table) -> Self {
        Self {
            nodes: entries(table),
        }
    }
}

impl<'a> From<&'a Entry> for EntryJson<'a> {
    fn from(entry: &'a Entry) -> Self {
        let Record {
            id,
            version,
            card,
            load,
            ext,
        } = &*entry.record;
        let texts = |labels: &'a [Label]| labels.iter().map(|l| l.as_str().into()).collect();
        Self {
            node_id: id.as_str().into(),
            name: card.name.as_str().into(),
            url: card.url.as_str().into(),
            services: texts(&card.services),
            agents: texts(&card.agents),
            load: LoadJson {
                cpu_percent: load.cpu_percent(),
                memory_percent: load.memory_percent(),
                active_requests: load.active_requests(),
            },
            leader: entry.leader,
            joined_at: version.incarnation.unix_seconds(),
            last_heartbeat: version.heartbeat.unix_seconds(),
            status: match entry.status {
                Status::Alive => StatusJson::Alive,
                Status::Suspect => StatusJson::Suspect,
                Status::Dead | Status::Left => StatusJson::Dead,
            },
            ext: ext.as_deref().map(ExtJson::from),
        }
    }
}

impl TryFrom<EntryJson<'_>> for Entry {
    type Error = Invalid;

    fn try_from(json: EntryJson<'_>) -> Result<Self, Invalid> {
        let labels = |field: &str, texts: Vec<Cow<'_, str>>| {
            let read = |(place, text): (usize, &Cow<'_, str>)| {
                Label::new(text)
                    .map_err(|invalid| Invalid::new(format!("{field}[{place}]"), invalid.reason()))
            };
            texts
                .iter()
                .enumerate()
                .map(read)
                .collect::<Result<Vec<_>, _>>()
        };
        let card = Card {
            name: Name::new(&json.name)?,
            url: Url::new(&json.url)?,
            services: labels("services", json.services)?,
            agents: labels("agents", json.agents)?,
        };
        let load = Load::new(
            json.load.cpu_percent,
            json.load.memory_percent,
            json.load.active_requests,
        )?;
        let record = Record {
            id: NodeId::new(&json.node_id)?,
            version: Version {
                incarnation: Incarnation::from_unix_seconds(json.joined_at)?,
                heartbeat: Heartbeat::from_unix_seconds(json.last_heartbeat)?,
            },
            card: Arc::new(card),
            load,
            ext: json.ext.map(Ext::try_from).transpose()?.map(Arc::new),
        };
        Ok(Self {
            record: Arc::new(record),
            status: match json.status {
                StatusJson::Alive => Status::Alive,
                StatusJson::Suspect => Status::Suspect,
                StatusJson::Dead => Status::Dead,
            },
            leader: json.leader,
        })
    }
}

impl From<&Ext> for ExtJson {
    fn from(ext: &Ext) -> Self {
        Self {
            n: ext.n,
            left: ext.left,
            draining: ext.draining,
            leads: ext.leads,
            rounds: ext.rounds.and_then(|rounds| {
                Some(RoundsJson {
                    origin: rounds.origin_millis,
                    interval: std::num::NonZeroU32::new(rounds.interval_millis)?,
                })
            }),
            version: ext
                .version
                .as_ref()
                .map(|version| version.as_str().to_owned()),
            more: ext
                .more
                .as_ref()
                .and_then(|more| serde_json::from_str(more).ok())
                .unwrap_or_default(),
        }
    }
}

impl TryFrom<ExtJson> for Ext {
    type Error = Invalid;

    fn try_from(json: ExtJson) -> Result<Self, Invalid> {
        let named = |text: String| {
            Name::new(&text).map_err(|invalid| Invalid::new("ext.version", invalid.reason()))
        };
        let more = || -> Arc<str> {
            let text = serde_json::to_string(&json.more);
            text.expect("what was read as JSON can be written as JSON")
                .into()
        };
        Ok(Self {
            n: json.n,
            left: json.left,
            draining: json.draining,
            leads: json.leads,
            rounds: json.rounds.map(|rounds| Rounds {
                origin_millis: rounds.origin,
                interval_millis: rounds.interval.get(),
            }),
            more: (!json.more.is_empty()).then(more),
            version: json.version.map(named).transpose()?,
        })
    }
}
